//! `daypass demo`: a real API, Daypass in front of it, three people, and a tour through both.
//!
//! Everything lives in a temporary directory that is gone afterwards. The tour is a list of commands for a shell:
//! shown to the person who reads them, or run and checked with `--tour`.

pub mod orders;

mod stage;
mod steps;
mod tour;

use std::time::Duration;

use anyhow::Context as _;

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
        let stage = Stage::build().await?;
        let node = Node::start(stage.parts()?).await.context("cannot start Daypass")?;
        let places = stage.places(&node)?;
        let outcome = match tour {
            Tour::Show => tour::show(&places).await,
            Tour::Run => tour::run(places).await,
        };
        node.stop(DRAIN_TIME_MAX).await;
        stage.clear();
        outcome
    })
}
