//! What each verb does. A verb is a function from its arguments to an exit code.

mod access;
mod audit;
mod check;
mod config;
mod demo;
mod init;
mod serve;
mod server;
mod service;
mod shell;

use std::path::{Path, PathBuf};

use ::access::{Clock as _, Secret, Timestamp};

use crate::cli::{Exit, Failure, Global, Verb};
use crate::client::{Client, ClientError, Target, parse_url};
use crate::config::{Config, ConfigError, Environment, Loaded, locate};
use crate::node::clock::SystemClock;
use crate::node::run::socket_path;
use crate::output::Output;

/// What every verb works with.
struct Context<'c> {
    global: &'c Global,
    output: Output,
    environment: &'c Environment,
}

/// Does what a verb says.
///
/// # Errors
/// [`Failure`], with the exit code that belongs to it.
pub fn run(global: &Global, verb: &Verb, output: Output, environment: &Environment) -> Result<Exit, Failure> {
    let context = Context { global, output, environment };
    match verb {
        Verb::Serve => serve::run(&context),
        Verb::Init(init) => init::run(&context, init),
        Verb::Check => check::run(&context),
        Verb::Demo(demo) => demo::run(&context, demo),
        Verb::Config(verb) => config::run(&context, verb),
        Verb::Completions(completions) => shell::completions(&context, completions),
        Verb::Man(man) => shell::man(&context, man),
        asking => ask(&context, asking),
    }
}

/// Does what asks a server.
fn ask(context: &Context<'_>, verb: &Verb) -> Result<Exit, Failure> {
    let client = context.client()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
    runtime.block_on(async {
        match verb {
            Verb::Whoami => server::whoami(context, &client).await,
            Verb::Apis(apis) => server::apis(context, &client, apis).await,
            Verb::Roles => server::roles(context, &client).await,
            Verb::Status => server::status(context, &client).await,
            Verb::Grants(grants) => access::grants(context, &client, grants).await,
            Verb::Grant(grant) => access::grant(context, &client, grant).await,
            Verb::Token(token) => access::token(context, &client, token).await,
            Verb::Revoke(revoke) => access::revoke(context, &client, revoke).await,
            Verb::Service(verb) => service::run(context, &client, verb).await,
            Verb::Audit(verb) => audit::run(context, &client, verb).await,
            Verb::Explain(explain) => audit::explain(context, &client, explain).await,
            Verb::Admin(verb) => service::admin(context, &client, verb).await,
            // Done before a server is asked.
            Verb::Serve | Verb::Init(_) | Verb::Check | Verb::Demo(_) | Verb::Config(_) => Ok(Exit::Done),
            Verb::Completions(_) | Verb::Man(_) => Ok(Exit::Done),
        }
    })
}

impl Context<'_> {
    /// Loads the configuration.
    fn load(&self) -> Result<Loaded, Failure> {
        let path = locate(self.global.config.as_deref())?;
        Ok(Config::load(&path, self.environment)?)
    }

    /// The server to ask: the one that a URL names, with a session, else the one on this machine.
    ///
    /// Half of it is an error: who asks for a server elsewhere must not administer this one instead.
    fn client(&self) -> Result<Client, Failure> {
        if self.global.local {
            return Ok(Client::new(Target::Socket(self.socket()?))?);
        }
        self.refuse_nothing("DAYPASS_SESSION")?;
        self.refuse_nothing("DAYPASS_URL")?;
        let session = self.environment.read("DAYPASS_SESSION");
        let url = self.global.url.clone().or_else(|| self.environment.read("DAYPASS_URL"));
        let target = match (session, url) {
            (Some(session), Some(url)) => Target::Url(parse_url(&url)?, Secret::new(session.into_bytes())),
            (Some(_), None) => {
                return usage("DAYPASS_SESSION without a URL: set DAYPASS_URL, or use `--local`");
            }
            (None, Some(_)) => {
                return usage(
                    "a URL (`--url` or DAYPASS_URL) without a session: set DAYPASS_SESSION, or use `--local`",
                );
            }
            (None, None) => Target::Socket(self.socket()?),
        };
        Ok(Client::new(target)?)
    }

    /// A variable that is set to nothing was meant to be something.
    fn refuse_nothing(&self, name: &str) -> Result<(), Failure> {
        if self.environment.is_set(name) && self.environment.read(name).is_none() {
            return usage(&format!(
                "{name} is set, but to nothing: give it a value, `unset {name}`, or use `--local`"
            ));
        }
        Ok(())
    }

    /// The socket of the server of this machine; without a configuration the one in the default place.
    fn socket(&self) -> Result<PathBuf, Failure> {
        match locate(self.global.config.as_deref()) {
            Ok(path) => Ok(socket_path(&Config::data_directory(&path)?)),
            Err(ConfigError::Missing) => {
                let usual = socket_path(Path::new("daypass-data"));
                if usual.exists() { Ok(usual) } else { Err(ClientError::NoConfiguration.into()) }
            }
            Err(error) => Err(error.into()),
        }
    }

    fn now(&self) -> Timestamp {
        SystemClock::start().now()
    }
}

fn usage<T>(says: &str) -> Result<T, Failure> {
    Err(Failure::Usage(says.to_owned()))
}
