//! The kanat command line.

fn main() {}
