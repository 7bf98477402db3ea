//! The journal on real files, with a disk that fails on demand.

#[cfg(test)]
mod crash;
#[cfg(test)]
mod failure;
#[cfg(test)]
mod handover;
#[cfg(test)]
mod loss;
#[cfg(test)]
mod recording;
#[cfg(test)]
mod searching;
#[cfg(test)]
mod world;
