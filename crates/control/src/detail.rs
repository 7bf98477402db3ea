//! The journal's `detail` of a change: JSON for people and queries, without digests, times in RFC 3339,
//! short enough to record.
//!
//! Long lists are cut, with their lengths beside them; the ledger keeps the whole.

use access::Timestamp;
use access::credential::Digest;
use access::policy::Policy;
use serde_json::{Map, Value, json};

use crate::event::Change;

/// The most items of one list that a detail shows. With the longest names four lists stay under 12 KiB.
pub(crate) const LISTED_MAX: usize = 40;

impl Change {
    /// All that is worth recording about it, as one JSON object; at most about 12 KiB.
    #[must_use]
    pub fn detail(&self) -> String {
        let mut shown = match self {
            Self::AdoptPolicy { policy } => summary(policy),
            other => fields(other),
        };
        shown.remove("kind");
        shown.remove("digest");
        if let Some(micros) = shown.get("until").and_then(Value::as_i64) {
            shown.insert("until".into(), Timestamp::from_micros(micros).to_string().into());
        }
        let lists: Vec<String> = shown.keys().cloned().collect();
        for name in lists {
            shorten(&mut shown, &name);
        }
        Value::Object(shown).to_string()
    }
}

fn fields(change: &Change) -> Map<String, Value> {
    match serde_json::to_value(change) {
        Ok(Value::Object(fields)) => fields,
        // A change is a struct with text keys, so this is never reached; a record without detail is
        // better than no record.
        _ => Map::new(),
    }
}

/// Cuts the list of this name, if it is one and too long, and tells its length.
fn shorten(shown: &mut Map<String, Value>, name: &str) {
    let Some(Value::Array(list)) = shown.get_mut(name) else {
        return;
    };
    let whole = list.len();
    list.truncate(LISTED_MAX);
    if whole > LISTED_MAX {
        shown.insert(format!("{name}_count"), json!(whole));
    }
}

/// What a policy is about, and its fingerprint: SHA-256 of its JSON.
fn summary(policy: &Policy) -> Map<String, Value> {
    let written = serde_json::to_vec(policy).unwrap_or_default();
    let apis: Vec<_> = policy.apis.iter().map(|api| &api.name).collect();
    let roles: Vec<_> = policy.roles.keys().collect();
    let shown = json!({
        "apis": apis,
        "roles": roles,
        "users": policy.users.len(),
        "administrators": policy.administrators,
        "auditors": policy.auditors,
        "sha256": Digest::of(&written),
    });
    match shown {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
