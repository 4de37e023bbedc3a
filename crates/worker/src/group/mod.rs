//! How workers share connectors and tasks: what they tell each other, and how their leader divides the work. No I/O and
//! no clock.

pub mod assignor;
pub mod protocol;
