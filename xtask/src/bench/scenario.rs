//! What is measured: a table of scenarios. Adding one is adding a row.
//!
//! Not here: memory, which is not measured in slices (see `memory`).

use super::load::{Kind, Load};
use super::proxy::{Front, Proxy};

/// One kind of load on some proxies.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) front: Front,
    pub(crate) proxies: &'static [Proxy],
    pub(crate) connections: usize,
    pub(crate) load: Load,
}

/// Requests a second at which latency is compared, and what waking up costs.
const RATE: u32 = 12_000;

pub(crate) const SCENARIOS: [Scenario; 9] = [
    Scenario {
        name: "h1-64",
        title: "HTTP/1.1, 1 KiB answers, 64 connections, saturated",
        front: Front::Clear,
        proxies: &Proxy::ALL,
        connections: 64,
        load: Load::Saturate(Kind::Short),
    },
    Scenario {
        name: "h1-256",
        title: "HTTP/1.1, 1 KiB answers, 256 connections, saturated",
        front: Front::Clear,
        proxies: &Proxy::ALL,
        connections: 256,
        load: Load::Saturate(Kind::Short),
    },
    Scenario {
        name: "rate",
        title: "HTTP/1.1, 1 KiB answers, 64 connections, 12,000 requests a second",
        front: Front::Clear,
        proxies: &Proxy::PLAIN,
        connections: 64,
        load: Load::Rate(RATE),
    },
    Scenario {
        name: "download",
        title: "HTTP/1.1, 1 MiB answers, 16 connections, saturated",
        front: Front::Clear,
        proxies: &Proxy::PLAIN,
        connections: 16,
        load: Load::Saturate(Kind::Download),
    },
    Scenario {
        name: "upload",
        title: "HTTP/1.1, 1 MiB request bodies, 16 connections, saturated",
        front: Front::Clear,
        proxies: &Proxy::PLAIN,
        connections: 16,
        load: Load::Saturate(Kind::Upload),
    },
    Scenario {
        name: "connect",
        title: "HTTP/1.1, a connection for each request, 64 at once",
        front: Front::Clear,
        proxies: &Proxy::PLAIN,
        connections: 64,
        load: Load::Saturate(Kind::Fresh),
    },
    Scenario {
        name: "h2",
        title: "HTTP/2 in the clear, HTTP/1.1 upstream, 1 KiB answers, 16 connections of 8 streams, saturated",
        front: Front::H2c,
        proxies: &Proxy::PLAIN,
        connections: 16,
        load: Load::Streams(8),
    },
    Scenario {
        name: "tls",
        title: "HTTP/1.1 over TLS 1.3, 1 KiB answers, 64 connections, saturated",
        front: Front::Tls,
        proxies: &Proxy::PLAIN,
        connections: 64,
        load: Load::Saturate(Kind::Short),
    },
    Scenario {
        name: "tls-connect",
        title: "TLS 1.3, a full handshake for each request, 64 at once",
        front: Front::Tls,
        proxies: &Proxy::PLAIN,
        connections: 64,
        load: Load::Saturate(Kind::Fresh),
    },
];

/// What `--only` calls the part that is no scenario.
pub(crate) const MEMORY: &str = "memory";

/// What runs each day.
pub(crate) const DAILY: [&str; 2] = ["h1-64", "rate"];

/// Names that `--only` takes: scenarios, and `h1` for both of that kind.
pub(crate) fn named<'a>(words: &'a str, name: &'a str) -> bool {
    words.split(',').any(|word| word == name || (word == "h1" && name.starts_with("h1-")))
}

/// The first word that names nothing.
pub(crate) fn unknown(words: &str) -> Option<&str> {
    words.split(',').find(|word| {
        let known = SCENARIOS.iter().any(|scenario| named(word, scenario.name));
        !known && *word != MEMORY
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_choose_what_they_say_and_nothing_else() {
        let chosen = |words| -> Vec<_> {
            SCENARIOS.iter().map(|scenario| scenario.name).filter(|name| named(words, name)).collect()
        };
        assert_eq!(chosen("h1"), ["h1-64", "h1-256"]);
        assert_eq!(chosen("tls,h2"), ["h2", "tls"]);
        assert_eq!((unknown("h2,memory"), unknown("h2,h3"), unknown("")), (None, Some("h3"), Some("")));
    }

    #[test]
    fn a_scenario_has_nginx_to_compare_with_and_a_name_of_its_own() {
        for (at, scenario) in SCENARIOS.iter().enumerate() {
            assert!(scenario.proxies.contains(&Proxy::Nginx), "{}", scenario.name);
            assert!(SCENARIOS.iter().skip(at + 1).all(|other| other.name != scenario.name));
        }
        assert!(DAILY.iter().all(|name| SCENARIOS.iter().any(|scenario| scenario.name == *name)));
    }
}
