//! Daypass end to end: the binary as its users meet it, and the node on real sockets and files, with the oracle
//! after every test that sends traffic.

#[cfg(test)]
mod acme;
#[cfg(test)]
mod advice;
#[cfg(test)]
mod api;
#[cfg(test)]
mod asking;
#[cfg(test)]
mod callers;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod cors;
#[cfg(test)]
mod differ;
#[cfg(test)]
mod docs;
#[cfg(test)]
mod draining;
#[cfg(test)]
mod framing;
#[cfg(test)]
mod grants;
#[cfg(test)]
mod grpc;
#[cfg(test)]
mod headers;
#[cfg(test)]
mod help;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod http2_limits;
#[cfg(test)]
mod journal;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod paths;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod reload;
#[cfg(test)]
mod revocation;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod serving;
#[cfg(test)]
mod supervised;
#[cfg(test)]
mod timeouts;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod upgrade;
#[cfg(test)]
mod upstreams;
#[cfg(test)]
mod websocket;
