//! `daypass demo`

use super::Context;
use super::serve::failure;
use crate::cli::{Demo, Exit, Failure};
use crate::demo::{Tour, demo};

/// Shows Daypass on the sample API; `--tour` fails unless each answer is the one expected.
pub(super) fn run(context: &Context<'_>, asked: &Demo) -> Result<Exit, Failure> {
    // The tour is what is to be seen, not what the node says while it runs.
    super::serve::speak(context, "warn");
    let tour = if asked.tour { Tour::Run } else { Tour::Show };
    demo(tour).map(|()| Exit::Done).map_err(failure)
}
