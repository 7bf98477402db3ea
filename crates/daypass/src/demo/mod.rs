//! `daypass demo`: a real API, Daypass in front of it, three people, and a tour through both.
//!
//! Everything lives in a temporary directory that is gone afterwards. The tour is a list of commands for a shell:
//! shown to the person who reads them, or run and checked with `--tour`.

pub mod orders;

mod shell;
mod stage;
mod steps;
mod tour;

use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::node::Node;
use stage::Stage;

/// How long requests that are open may take to end when the demo stops.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(2);

/// What the demo does once it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tour {
    /// Prints the commands and waits for Ctrl-C.
    Show,
    /// Runs the commands and checks each answer.
    Run,
}

/// Runs the demo. Blocks.
///
/// # Errors
/// Something did not start, or an answer of the tour was not the one expected.
pub fn demo(tour: Tour) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        // Before anything is made that an early Ctrl-C would leave behind.
        let mut signals = Signals::listen().context("cannot listen to signals")?;
        let stage = Stage::build().await?;
        let outcome = play(tour, &stage, signals.stop()).await;
        stage.clear();
        outcome
    })
}

async fn play(tour: Tour, stage: &Stage, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let node = Node::start(stage.parts()?).await.context("cannot start Daypass")?;
    let outcome = match (stage.places(&node), tour) {
        (Ok(places), Tour::Show) => tour::show(&places, stop).await,
        (Ok(places), Tour::Run) => tour::run(places, stop).await,
        (Err(error), _) => Err(error),
    };
    node.stop(DRAIN_TIME_MAX).await;
    outcome
}

/// What ends the demo: Ctrl-C, being told to, or the end of its terminal.
struct Signals([Signal; 3]);

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    async fn stop(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
