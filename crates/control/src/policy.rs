//! Adopting a policy: only one whose every rule means something, and only if it differs from the one in force.

use std::sync::Arc;

use access::policy::{Compiled, Policy};

use crate::decide::{Case, Denied, invalid};
use crate::event::Change;

impl Case<'_> {
    pub(crate) fn adopt_policy(&self, policy: &Arc<Policy>) -> Result<Vec<Change>, Denied> {
        if self.state.policy() == policy {
            return Ok(Vec::new());
        }
        Compiled::new(Policy::clone(policy)).map_err(|why| invalid(why.to_string()))?;
        if let Some((role, list, text)) = policy.unread().next() {
            return Err(invalid(format!("`{text}` under `{list}` of the role `{role}` is not a rule")));
        }
        let policy = Arc::clone(policy);
        Ok(vec![Change::AdoptPolicy { policy }])
    }
}
