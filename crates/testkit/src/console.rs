//! What people ask of the console, through its real API: over the socket as its administrator, over TCP as a user.

use access::Timestamp;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::client::{Answer, Ask, Conn};
use crate::oracle::Holding;
use crate::world::World;

/// A grant that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// Its id.
    pub id: String,
    /// Who holds it.
    pub user: String,
    /// What it lets them do.
    pub role: String,
}

/// A credential that was handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Its id.
    pub id: String,
    /// Its text.
    pub secret: String,
}

impl World {
    /// Asks as an administrator, over the socket.
    pub async fn admin(&self, ask: Ask) -> Answer {
        let stream = UnixStream::connect(self.node().socket()).await.unwrap();
        self.ask_console(Conn::unkept(stream), ask).await
    }

    /// Asks as a user with a session, over TCP.
    pub async fn user(&self, name: &str, ask: Ask) -> Answer {
        if let Some(session) = self.known_session(name) {
            let answer = self.ask_tcp(ask.clone(), &session).await;
            if answer.status != 401 {
                return answer;
            }
        }
        // The session has ended, or was revoked with its holder's access.
        let session = self.session(name).await;
        self.ask_tcp(ask, &session).await
    }

    fn known_session(&self, name: &str) -> Option<String> {
        self.issued.borrow().sessions.get(name).cloned()
    }

    async fn ask_tcp(&self, ask: Ask, session: &str) -> Answer {
        self.ask_console(self.console().await, ask.bearer(session)).await
    }

    async fn ask_console(&self, mut connection: Conn, mut ask: Ask) -> Answer {
        if !ask.body.is_empty() {
            ask = ask.field("Content-Type", "application/json");
        }
        let answer = connection.ask(&ask).await;
        let mut issued = self.issued.borrow_mut();
        let mut text = answer.text();
        // The answer that hands a credential out is the one place where it may stand.
        for handed in ["token", "key", "session"] {
            if let Some(secret) = answer.json()[handed].as_str() {
                issued.secrets.push(secret.to_owned());
                text = text.replace(secret, "");
            }
        }
        issued.texts.push((format!("the console's answer to {}", ask.target), text.into_bytes()));
        answer
    }

    /// A session of the console for a user, long enough for any test.
    ///
    /// # Panics
    /// The console said no.
    pub async fn session(&self, user: &str) -> String {
        let answer = self.admin(post("/api/v1/sessions", &json!({ "user": user }))).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let session = text(&answer.json(), "session");
        self.issued.borrow_mut().sessions.insert(user.to_owned(), session.clone());
        session
    }

    /// Gives a grant.
    ///
    /// # Panics
    /// The console said no.
    pub async fn grant(&self, user: &str, role: &str, lifetime: &str) -> Granted {
        let answer = self.try_grant(user, role, lifetime).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let id = text(&answer.json(), "grant");
        Granted { id, user: user.to_owned(), role: role.to_owned() }
    }

    /// Asks for a grant to be given, and tells what the console said.
    pub async fn try_grant(&self, user: &str, role: &str, lifetime: &str) -> Answer {
        let asked = json!({ "role": role, "to": user, "for": lifetime, "reason": "a test needs it" });
        self.admin(post("/api/v1/grants", &asked)).await
    }

    /// Mints a token from a grant, as its holder.
    ///
    /// # Panics
    /// The console said no.
    pub async fn token(&self, grant: &Granted) -> Issue {
        self.narrow_token(grant, None, &[]).await
    }

    /// Mints a token that lasts shorter, or may do less, than its grant.
    ///
    /// # Panics
    /// The console said no.
    pub async fn narrow_token(&self, grant: &Granted, lifetime: Option<&str>, only: &[&str]) -> Issue {
        let mut asked = json!({ "grant": grant.id, "only": only });
        if let Some(lifetime) = lifetime {
            asked["for"] = lifetime.into();
        }
        let answer = self.user(&grant.user, post("/api/v1/tokens", &asked)).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let holding = Holding {
            subject: format!("user:{}", grant.user),
            roles: vec![grant.role.clone()],
            only: only.iter().map(|rule| (*rule).to_owned()).collect(),
            until: until(&answer.json(), "until"),
        };
        self.issue(&answer.json(), "token", holding)
    }

    /// A token for a fresh grant of one hour.
    ///
    /// # Panics
    /// The console said no.
    pub async fn fresh_token(&self, user: &str, role: &str) -> Issue {
        let grant = self.grant(user, role, "1h").await;
        self.token(&grant).await
    }

    /// Adds a service, and tells its key.
    ///
    /// # Panics
    /// The console said no.
    pub async fn service(&self, name: &str, roles: &[&str]) -> Issue {
        let asked = json!({ "name": name, "roles": roles, "for": "90d" });
        let answer = self.admin(post("/api/v1/services", &asked)).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let holding = Holding {
            subject: format!("service:{name}"),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            only: Vec::new(),
            until: until(&answer.json(), "expires"),
        };
        self.issue(&answer.json(), "key", holding)
    }

    /// Revokes, and tells the receipt: `what` is `grant`, `token`, `key`, `user`, `role`, `api` or `incident`.
    ///
    /// # Panics
    /// The console said no.
    pub async fn revoke(&self, what: &str, name: &str) -> Value {
        let answer = self.try_revoke(json!({ what: name, "reason": "a test says so" })).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Revokes everything.
    ///
    /// # Panics
    /// The console said no.
    pub async fn revoke_all(&self) -> Value {
        let answer = self.try_revoke(json!({ "all": true, "reason": "a test says so" })).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Asks for a revocation, and tells what the console said.
    pub async fn try_revoke(&self, asked: Value) -> Answer {
        self.admin(post("/api/v1/revocations", &asked)).await
    }

    fn issue(&self, answer: &Value, secret: &str, holding: Holding) -> Issue {
        let issue = Issue { id: text(answer, "id"), secret: text(answer, secret) };
        self.issued.borrow_mut().holdings.insert(issue.id.clone(), holding);
        issue
    }
}

/// A `POST` of JSON to the console.
#[must_use]
pub fn post(target: &str, asked: &Value) -> Ask {
    Ask::post(target, asked.to_string())
}

fn text(answer: &Value, name: &str) -> String {
    answer[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {answer}")).to_owned()
}

fn until(answer: &Value, name: &str) -> Timestamp {
    text(answer, name).parse().unwrap()
}
