//! `listen.trusted_proxies` and `listen.connections_per_source`.

use gateway::source::{Callers, Speak};
use ipnet::IpNet;

use super::super::file::{self as written, Listen};
use super::super::place::Placed;
use super::super::text::Text;
use super::Resolver;

/// The most addresses and networks of trusted proxies.
const TRUSTED_MAX: usize = 256;

/// The most connections of one source that can be asked for.
const CONNECTIONS_MAX: u32 = 1_000_000;

impl Resolver<'_> {
    pub(super) fn callers(&mut self, listen: &Listen) -> Callers {
        let (proxies, speak) = match &listen.trusted_proxies {
            None => (Vec::new(), Speak::default()),
            Some(trusted) => (self.proxies(&trusted.addresses), speak(trusted.speak)),
        };
        let connections = listen.connections_per_source.as_ref().and_then(|most| self.connections(most));
        Callers { proxies, speak, connections_per_source_max: connections }
    }

    fn proxies(&mut self, written: &Placed<Vec<Placed<Text>>>) -> Vec<IpNet> {
        if written.is_empty() {
            let says = "an empty list trusts nobody";
            self.refuse(written.place, says, "name an address, or remove `trusted_proxies`");
        }
        if written.len() > TRUSTED_MAX {
            let says = format!("at most {TRUSTED_MAX} addresses and networks can be trusted");
            self.refuse(written.place, says, "name the networks that hold them");
        }
        written.value.iter().filter_map(|text| self.network(text)).collect()
    }

    fn network(&mut self, written: &Placed<Text>) -> Option<IpNet> {
        let text: &str = &written.value;
        let network =
            text.parse().or_else(|_| text.parse().map(|ip: std::net::IpAddr| IpNet::from(ip.to_canonical())));
        let Ok(network) = network else {
            let says = format!("`{text}` is not an IP address or network");
            self.refuse(written.place, says, "write it like `10.0.0.7` or `10.0.0.0/24`");
            return None;
        };
        if network.prefix_len() == 0 {
            let says = "this trusts everybody to say who they are";
            self.refuse(written.place, says, "name the addresses of the proxies in front");
        } else if network != network.trunc() {
            let says = format!("`{text}` names an address inside a network");
            self.refuse(written.place, says, format!("write `{}` for the network", network.trunc()));
        }
        Some(network)
    }

    fn connections(&mut self, written: &Placed<u32>) -> Option<usize> {
        if !(1..=CONNECTIONS_MAX).contains(&written.value) {
            let says = format!("{} connections of a source are out of bounds", written.value);
            self.refuse(written.place, says, format!("write a number from 1 to {CONNECTIONS_MAX}"));
        }
        usize::try_from(written.value).ok()
    }
}

const fn speak(written: written::Speak) -> Speak {
    match written {
        written::Speak::Forwarded => Speak::Forwarded,
        written::Speak::ProxyProtocol => Speak::ProxyProtocol,
    }
}
