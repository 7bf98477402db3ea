//! The console over real HTTP, a real ledger and a real journal.

#[cfg(test)]
mod described;
#[cfg(test)]
mod doors;
#[cfg(test)]
mod names;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod story;
#[cfg(test)]
mod world;
