//! Showing the tour, and running it.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::process::Command;
use std::sync::Arc;

use anyhow::Context as _;

use super::shell::Shell;
use super::stage::Places;
use super::steps::{STEPS, Step};

/// The longest answer that is shown, in characters; what follows is left out with a note.
const SHOWN_MAX: usize = 2_000;

/// Prints the tour for a person to type, then waits until it is to stop.
pub(super) async fn show(places: &Places, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    print_tour(places).context("cannot print")?;
    stop.await;
    Ok(())
}

fn print_tour(places: &Places) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "Daypass runs in front of an order API, with all it writes in a directory of its own.\n")?;
    writeln!(out, "  orders behind Daypass  {}", places.orders)?;
    writeln!(out, "  console                {}", places.console)?;
    writeln!(out, "  configuration          {}\n", places.config.display())?;
    writeln!(out, "People: alice (on call), bob (administers), carol (audits). In another shell, first:\n")?;
    for (name, value) in settings(places) {
        writeln!(out, "  export {name}={value}")?;
    }
    for (number, step) in STEPS.iter().enumerate() {
        writeln!(out, "\n{:>2}. {}\n\n  {}", number.saturating_add(1), step.says, step.typed())?;
    }
    writeln!(out, "\nCtrl-C ends it and leaves nothing behind.")?;
    out.flush()
}

fn settings(places: &Places) -> [(&'static str, String); 4] {
    [
        ("PATH", format!("{}:$PATH", places.bin.display())),
        ("DAYPASS_CONFIG", places.config.display().to_string()),
        ("ORDERS", places.orders.clone()),
        ("CONSOLE", places.console.clone()),
    ]
}

/// Runs the tour; each answer must be the one expected. Told to stop, it ends the command that runs.
pub(super) async fn run(places: Places, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let shell = Arc::new(Shell::default());
    let running = shell.clone();
    // The console answers on this runtime, so the shell is waited for elsewhere.
    let mut tour = tokio::task::spawn_blocking(move || run_all(&places, &running));
    tokio::select! {
        ended = &mut tour => ended.context("the tour broke off")?,
        () = stop => {
            shell.stop();
            let _told_below = tour.await;
            anyhow::bail!("the tour was interrupted; nothing is left behind")
        }
    }
}

fn run_all(places: &Places, shell: &Shell) -> anyhow::Result<()> {
    let mut kept = BTreeMap::new();
    let mut out = io::stdout().lock();
    for (number, step) in STEPS.iter().enumerate() {
        let number = number.saturating_add(1);
        writeln!(out, "{number:>2}. {}\n$ {}", step.says, step.typed())?;
        let output = shell
            .run(command(places, &kept, step))
            .context("cannot run a shell: the tour needs `sh` and `curl`")?;
        let answer = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        writeln!(out, "{}\n", shorten(&hide(&answer, step)))?;
        judge(step, &answer).with_context(|| {
            let errors = String::from_utf8_lossy(&output.stderr);
            format!("step {number} was not answered as expected; the command said: {errors}")
        })?;
        if let Some(name) = step.keep {
            kept.insert(name, answer);
        }
    }
    writeln!(out, "{} steps, each answered as expected", STEPS.len())?;
    Ok(())
}

fn command(places: &Places, kept: &BTreeMap<&str, String>, step: &Step) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut search = places.bin.clone().into_os_string();
    search.push(":");
    search.push(path);
    let mut command = Command::new("sh");
    command
        .args(["-c", step.command])
        .current_dir(places.config.parent().unwrap_or(&places.config))
        .env_remove("DAYPASS_SESSION")
        .env_remove("DAYPASS_URL")
        .env("DAYPASS_CONFIG", &places.config)
        .env("ORDERS_KEY", "unused")
        .env("ORDERS", &places.orders)
        .env("CONSOLE", &places.console)
        .env("NO_COLOR", "1")
        .env("PATH", search)
        .envs(kept);
    command
}

/// A credential is not printed twice: the tour shows its kind and that it came.
fn hide(answer: &str, step: &Step) -> String {
    match (step.keep, answer.split_at_checked(4)) {
        (Some(_), Some((prefix @ ("dpt_" | "dps_" | "dpc_"), _))) => format!("{prefix}…"),
        _ => answer.to_owned(),
    }
}

fn shorten(answer: &str) -> String {
    match answer.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}\n[and so on]", answer.get(..end).unwrap_or(answer)),
        None => answer.to_owned(),
    }
}

fn judge(step: &Step, answer: &str) -> anyhow::Result<()> {
    for expected in step.expect {
        anyhow::ensure!(answer.contains(expected), "the answer does not contain `{expected}`:\n{answer}");
    }
    for never in step.never {
        anyhow::ensure!(
            !answer.contains(never),
            "the answer contains `{never}`, which it must not:\n{answer}"
        );
    }
    Ok(())
}
