//! Stories: what people do, line by line, and what came of it.
//!
//! ```text
//! 10:00 admin grants alice orders-viewer for 30m
//! 10:05 alice GET /orders/v1/orders/7
//! 10:06 admin revokes user alice
//! 10:06 alice GET /orders/v1/orders/7
//! ```
//! A grant gives its holder a token at once; `alice mints for 5m only GET /v1/orders/{id}` gives a narrower one,
//! which she uses from then on. `admin adds service ci as orders-viewer` gives `ci` a key. Whoever holds nothing
//! asks without a credential. The clock stands still between lines.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use expect_test::Expect;

use crate::client::Ask;
use crate::console::{Granted, Issue};
use crate::setup::Setup;
use crate::world::World;

/// Tells a story in the default world, and compares what came of it.
///
/// # Panics
/// A line has no meaning, or it came otherwise.
pub async fn check(story: &str, expected: Expect) {
    check_in(Setup::default(), story, expected).await;
}

/// Tells a story in a world of another setup.
///
/// # Panics
/// A line has no meaning, or it came otherwise.
pub async fn check_in(setup: Setup, story: &str, expected: Expect) {
    let mut stage = Stage { world: World::of(setup).await, grants: BTreeMap::new(), held: BTreeMap::new() };
    let mut told = String::new();
    let mut began = None;
    for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (time, act) = line.split_once(' ').unwrap_or_else(|| panic!("no time in `{line}`"));
        let at = minutes(time);
        let since = Duration::from_secs(60 * (at - *began.get_or_insert(at)));
        stage.world.advance(since.saturating_sub(stage.world.elapsed())).await;
        let words: Vec<&str> = act.split(' ').collect();
        if let Some(came) = stage.play(&words).await {
            writeln!(told, "{time} {came}").unwrap();
        }
    }
    expected.assert_eq(&told);
    stage.world.finish().await;
}

fn minutes(time: &str) -> u64 {
    let parsed = time
        .split_once(':')
        .and_then(|(hours, minutes)| Some(hours.parse::<u64>().ok()? * 60 + minutes.parse::<u64>().ok()?));
    parsed.unwrap_or_else(|| panic!("`{time}` is no time like `10:05`"))
}

struct Stage {
    world: World,
    /// The newest grant of each person.
    grants: BTreeMap<String, Granted>,
    /// What each person or service shows.
    held: BTreeMap<String, Issue>,
}

impl Stage {
    async fn play(&mut self, words: &[&str]) -> Option<String> {
        match *words {
            ["admin", "grants", who, role, "for", lifetime] => self.grant(who, role, lifetime).await,
            ["admin", "adds", "service", name, "as", role] => {
                let key = self.world.service(name, &[role]).await;
                self.held.insert(name.to_owned(), key);
                None
            }
            ["admin", "revokes", "everything"] => {
                self.world.revoke_all().await;
                None
            }
            ["admin", "revokes", what, whose] => self.revoke(what, whose).await,
            [who, "mints", "for", lifetime] => self.mint(who, lifetime, &[]).await,
            [who, "mints", "for", lifetime, "only", method, template] => {
                self.mint(who, lifetime, &[&format!("{method} {template}")]).await
            }
            [who, method, target] => Some(self.ask(who, method, target).await),
            _ => panic!("`{}` means nothing in a story", words.join(" ")),
        }
    }

    async fn grant(&mut self, who: &str, role: &str, lifetime: &str) -> Option<String> {
        let answer = self.world.try_grant(who, role, lifetime).await;
        if answer.status != 201 {
            return Some(format!("denied admin grants {who} {role}: {}", answer.json()["code"]));
        }
        let id = answer.json()["grant"].as_str().unwrap_or_default().to_owned();
        let grant = Granted { id, user: who.to_owned(), role: role.to_owned() };
        self.held.insert(who.to_owned(), self.world.token(&grant).await);
        self.grants.insert(who.to_owned(), grant);
        None
    }

    async fn mint(&mut self, who: &str, lifetime: &str, only: &[&str]) -> Option<String> {
        let token = self.world.narrow_token(&self.grants[who], Some(lifetime), only).await;
        self.held.insert(who.to_owned(), token);
        None
    }

    /// `grant alice` and `token alice` mean her newest; `key ci` means the service's.
    async fn revoke(&mut self, what: &str, whose: &str) -> Option<String> {
        let name = match what {
            "grant" => self.grants[whose].id.clone(),
            "token" | "key" => self.held[whose].id.clone(),
            _ => whose.to_owned(),
        };
        self.world.revoke(what, &name).await;
        None
    }

    async fn ask(&mut self, who: &str, method: &str, target: &str) -> String {
        let ask = Ask::new(method, target);
        let ask = match self.held.get(who) {
            Some(held) => ask.bearer(&held.secret),
            None => ask,
        };
        let answer = self.world.send(&ask).await;
        let verdict = if answer.code().is_empty() { "allow " } else { "refuse" };
        let came = if answer.code().is_empty() { answer.status.to_string() } else { answer.code() };
        format!("{verdict} {who} {method} {target} {came}")
    }
}
