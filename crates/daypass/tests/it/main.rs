//! The binary as its users meet it.

#[cfg(test)]
mod api;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod help;
#[cfg(test)]
mod schema;
