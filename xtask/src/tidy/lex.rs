//! Just enough of Rust's lexical grammar to tell code, text and comments apart.
//!
//! Comments are dropped; lifetimes, character literals and numbers carry nothing a rule asks for.
//! Not here: what the tokens mean. See the Rust Reference, "Lexical structure".

/// A piece of code and the line it starts on, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    pub(crate) line: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier, keyword or number.
    Word,
    /// The inside of a string literal of any kind, escapes as written.
    Text,
    /// `::` or a single character of punctuation.
    Mark,
}

impl Token {
    pub(crate) fn is(&self, text: &str) -> bool {
        self.kind != Kind::Text && self.text == text
    }
}

/// The tokens of a source file. Total: text that is no Rust gives some tokens, never a failure.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { chars: source.chars().collect(), at: 0, line: 1, tokens: Vec::new() };
    while let Some(next) = lexer.peek(0) {
        lexer.step(next);
    }
    lexer.tokens
}

/// Whether `tokens` begin with these words and marks.
pub(crate) fn starts(tokens: &[Token], words: &[&str]) -> bool {
    words.iter().enumerate().all(|(at, word)| tokens.get(at).is_some_and(|token| token.is(word)))
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn take(&mut self) -> Option<char> {
        let next = self.peek(0)?;
        self.at += 1;
        self.line += usize::from(next == '\n');
        Some(next)
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.take();
        }
    }

    fn push(&mut self, kind: Kind, text: String, line: usize) {
        self.tokens.push(Token { kind, text, line });
    }

    fn step(&mut self, next: char) {
        match (next, self.peek(1)) {
            ('/', Some('/')) => self.line_comment(),
            ('/', Some('*')) => self.block_comment(),
            ('"', _) => self.text(),
            ('\'', _) => self.quote(),
            (':', Some(':')) => {
                self.push(Kind::Mark, "::".to_owned(), self.line);
                self.skip(2);
            }
            (c, _) if c.is_whitespace() => self.skip(1),
            (c, _) if is_word(c) => self.word(),
            (c, _) => {
                self.push(Kind::Mark, c.to_string(), self.line);
                self.skip(1);
            }
        }
    }

    fn line_comment(&mut self) {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.take();
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => {
                    depth += 1;
                    self.skip(2);
                }
                (Some('*'), Some('/')) => {
                    depth -= 1;
                    self.skip(2);
                }
                (Some(_), _) => self.skip(1),
                (None, _) => return,
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// A string literal with escapes, from its opening quote.
    fn text(&mut self) {
        let (line, mut text) = (self.line, String::new());
        self.take();
        while let Some(next) = self.take() {
            match next {
                '"' => break,
                '\\' => text.extend([Some('\\'), self.take()].into_iter().flatten()),
                other => text.push(other),
            }
        }
        self.push(Kind::Text, text, line);
    }

    /// A raw string literal, from its first `#` or its opening quote.
    fn raw_text(&mut self, hashes: usize) {
        let (line, mut text) = (self.line, String::new());
        self.skip(hashes + 1);
        while let Some(next) = self.take() {
            if next == '"' && (0..hashes).all(|ahead| self.peek(ahead) == Some('#')) {
                self.skip(hashes);
                break;
            }
            text.push(next);
        }
        self.push(Kind::Text, text, line);
    }

    /// A lifetime, or a character literal; neither becomes a token.
    fn quote(&mut self) {
        self.take();
        match (self.peek(0), self.peek(1)) {
            (Some('\\'), _) => {
                self.skip(2);
                while self.take().is_some_and(|c| c != '\'') {}
            }
            (Some(_), Some('\'')) => self.skip(2),
            _ => {}
        }
    }

    fn word(&mut self) {
        let (line, mut word) = (self.line, String::new());
        while let Some(next) = self.peek(0).filter(|c| is_word(*c)) {
            word.push(next);
            self.take();
        }
        let raw = matches!(word.as_str(), "r" | "br" | "cr");
        let hashes = (0..).take_while(|ahead| self.peek(*ahead) == Some('#')).count();
        if raw && self.peek(hashes) == Some('"') {
            self.raw_text(hashes);
        } else if matches!(word.as_str(), "b" | "c") && self.peek(0) == Some('"') {
            self.text();
        } else if word == "b" && self.peek(0) == Some('\'') {
            self.quote();
        } else if word == "r" && hashes == 1 {
            self.skip(1); // `r#match` is the word `match`
        } else {
            self.push(Kind::Word, word, line);
        }
    }
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, expected: &[&str]) {
        let found: Vec<String> = tokens(source).into_iter().map(|token| token.text).collect();
        assert_eq!(found, expected, "{source}");
    }

    #[test]
    fn comments_are_dropped_and_nest() {
        check("a // unsafe\nb /* x /* y */ unsafe */ c /// doc", &["a", "b", "c"]);
        check("a /* never closed", &["a"]);
    }

    #[test]
    fn strings_of_every_kind_are_one_token() {
        check(r#"f("a \" // b", b"c", 'x')"#, &["f", "(", r#"a \" // b"#, ",", "c", ",", ")"]);
        check("r#\"a \"quoted\" b\"# r\"c\" br##\"d\"# e\"##", &["a \"quoted\" b", "c", "d\"# e"]);
        check("\"never closed", &["never closed"]);
    }

    #[test]
    fn quotes_of_characters_and_lifetimes_open_no_string() {
        check(
            "let q = '\"'; fn f<'a>(x: &'a str) '\\'' b'\"' '\\u{1F600}' end",
            &["let", "q", "=", ";", "fn", "f", "<", "a", ">", "(", "x", ":", "&", "a", "str", ")", "end"],
        );
    }

    #[test]
    fn paths_are_split_and_lines_are_counted() {
        check("std::fs::read r#type", &["std", "::", "fs", "::", "read", "type"]);
        let lines: Vec<usize> = tokens("a\n\"x\ny\"\nb").iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 2, 4]);
    }
}
