//! Header fields in order, in one buffer.
//!
//! Names are in lower case. Whoever adds a field vouches for it: a codec that parsed it, or the proxy itself.
//! A head's own bytes are kept as they came but for the case of names, so that fields that pass are written in
//! runs, without a copy each. Not here: which fields pass (see `headers`), what names mean (see `name`).

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::bounds::KEPT_BUFFER_BYTES_MAX;
use crate::name::Name;

/// Between a name and its value.
const COLON: &[u8] = b": ";
/// Behind a value.
const END: &[u8] = b"\r\n";

/// Room for what is added to a head's fields: an id and a receipt.
const ADDED_BYTES: usize = 256;
/// See [`ADDED_BYTES`].
const ADDED_FIELDS: usize = 3;

/// Where fields are written: a list, a buffer that goes out, or the map of a codec.
pub(crate) trait Sink {
    /// Writes one more field. The name is in lower case, the value has no line break.
    fn add(&mut self, name: &[u8], value: &[u8]);
}

/// Fields in the order they came.
#[derive(Debug, Default, Clone)]
pub(crate) struct FieldList {
    text: Vec<u8>,
    spans: Vec<Span>,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) name: Name,
    /// The name in lower case.
    pub(crate) text: &'a [u8],
    pub(crate) value: &'a [u8],
}

/// One field's place in the text.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    name_end: u32,
    value: u32,
    end: u32,
    name: Name,
    spelling: Spelling,
}

/// Whether a field stands in the text as it is written: `name: value\r\n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Own,
    Other,
}

fn place(at: usize) -> u32 {
    // No head is longer than a few times 64 KiB (see `bounds`).
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Eight letters at a time: names are short.
fn make_lowercase(name: &mut [u8]) {
    let (eights, rest) = name.as_chunks_mut::<8>();
    eights.iter_mut().for_each(|eight| eight.make_ascii_lowercase());
    rest.make_ascii_lowercase();
}

impl FieldList {
    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.spans.clear();
    }

    /// Its room, without what a long head has taken.
    pub(crate) fn emptied(mut self) -> Self {
        if self.text.capacity() > KEPT_BUFFER_BYTES_MAX {
            return Self::default();
        }
        self.clear();
        self
    }

    /// Takes the fields that were parsed from `head`, whose parts they are.
    pub(crate) fn take(&mut self, head: &[u8], parsed: &[httparse::Header<'_>]) {
        self.clear();
        self.text.reserve(head.len().saturating_add(ADDED_BYTES));
        self.text.extend_from_slice(head);
        self.spans.reserve(parsed.len().saturating_add(ADDED_FIELDS));
        // Distances between parts of one slice.
        let at = |part: &[u8]| part.as_ptr().addr().wrapping_sub(head.as_ptr().addr());
        for field in parsed {
            let (start, value) = (at(field.name.as_bytes()), field.value.trim_ascii());
            let name_end = start.saturating_add(field.name.len());
            // An empty value may be no part of the head.
            let value_at = if value.is_empty() { name_end } else { at(value) };
            let end = value_at.saturating_add(value.len());
            let is_own = head.get(name_end..value_at) == Some(COLON)
                && head.get(end..end.saturating_add(END.len())) == Some(END);
            let name = self.text.get_mut(start..name_end).map_or(Name::Other, |text| {
                make_lowercase(text);
                Name::of(text)
            });
            self.spans.push(Span {
                start: place(start),
                name_end: place(name_end),
                value: place(value_at),
                end: place(end),
                name,
                spelling: if is_own { Spelling::Own } else { Spelling::Other },
            });
        }
    }

    /// Every field.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.spans.iter().map(|span| self.entry(*span))
    }

    /// Every field: its name in lower case and its value.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.spans.iter().map(|span| (self.text(*span), self.value(*span)))
    }

    /// The values of one name that is known.
    pub(crate) fn known(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        self.spans.iter().filter(move |span| span.name == name).map(|span| self.value(*span))
    }

    /// The values of one name, whatever it is.
    pub(crate) fn all<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(own, _)| *own == name).map(|(_, value)| value)
    }

    /// Keeps the fields for which `keep` says so.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(Entry<'_>) -> bool) {
        let mut spans = std::mem::take(&mut self.spans);
        spans.retain(|span| keep(self.entry(*span)));
        self.spans = spans;
    }

    /// Writes the fields out, as HTTP/1 does.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        let mut run = (0, 0);
        for span in &self.spans {
            if span.spelling == Spelling::Own && span.start == run.1 {
                run.1 = span.end.saturating_add(2);
                continue;
            }
            out.extend_from_slice(self.between(run.0, run.1));
            run = match span.spelling {
                Spelling::Own => (span.start, span.end.saturating_add(2)),
                Spelling::Other => {
                    out.add(self.text(*span), self.value(*span));
                    (0, 0)
                }
            };
        }
        out.extend_from_slice(self.between(run.0, run.1));
    }

    /// The fields as a codec's map. What cannot stand in one is left out; nothing that a codec parsed is.
    pub(crate) fn to_map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.len());
        for (name, value) in self.iter() {
            map.add(name, value);
        }
        map
    }

    fn entry(&self, span: Span) -> Entry<'_> {
        Entry { name: span.name, text: self.text(span), value: self.value(span) }
    }

    fn text(&self, span: Span) -> &[u8] {
        self.between(span.start, span.name_end)
    }

    fn value(&self, span: Span) -> &[u8] {
        self.between(span.value, span.end)
    }

    fn between(&self, start: u32, end: u32) -> &[u8] {
        self.text.get(start as usize..end as usize).unwrap_or_default()
    }
}

