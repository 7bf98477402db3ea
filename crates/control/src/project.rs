//! From the state to the view that requests are judged by.

use std::sync::Arc;

use access::policy::Compiled;
use access::view::View;

use crate::state::State;

/// The view of a state. Shares the state's maps: costs a few reference counts, whatever their size.
///
/// `policy` is the compiled form of the state's policy, or of one that allows less.
#[must_use]
pub fn project(state: &State, policy: Arc<Compiled>) -> View {
    View {
        revision: state.revision(),
        policy,
        grants: state.grants().clone(),
        credentials: state.credentials().clone(),
        digests: state.digests.clone(),
        grants_by_subject: state.grants_by_subject.clone(),
        services: state.services.clone(),
    }
}
