//! The command line: every verb with its arguments, and what each ends with.
//!
//! Not here: what the verbs do (see `commands`).

mod examples;
mod exit;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use access::id::Name;
use access::role::MethodPath;
use access::{ApiName, GrantId, IncidentId, Lifetime, RequestId, RoleName, SubjectId};
use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::commands;
use crate::config::Environment;
use crate::output::{Format, Output, Prose};
use crate::program;

pub use exit::{Exit, Failure};

/// A self-hosted access proxy for APIs: temporary, revocable, recorded access.
#[derive(Debug, Parser)]
#[command(name = "daypass", version = program::VERSION, max_term_width = 100, after_help = examples::DAYPASS)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Global {
    /// The configuration; else ./daypass.yaml, else /etc/daypass/daypass.yaml
    #[arg(long, global = true, value_name = "FILE", env = "DAYPASS_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// Ask the server on this machine through its socket, whatever session there is
    #[arg(long, global = true)]
    pub local: bool,
    /// The server's console, with the session in DAYPASS_SESSION; DAYPASS_URL if left out. An authority of your own is named with SSL_CERT_FILE
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// The form of the result: table, json or jsonl
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORMAT",
        default_value = "table",
        hide_possible_values = true
    )]
    pub output: Format,
    /// Print no prose, only results and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the proxy and the console; SIGHUP reloads, SIGTERM drains, SIGUSR2 hands over to a new binary
    #[command(after_help = examples::SERVE)]
    Serve,
    /// Write a commented daypass.yaml that works at once
    #[command(after_help = examples::INIT)]
    Init(Init),
    /// Check the configuration, its contracts and its roles
    #[command(after_help = examples::CHECK)]
    Check,
    /// Show all of it on a sample API, and leave nothing behind
    #[command(after_help = examples::DEMO)]
    Demo(Demo),
    /// Print the configuration's schema, or the configuration in effect
    #[command(subcommand, after_help = examples::CONFIG)]
    Config(ConfigVerb),
    /// Say who the server takes me for
    #[command(after_help = examples::WHOAMI)]
    Whoami,
    /// List the protected APIs, or the operations of one
    #[command(after_help = examples::APIS)]
    Apis(Apis),
    /// List the roles and what they allow
    #[command(after_help = examples::ROLES)]
    Roles,
    /// List the grants that I may see: my own, or everybody's to administrators and auditors
    #[command(after_help = examples::GRANTS)]
    Grants(Grants),
    /// Give somebody a role for a time
    #[command(after_help = examples::GRANT)]
    Grant(Grant),
    /// Mint a token from a grant, and print it alone
    #[command(after_help = examples::TOKEN)]
    Token(Token),
    /// End access at once, and print a receipt
    #[command(after_help = examples::REVOKE)]
    Revoke(Revoke),
    /// Manage service keys
    #[command(subcommand, after_help = examples::SERVICE)]
    Service(Service),
    /// Read the journal
    #[command(subcommand, after_help = examples::AUDIT)]
    Audit(Audit),
    /// Say why a request was allowed or refused
    #[command(after_help = examples::EXPLAIN)]
    Explain(Explain),
    /// Show the server's health
    #[command(after_help = examples::STATUS)]
    Status,
    /// Manage the server on its own machine
    #[command(subcommand, after_help = examples::ADMIN)]
    Admin(Admin),
    /// Print completions for a shell
    #[command(after_help = examples::COMPLETIONS)]
    Completions(Completions),
    /// Write the manual pages into a directory
    #[command(after_help = examples::MAN)]
    Man(Man),
}

/// `daypass init`
#[derive(Debug, Args)]
pub struct Init {
    /// The API's name; its route is the first path segment of that name
    #[arg(long, value_name = "NAME")]
    pub api: ApiName,
    /// Where the API runs: https://, http://, unix:PATH, or for HTTP/2 h2://, h2c:// or unix+h2c:PATH; it need not run yet
    #[arg(long, value_name = "URL")]
    pub upstream: String,
    /// Its OpenAPI 3 contract, YAML or JSON
    #[arg(long, value_name = "FILE")]
    pub openapi: Option<PathBuf>,
    /// Overwrite the file that is there
    #[arg(long)]
    pub force: bool,
}

