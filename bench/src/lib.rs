//! Benchmark records: JSON objects whose bytes are a function of (shape, seed, record number) alone.
//!
//! Every contender of a comparison is fed the same bytes, and a stream can be cut anywhere and generated in parts. Three
//! pseudo-random words are drawn per record, each the successor of the one before; every field is arithmetic on them.

mod calendar;
mod shapes;
mod text;

pub use shapes::{Shape, UnknownShape};

/// Finalizer of splitmix64: one step of the sequence that all fields are drawn from.
fn successor(state: u64) -> u64 {
    let mut word = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// The three words of a record, and its number.
struct Draw {
    number: u64,
    first: u64,
    second: u64,
    third: u64,
}

impl Draw {
    fn new(seed: u64, number: u64) -> Draw {
        let first = successor(seed.wrapping_mul(0x100_0003).wrapping_add(number));
        let second = successor(first);
        Draw { number, first, second, third: successor(second) }
    }
}

#[cfg(test)]
mod tests;
