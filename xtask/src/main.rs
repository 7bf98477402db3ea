//! `cargo xtask`: everything the project does to itself, with nothing to install first.
//!
//! Each command is one module: what a change must pass (`test`, `tidy`), the product on show
//! (`demo`), what a request costs (`bench`), what a crash may lose (`crash`), what a reload, a stop or a
//! new version costs (`churn`), what generated traffic finds (`differ`, `fuzz`), what the suites of others say
//! (`gates`), and what is released (`release`).
//! Not here: anything the product itself needs at run time.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks to its terminal")]

mod args;
mod bench;
mod churn;
mod clock;
mod crash;
mod demo;
mod dice;
mod differ;
mod fuzz;
mod gates;
mod http;
mod instance;
mod json;
mod process;
mod release;
mod scratch;
mod stop;
mod tally;
mod test;
mod tidy;
mod tools;
mod workspace;

use std::process::ExitCode;

use args::Args;

const HELP: &str = "\
cargo xtask COMMAND [OPTIONS]

Commands:
  test    everything a change must pass; ends with `N passed, N failed`
  tidy    the architecture's absences and a few habits, checked over the sources
  demo    builds the product and runs `daypass demo`; options are passed on
  bench   CPU per request, latency and memory against other proxies, release build
  crash   kill -9 under load; checks that the journal lost nothing
  churn   reloads, drains and upgrades under load; counts what failed by them
  differ  generated requests and answers against real servers and clients
  fuzz    the fuzzers of the codec, the paths and the headers
  gates   suites of others: HTTP/2, WebSocket, gRPC, load and slow clients
  release builds the binary that is released, laid out by what it does most

Examples:
  cargo xtask test
  cargo xtask demo --tour
  cargo xtask bench --quick
  cargo xtask crash --rounds 20 --mode fsync
  cargo xtask churn --reloads 100
  cargo xtask gates http2

`cargo xtask COMMAND --help` shows a command's own options.";

fn main() -> ExitCode {
    let mut args = Args::new(std::env::args().skip(1));
    let command = args.word();
    match command.as_deref() {
        None | Some("help" | "--help" | "-h") => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Some(name) => finish(dispatch(name, args)),
    }
}

fn dispatch(name: &str, args: Args) -> anyhow::Result<ExitCode> {
    match name {
        "test" => test::run(args),
        "tidy" => tidy::run(args),
        "demo" => demo::run(args),
        "bench" => bench::run(args),
        "crash" => crash::run(args),
        "churn" => churn::run(args),
        "differ" => differ::run(args),
        "fuzz" => fuzz::run(args),
        "gates" => gates::run(args),
        "release" => release::run(args),
        other => Err(args::usage(format!("no command `{other}`\n\n{HELP}"))),
    }
}

/// Exit codes as the product has them: 0 done, 1 failed, 2 usage.
fn finish(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(if error.is::<args::Usage>() { 2 } else { 1 })
        }
    }
}
