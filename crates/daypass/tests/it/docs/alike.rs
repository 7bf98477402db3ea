//! Whether output is what a document shows, but for what differs with every run.
//!
//! Ids and ports are remembered as they are met, so that a command of the document can name the id that it
//! showed before. An id stands for one thing throughout a document; a port may change with a restart; times,
//! durations, positions in the journal and the system's user are compared by their form alone.

use std::collections::BTreeMap;

/// A piece of a line.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Id(&'a str),
    Port(&'a str),
    /// A time, a duration, a position or a user: its kind.
    Varying(&'static str),
}

/// What the document's ids and ports are in this run.
#[derive(Debug, Default)]
pub(super) struct Known {
    ids: BTreeMap<String, String>,
    ports: BTreeMap<String, String>,
}

impl Known {
    /// Whether the lines are alike; what differs is said.
    pub(super) fn alike(&mut self, shown: &[String], said: &[String]) -> Result<(), String> {
        for (shown, said) in shown.iter().zip(said) {
            if !self.line(shown.trim_end(), said.trim_end()) {
                return Err(format!("shown: {shown}\n said: {said}"));
            }
        }
        match (shown.get(said.len()), said.get(shown.len())) {
            (Some(missing), _) => Err(format!("shown and not said: {missing}")),
            (_, Some(more)) => Err(format!("said and not shown: {more}")),
            (None, None) => Ok(()),
        }
    }

    fn line(&mut self, shown: &str, said: &str) -> bool {
        let (shown, said) = (pieces(shown), pieces(said));
        shown.len() == said.len() && shown.iter().zip(&said).all(|(shown, said)| self.piece(shown, said))
    }

    fn piece(&mut self, shown: &Piece<'_>, said: &Piece<'_>) -> bool {
        match (shown, said) {
            (Piece::Id(shown), Piece::Id(said)) => {
                self.ids.entry((*shown).to_owned()).or_insert_with(|| (*said).to_owned()) == said
            }
            (Piece::Port(shown), Piece::Port(said)) => {
                self.ports.insert((*shown).to_owned(), (*said).to_owned());
                true
            }
            (shown, said) => shown == said,
        }
    }

    /// The document's command as it is typed in this run. A port that is not known yet is any free one.
    pub(super) fn typed(&self, command: &str) -> String {
        let known = |piece| match piece {
            Piece::Id(id) => self.ids.get(id).map_or(id, String::as_str).to_owned(),
            Piece::Port(port) => self.ports.get(port).map_or("0", String::as_str).to_owned(),
            Piece::Text(text) => text.to_owned(),
            Piece::Varying(_) => unreachable!("commands are cut without their context"),
        };
        cut(command).into_iter().map(known).collect()
    }
}

/// JSON that is shown on several lines is compared as what it says.
pub(super) fn compact(lines: &[String]) -> Vec<String> {
    let mut compacted = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let json = (at + 1..=lines.len()).find_map(|end| {
            let value = serde_json::from_str::<serde_json::Value>(&lines[at..end].join("\n")).ok()?;
            Some((end, value.to_string()))
        });
        match json.filter(|_| lines[at].starts_with(['{', '['])) {
            Some((end, json)) => {
                compacted.push(json);
                at = end;
            }
            None => {
                compacted.push(lines[at].clone());
                at += 1;
            }
        }
    }
    compacted
}

/// A line of output, with what varies taken out.
fn pieces(line: &str) -> Vec<Piece<'_>> {
    if line.starts_with("date: ") {
        return vec![Piece::Varying("date")];
    }
    // Which version, process and program it is that serves.
    let serves = line.split_once(" version=").filter(|(serves, _)| serves.contains(" serving node="));
    let line = serves.map_or(line, |(serves, _)| serves);
    let mut pieces = cut(line);
    for at in 0..pieces.len() {
        if let Some(kind) = varying(&pieces, at) {
            pieces[at] = Piece::Varying(kind);
        }
    }
    pieces
}

/// What kind of thing a piece is that differs with every run, seen among its neighbors.
fn varying(pieces: &[Piece<'_>], at: usize) -> Option<&'static str> {
    let text = |at: Option<usize>| match at.and_then(|at| pieces.get(at)) {
        Some(Piece::Text(text)) => *text,
        _ => "",
    };
    let here = text(Some(at));
    if is_time(here) {
        return Some("time");
    }
    if here.starts_with("local:") {
        return Some("user of the system");
    }
    let (before, unit) = (text(at.checked_sub(2)), text(Some(at + 2)));
    let in_receipt = text(at.checked_sub(1)) == "/"
        && matches!(pieces.get(at + 2), Some(Piece::Id(hash)) if hash.len() == 64);
    match is_number(here) {
        true if ["ms", "µs"].contains(&unit) => Some("duration"),
        true if in_receipt || before == "entry" || unit == "entries" => Some("position"),
        _ => None,
    }
}

/// A text in words and what stands between them; ids and ports told apart.
fn cut(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
        let (named, stop) = word.split_at(word.trim_end_matches(['.', ':']).len());
        let (between, after) = after.split_at(after.find(is_word).unwrap_or(after.len()));
        name(&mut pieces, named);
        pieces.extend([stop, between].into_iter().filter(|text| !text.is_empty()).map(Piece::Text));
        rest = after;
    }
    pieces
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || "_-.:".contains(character)
}

fn name<'a>(pieces: &mut Vec<Piece<'a>>, word: &'a str) {
    let before = pieces.len().checked_sub(2).map(|at| &pieces[at]);
    if let Some(port) = word.strip_prefix("127.0.0.1:").filter(|port| is_number(port)) {
        pieces.extend([Piece::Text("127.0.0.1:"), Piece::Port(port)]);
    } else if is_number(word) && matches!(before, Some(Piece::Text("port" | "http.server"))) {
        pieces.push(Piece::Port(word));
    } else if is_id(word) {
        pieces.push(Piece::Id(word));
    } else if !word.is_empty() {
        pieces.push(Piece::Text(word));
    }
}

fn is_number(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit()) && word.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

fn is_hex(word: &str) -> bool {
    word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A UUID, a typed id, the name of a node, or a SHA-256.
fn is_id(word: &str) -> bool {
    let groups: Vec<_> = word.split('-').collect();
    let uuid = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]);
    let typed = word.split_once('_').is_some_and(|(_, id)| {
        id.len() == 26 && id.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
    });
    let node = word.strip_prefix("node-").is_some_and(|id| id.len() == 8 && is_hex(id));
    typed || node || uuid && groups.iter().all(|group| is_hex(group)) || word.len() == 64 && is_hex(word)
}

/// `2026-11-22T02:26:07.094770Z`
fn is_time(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && bytes[bytes.len() - 1] == b'Z'
}
