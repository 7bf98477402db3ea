//! The words of stories, read into acts: those of the command line.

use access::Lifetime;
use access::credential::CredentialKind;
use access::role::MethodPath;
use control::command::{AddService, GiveGrant, MintToken, OpenSession, RotateService};
use control::{Act, RevokeScope};

use crate::story::Story;

/// `--name value` pairs and the words before them.
struct Words<'a> {
    plain: Vec<&'a str>,
    options: Vec<(&'a str, String)>,
}

impl<'a> Words<'a> {
    /// Values may be quoted with `'`.
    fn read(text: &'a str) -> Self {
        let mut words = Self { plain: Vec::new(), options: Vec::new() };
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (word, after) = next(rest);
            rest = after;
            match word.strip_prefix("--") {
                Some("all") => words.options.push(("all", String::new())),
                Some(name) => {
                    let (value, after) = next(rest);
                    rest = after;
                    words.options.push((name, value.to_owned()));
                }
                None => words.plain.push(word),
            }
        }
        words
    }

    fn option(&self, wanted: &str) -> Option<&str> {
        let mut found = self.options.iter().filter(|(name, _)| *name == wanted);
        found.next().map(|(_, value)| value.as_str())
    }

    fn all(&self, wanted: &str) -> impl Iterator<Item = &str> {
        let found = self.options.iter().filter(move |(name, _)| *name == wanted);
        found.map(|(_, value)| value.as_str())
    }

    fn lifetime(&self) -> Option<Lifetime> {
        self.option("for").map(|text| text.parse().unwrap())
    }
}

fn next(text: &str) -> (&str, &str) {
    let (word, rest) = match text.strip_prefix('\'') {
        Some(quoted) => quoted.split_once('\'').unwrap(),
        None => text.split_once(' ').unwrap_or((text, "")),
    };
    (word, rest.trim_start())
}

impl Story {
    /// The act that a line asks for, with fresh ids that the story names `grant_1`, `token_1` and so on.
    pub(crate) fn act(&mut self, line: &str) -> Act {
        let words = Words::read(line);
        match words.plain.as_slice() {
            ["grant", role] => self.grant(role, &words),
            ["token"] => self.token(None, &words),
            ["token", grant] => self.token(Some(grant), &words),
            ["service", "add", name] => self.service(name, &words),
            ["service", "rotate", name] => self.rotate(name, &words),
            ["service", "remove", name] => Act::RemoveService { name: name.parse().unwrap() },
            ["session", user] => self.session(user, &words),
            ["logout", session] => Act::CloseSession { id: self.id(session).parse().unwrap() },
            ["revoke"] => self.revocation(&words),
            _ => panic!("`{line}` is no command"),
        }
    }

    fn grant(&mut self, role: &str, words: &Words<'_>) -> Act {
        let id = self.world.grant_id(self.now);
        self.name("grant", id);
        Act::GiveGrant(GiveGrant {
            id,
            to: words.option("to").unwrap().parse().unwrap(),
            role: role.parse().unwrap(),
            lifetime: words.lifetime().unwrap(),
            reason: words.option("reason").unwrap_or("on call").into(),
            incident: words.option("incident").map(|text| text.parse().unwrap()),
        })
    }

    fn token(&mut self, grant: Option<&str>, words: &Words<'_>) -> Act {
        let id = self.world.token_id(self.now);
        let digest = self.keep("token", id, CredentialKind::Token);
        let only = words.all("only").map(|text| text.parse::<MethodPath>().unwrap());
        Act::MintToken(MintToken {
            id,
            digest,
            grant: grant.map(|name| self.id(name).parse().unwrap()),
            lifetime: words.lifetime(),
            only: only.collect(),
        })
    }

    fn service(&mut self, name: &str, words: &Words<'_>) -> Act {
        let id = self.world.key_id(self.now);
        let digest = self.keep("key", id, CredentialKind::Key);
        Act::AddService(AddService {
            id,
            digest,
            name: name.parse().unwrap(),
            roles: words.all("role").map(|text| text.parse().unwrap()).collect(),
            lifetime: words.lifetime().unwrap(),
        })
    }

    fn rotate(&mut self, name: &str, words: &Words<'_>) -> Act {
        let id = self.world.key_id(self.now);
        let digest = self.keep("key", id, CredentialKind::Key);
        Act::RotateService(RotateService {
            id,
            digest,
            name: name.parse().unwrap(),
            lifetime: words.lifetime(),
        })
    }

    fn session(&mut self, user: &str, words: &Words<'_>) -> Act {
        let id = self.world.session_id(self.now);
        let digest = self.keep("session", id, CredentialKind::Session);
        Act::OpenSession(OpenSession {
            id,
            digest,
            subject: user.parse().unwrap(),
            lifetime: words.lifetime(),
        })
    }

    fn revocation(&self, words: &Words<'_>) -> Act {
        let (kind, text) = words.options.first().unwrap();
        let scope = match *kind {
            "grant" => RevokeScope::Grant(self.id(text).parse().unwrap()),
            "token" => RevokeScope::Token(self.id(text).parse().unwrap()),
            "key" => RevokeScope::Key(self.id(text).parse().unwrap()),
            "user" => RevokeScope::User(text.parse().unwrap()),
            "role" => RevokeScope::Role(text.parse().unwrap()),
            "api" => RevokeScope::Api(text.parse().unwrap()),
            "incident" => RevokeScope::Incident(text.parse().unwrap()),
            "all" => RevokeScope::All,
            other => panic!("`{other}` is no scope"),
        };
        Act::Revoke { scope, reason: words.option("reason").unwrap_or("leaked").into() }
    }
}
