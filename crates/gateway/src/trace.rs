//! W3C trace context: the caller's trace goes on, or a new one begins with the request's own id.

use access::RequestId;
use arrayvec::ArrayString;

/// A trace id: 32 lower-case hexadecimal digits.
pub(crate) type TraceId = ArrayString<32>;

/// A `traceparent` field of version 00.
pub(crate) type TraceParent = ArrayString<55>;

/// The trace that a request belongs to.
#[derive(Debug)]
pub(crate) enum Trace {
    /// The caller's.
    Sent(TraceId),
    /// One that begins with it: its id is the request's.
    Own(TraceId),
}

impl Trace {
    /// The trace of the caller's `traceparent`, if it is valid, else the request's own.
    pub(crate) fn of(traceparent: Option<&str>, id: RequestId) -> Self {
        let sent = traceparent.and_then(sent_trace).and_then(|trace| TraceId::from(trace).ok());
        sent.map_or_else(|| Self::Own(hex(id.as_bytes())), Self::Sent)
    }

    pub(crate) const fn id(&self) -> &TraceId {
        match self {
            Self::Sent(id) | Self::Own(id) => id,
        }
    }

    /// What the journal has to keep: its own id a request has already.
    pub(crate) fn recorded(&self) -> Option<&str> {
        match self {
            Self::Sent(id) => Some(id),
            Self::Own(_) => None,
        }
    }
}

/// The value of `traceparent` for the next hop (W3C Trace Context, section 3.2.2).
pub(crate) fn traceparent(trace: &TraceId, parent: u64) -> TraceParent {
    let mut text = ArrayString::new();
    let parent: ArrayString<16> = hex(&parent.to_be_bytes());
    // 3 + 32 + 1 + 16 + 3 characters: all fit.
    for part in ["00-", trace, "-", &parent, "-01"] {
        let _ = text.try_push_str(part);
    }
    text
}

/// The trace id of a `traceparent` of version 00.
fn sent_trace(text: &str) -> Option<&str> {
    let mut parts = text.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, digits: usize| {
        text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let valid = version == "00" && parts.next().is_none() && is_hex(parent, 16) && is_hex(flags, 2);
    (valid && is_hex(trace, 32) && trace.bytes().any(|byte| byte != b'0')).then_some(trace)
}

/// The bytes in hexadecimal, as many as fit; `N` is twice their number.
fn hex<const N: usize>(bytes: &[u8]) -> ArrayString<N> {
    let mut digits = [b'0'; N];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    ArrayString::from_byte_string(&digits).unwrap_or_default()
}

const fn digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: RequestId = RequestId::from_bytes([0xab; 16]);

    #[test]
    fn a_valid_trace_goes_on_and_any_other_begins_anew() {
        let sent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(Trace::of(Some(sent), OWN).recorded(), Some("0af7651916cd43dd8448eb211c80319c"));
        for wrong in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ] {
            let own = Trace::of(Some(wrong), OWN);
            assert_eq!((own.id().as_str(), own.recorded()), (&*"ab".repeat(16), None), "{wrong}");
        }
        let next = traceparent(Trace::of(None, OWN).id(), 1);
        assert_eq!(*next, *format!("00-{}-0000000000000001-01", "ab".repeat(16)));
    }
}