impl Sink for FieldList {
    fn add(&mut self, name: &[u8], value: &[u8]) {
        let start = self.text.len();
        self.text.add(name, value);
        let name_end = start.saturating_add(name.len());
        let value_at = name_end.saturating_add(COLON.len());
        self.spans.push(Span {
            start: place(start),
            name_end: place(name_end),
            value: place(value_at),
            end: place(value_at.saturating_add(value.len())),
            name: Name::of(name),
            spelling: Spelling::Own,
        });
    }
}

/// As HTTP/1 writes them.
impl Sink for Vec<u8> {
    fn add(&mut self, name: &[u8], value: &[u8]) {
        self.reserve(name.len().saturating_add(value.len()).saturating_add(COLON.len() + END.len()));
        self.extend_from_slice(name);
        self.extend_from_slice(COLON);
        self.extend_from_slice(value);
        self.extend_from_slice(END);
    }
}

impl Sink for HeaderMap {
    fn add(&mut self, name: &[u8], value: &[u8]) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            self.append(name, value);
        }
    }
}

impl From<&HeaderMap> for FieldList {
    fn from(map: &HeaderMap) -> Self {
        let mut list = Self::default();
        for (name, value) in map {
            list.add(name.as_str().as_bytes(), value.as_bytes());
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(list: &FieldList) -> String {
        let mut out = Vec::new();
        list.write_to(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_passes_of_a_head_is_written_in_order_and_in_one_spelling() {
        let head =
            b"Host: a\r\nX-One:1\r\nX-Two: 2\r\nx-three: 3\r\nX-Empty:\r\nX-Wide:   4  \r\nX-Four: 5\r\n\r\n";
        let mut room = [httparse::EMPTY_HEADER; 8];
        let httparse::Status::Complete((_, parsed)) = httparse::parse_headers(head, &mut room).unwrap()
        else {
            panic!("not a whole head")
        };
        let mut list = FieldList::default();
        list.take(head, parsed);
        list.retain(|field| field.text != b"x-two");
        list.add(b"x-own", b"6");
        assert_eq!(
            written(&list),
            "host: a\r\nx-one: 1\r\nx-three: 3\r\nx-empty: \r\nx-wide: 4\r\nx-four: 5\r\nx-own: 6\r\n"
        );
        assert_eq!(list.all(b"x-wide").collect::<Vec<_>>(), [b"4"]);
        assert_eq!(written(&FieldList::from(&list.to_map())).len(), written(&list).len());
        assert_eq!(written(&FieldList::default()), "");
        assert_eq!(list.known(Name::Connection).count(), 0);
        list.add(b"connection", b"close, x-one");
        assert_eq!(list.known(Name::Connection).collect::<Vec<_>>(), [b"close, x-one"]);
        list.retain(|field| field.name != Name::Connection);
        assert_eq!(list.known(Name::Connection).count(), 0);
    }
}
