//! Ledgers of every engine, and the keeper on top of them.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod file;
#[cfg(test)]
mod keeper;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod rebuild;
#[cfg(test)]
mod world;
