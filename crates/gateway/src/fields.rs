//! Header fields in order, in one buffer, as they are written on a wire: `name: value\r\n`.
//!
//! Names are in lower case. Whoever adds a field vouches for it: a codec that parsed it, or the proxy itself.
//! Not here: which fields pass (see `headers`).

use http::{HeaderMap, HeaderName, HeaderValue};

/// Between a name and its value.
const COLON: &[u8] = b": ";
/// Behind a value.
const END: &[u8] = b"\r\n";

/// Where fields are written: a list, a buffer that goes out, or the map of a codec.
pub(crate) trait Sink {
    /// Writes one more field. The name is in lower case, the value has no line break.
    fn add(&mut self, name: &str, value: &[u8]);
}

/// Fields in the order they came.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct FieldList {
    text: Vec<u8>,
    spans: Vec<Span>,
}

/// One field's place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    name_end: u32,
    /// Behind the value, before the line's end.
    end: u32,
}

fn place(at: usize) -> u32 {
    // No head is longer than a hundred thousand bytes (see `bounds`).
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl FieldList {
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.spans.clear();
    }

    /// Every field: its name in lower case and its value.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.spans.iter().map(|span| (self.name(*span), self.value(*span)))
    }

    /// The values of one name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(own, _)| *own == name).map(|(_, value)| value)
    }

    /// Keeps the fields for which `keep` says so.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&str, &[u8]) -> bool) {
        let mut spans = std::mem::take(&mut self.spans);
        spans.retain(|span| keep(self.name(*span), self.value(*span)));
        self.spans = spans;
    }

    /// Writes the fields out.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        for span in &self.spans {
            let line = self.text.get(span.start as usize..(span.end as usize).saturating_add(END.len()));
            out.extend_from_slice(line.unwrap_or_default());
        }
    }

    /// The fields as a codec's map. What cannot stand in one is left out; nothing that a codec parsed is.
    pub(crate) fn to_map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.len());
        for (name, value) in self.iter() {
            map.add(name, value);
        }
        map
    }

    fn name(&self, span: Span) -> &str {
        let name = self.text.get(span.start as usize..span.name_end as usize).unwrap_or_default();
        std::str::from_utf8(name).unwrap_or_default()
    }

    fn value(&self, span: Span) -> &[u8] {
        let start = (span.name_end as usize).saturating_add(COLON.len());
        self.text.get(start..span.end as usize).unwrap_or_default()
    }
}

impl Sink for FieldList {
    fn add(&mut self, name: &str, value: &[u8]) {
        let start = place(self.text.len());
        self.text.extend_from_slice(name.as_bytes());
        let name_end = self.text.len();
        if let Some(name) = self.text.get_mut(start as usize..) {
            name.make_ascii_lowercase();
        }
        self.text.extend_from_slice(COLON);
        self.text.extend_from_slice(value);
        let end = place(self.text.len());
        self.text.extend_from_slice(END);
        self.spans.push(Span { start, name_end: place(name_end), end });
    }
}

/// As HTTP/1 writes them.
impl Sink for Vec<u8> {
    fn add(&mut self, name: &str, value: &[u8]) {
        self.reserve(name.len().saturating_add(value.len()).saturating_add(COLON.len() + END.len()));
        self.extend_from_slice(name.as_bytes());
        self.extend_from_slice(COLON);
        self.extend_from_slice(value);
        self.extend_from_slice(END);
    }
}

impl Sink for HeaderMap {
    fn add(&mut self, name: &str, value: &[u8]) {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            self.append(name, value);
        }
    }
}

impl From<&HeaderMap> for FieldList {
    fn from(map: &HeaderMap) -> Self {
        let mut list = Self::default();
        for (name, value) in map {
            list.add(name.as_str(), value.as_bytes());
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_lose_their_case() {
        let mut list = FieldList::default();
        list.add("Host", b"a");
        list.add("X-A", b"1");
        list.add("x-a", b"");
        assert_eq!(list.iter().collect::<Vec<_>>(), [("host", &b"a"[..]), ("x-a", b"1"), ("x-a", b"")]);
        assert_eq!(list.all("x-a").count(), 2);
        list.retain(|name, _| name != "host");
        let mut out = Vec::new();
        list.write_to(&mut out);
        assert_eq!(out, b"x-a: 1\r\nx-a: \r\n");
        assert_eq!(
            FieldList::from(&list.to_map()).iter().collect::<Vec<_>>(),
            list.iter().collect::<Vec<_>>()
        );
    }
}
