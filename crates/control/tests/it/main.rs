//! Access changing over time, told as stories and tried at random.

#[cfg(test)]
mod command_line;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod random;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod story;
#[cfg(test)]
mod world;
