//! Events as bytes: JSON, stored exactly as it was hashed.
//!
//! Bytes are never written again from what was read, so a build that spells an event in another way does not
//! break the chain.

use control::Event;

use crate::chain::{Broken, Link};
use crate::{Recorded, StoreFault};

/// The bytes of an event. Their length is bounded by what an event may list (see `control::decide`): about
/// 70 MB for a revocation of everything at the largest size there may be, a few hundred bytes as a rule.
///
/// # Errors
/// Events are structs with text keys, so never.
pub fn encode(event: &Event) -> Result<Vec<u8>, StoreFault> {
    serde_json::to_vec(event).map_err(StoreFault::new)
}

/// The event of these bytes, with its place in the chain.
///
/// # Errors
/// [`Broken::Payload`] if this build does not know such an event.
pub fn decode(link: Link, payload: &[u8]) -> Result<Recorded, Broken> {
    let event = serde_json::from_slice(payload)
        .map_err(|why| Broken::Payload { revision: link.revision, why: why.to_string() })?;
    Ok(Recorded { revision: link.revision, event, hash: link.hash })
}
