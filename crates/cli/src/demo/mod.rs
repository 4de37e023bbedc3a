//! What `kanat demo` is made of: records as a shop would send them, and a look at the finished table.

pub(crate) mod orders;
pub(crate) mod preview;
