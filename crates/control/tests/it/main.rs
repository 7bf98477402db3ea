//! Access changing over time, told as stories and tried at random.

mod command_line;
mod properties;
mod random;
mod rules;
mod story;
mod world;