/// `daypass demo`
#[derive(Debug, Args)]
pub struct Demo {
    /// Run the tour itself, and check each answer
    #[arg(long)]
    pub tour: bool,
}

/// `daypass config …`
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Print the JSON Schema of daypass.yaml, for editors
    #[command(after_help = examples::CONFIG_SCHEMA)]
    Schema,
    /// Print the configuration with its defaults; secrets stay references
    #[command(after_help = examples::CONFIG_SHOW)]
    Show,
}

/// `daypass apis`
#[derive(Debug, Args)]
pub struct Apis {
    /// List the operations of this one
    #[arg(value_name = "API")]
    pub api: Option<ApiName>,
}

/// `daypass grants`
#[derive(Debug, Args)]
pub struct Grants {
    /// Only this person's
    #[arg(long, value_name = "USER")]
    pub user: Option<SubjectId>,
}

/// `daypass grant`
#[derive(Debug, Args)]
pub struct Grant {
    /// The role
    #[arg(value_name = "ROLE")]
    pub role: RoleName,
    /// Who gets it: a user; a service has its roles from `daypass service add`
    #[arg(long, value_name = "USER")]
    pub to: SubjectId,
    /// For how long: 30s, 10m, 2h, 7d
    #[arg(long = "for", value_name = "DURATION")]
    pub lifetime: Lifetime,
    /// Why; it is kept in the journal
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// The incident it is for
    #[arg(long, value_name = "ID")]
    pub incident: Option<IncidentId>,
}

/// `daypass token`
#[derive(Debug, Args)]
pub struct Token {
    /// The grant; may be left out by who holds only one
    #[arg(value_name = "GRANT")]
    pub grant: Option<GrantId>,
    /// For how long, at most as long as the grant
    #[arg(long = "for", value_name = "DURATION")]
    pub lifetime: Option<Lifetime>,
    /// Only these requests of what the grant allows; may be repeated
    #[arg(long, value_name = "METHOD TEMPLATE")]
    pub only: Vec<MethodPath>,
}

/// `daypass revoke`
#[derive(Debug, Args)]
pub struct Revoke {
    /// What to end
    #[command(flatten)]
    pub what: Revoked,
    /// Why; it is kept in the journal
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}

/// What a revocation ends: exactly one of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Revoked {
    /// One grant, with its tokens
    #[arg(long, value_name = "ID")]
    pub grant: Option<GrantId>,
    /// One token
    #[arg(long, value_name = "ID")]
    pub token: Option<String>,
    /// One service key
    #[arg(long, value_name = "ID")]
    pub key: Option<String>,
    /// Everything a user or service:NAME holds
    #[arg(long, value_name = "USER")]
    pub user: Option<SubjectId>,
    /// Every grant of a role
    #[arg(long, value_name = "ROLE")]
    pub role: Option<RoleName>,
    /// Every grant that reaches an API
    #[arg(long, value_name = "API")]
    pub api: Option<ApiName>,
    /// Every grant for an incident
    #[arg(long, value_name = "ID")]
    pub incident: Option<IncidentId>,
    /// Everything
    #[arg(long)]
    pub all: bool,
}

/// `daypass service …`
#[derive(Debug, Subcommand)]
pub enum Service {
    /// Add a service, and print its key alone
    #[command(after_help = examples::SERVICE_ADD)]
    Add(ServiceAdd),
    /// Replace a service's key, and print the new one alone
    #[command(after_help = examples::SERVICE_ROTATE)]
    Rotate(ServiceRotate),
    /// Remove a service; its key ends at once
    #[command(after_help = examples::SERVICE_REMOVE)]
    Remove(ServiceRemove),
    /// List the services
    #[command(after_help = examples::SERVICE_LIST)]
    List,
}

/// `daypass service add`
#[derive(Debug, Args)]
pub struct ServiceAdd {
    /// The service's name
    #[arg(value_name = "NAME")]
    pub name: Name,
    /// A role that it holds; may be repeated
    #[arg(long = "role", value_name = "ROLE", required = true)]
    pub roles: Vec<RoleName>,
    /// For how long the key works: 90d
    #[arg(long = "for", value_name = "DURATION")]
    pub lifetime: Lifetime,
}

/// `daypass service rotate`
#[derive(Debug, Args)]
pub struct ServiceRotate {
    /// The service's name
    #[arg(value_name = "NAME")]
    pub name: Name,
    /// For how long the new key works; as long as the old one was to, if left out
    #[arg(long = "for", value_name = "DURATION")]
    pub lifetime: Option<Lifetime>,
}

/// `daypass service remove`
#[derive(Debug, Args)]
pub struct ServiceRemove {
    /// The service's name
    #[arg(value_name = "NAME")]
    pub name: Name,
}

/// `daypass audit …`
#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Find requests in the journal
    #[command(after_help = examples::AUDIT_SEARCH)]
    Search(Box<AuditSearch>),
    /// Follow requests as they happen, one line each
    #[command(after_help = examples::AUDIT_TAIL)]
    Tail,
}

/// `daypass audit search`
#[derive(Debug, Args)]
pub struct AuditSearch {
    /// Who asked
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// The API
    #[arg(long, value_name = "API")]
    pub api: Option<String>,
    /// The operation's name
    #[arg(long, value_name = "NAME")]
    pub operation: Option<String>,
    /// The path
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// The status of the answer
    #[arg(long, value_name = "CODE")]
    pub status: Option<u16>,
    /// The reason of the decision
    #[arg(long, value_name = "CODE")]
    pub reason: Option<String>,
    /// The incident it was for
    #[arg(long, value_name = "ID")]
    pub incident: Option<String>,
    /// The grant it used
    #[arg(long, value_name = "ID")]
    pub grant: Option<String>,
    /// Only what was allowed, or refused
    #[arg(long, value_name = "DECISION", value_parser = ["allow", "refuse"])]
    pub decision: Option<String>,
    /// From here: a time, or so long ago (30m)
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Up to here: a time, or so long ago (5m)
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// At most so many rows; the table shows 100 unless told
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub limit: Option<u64>,
    /// Which rows come first
    #[arg(long, value_name = "ORDER", value_parser = ["newest", "oldest"], default_value = "newest")]
    pub order: String,
}

/// `daypass explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// The request's id: X-Request-Id of its answer, `id` in the journal
    #[arg(value_name = "ID", value_parser = request_id)]
    pub id: RequestId,
}

fn request_id(text: &str) -> Result<RequestId, &'static str> {
    text.parse().map_err(|_| {
        "a request's id is a UUID, the `X-Request-Id` of its answer; `daypass audit search` lists them as ID"
    })
}

/// `daypass admin …`
#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Print a session for a local account, alone
    #[command(after_help = examples::ADMIN_SESSION)]
    Session(AdminSession),
}

/// `daypass admin session`
#[derive(Debug, Args)]
pub struct AdminSession {
    /// The account
    #[arg(value_name = "USER")]
    pub user: Name,
    /// For how long
    #[arg(long = "for", value_name = "DURATION")]
    pub lifetime: Option<Lifetime>,
}

/// `daypass completions`
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

/// `daypass man`
#[derive(Debug, Args)]
pub struct Man {
    /// The directory; it must exist
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let exit = run(std::env::args_os(), &Environment::process());
    ExitCode::from(exit as u8)
}

/// Runs one command and prints what it says.
pub fn run(arguments: impl IntoIterator<Item = OsString>, environment: &Environment) -> Exit {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let _lost = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    let prose = if cli.global.quiet { Prose::Quiet } else { Prose::Shown };
    let output = Output::new(cli.global.output, prose, environment);
    match commands::run(&cli.global, &cli.verb, output, environment) {
        Ok(exit) => exit,
        Err(failure) => {
            let exit = failure.exit();
            if exit != Exit::Done {
                crate::output::complain(&failure);
            }
            exit
        }
    }
}

/// The whole command line, for completions, manual pages and tests.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}
