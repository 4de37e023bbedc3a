//! `_olake_id`: the row identity OLake derives from where a record lies in its topic.
//!
//! It is the lower-case hex MD5 of `"<offset>|<partition>|"` (OLake hashes the primary key columns
//! in name order, each followed by `|`). Every row of every table carries one, so the digest is on
//! the record path: messages are always shorter than one MD5 block, which lets [`LANES`] of them be
//! hashed side by side in plain arithmetic the compiler turns into vector instructions.

/// Digests computed at once. Eight 32-bit lanes fill two SSE2 or one AVX2 register.
const LANES: usize = 8;

/// Characters of one id.
pub(crate) const ID_CHARS: usize = 32;

/// `floor(2^32 * abs(sin(step + 1)))` (RFC 1321).
const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

const INITIAL_STATE: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// One 32-bit word of every lane.
type Lanes = [u32; LANES];

/// Sixteen message words of every lane, word-major so that a step reads one row.
type Block = [Lanes; 16];

/// Writes the id of every offset of one partition to `out`, [`ID_CHARS`] bytes each.
pub(crate) fn append_ids(offsets: &[i64], partition: i32, out: &mut Vec<u8>) {
    out.reserve(offsets.len() * ID_CHARS);
    let suffix = format!("|{partition}|");
    for chunk in offsets.chunks(LANES) {
        let mut block: Block = [[0; LANES]; 16];
        for (lane, offset) in chunk.iter().enumerate() {
            fill_lane(&mut block, lane, *offset, suffix.as_bytes());
        }
        let digests = digest(&block);
        for lane in 0..chunk.len() {
            append_hex(&digests, lane, out);
        }
    }
}

/// Lays out one padded message: text, the 0x80 terminator, zeros, the length in bits.
fn fill_lane(block: &mut Block, lane: usize, offset: i64, suffix: &[u8]) {
    let mut message = [0_u8; 56];
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(offset).as_bytes();
    let length = digits.len() + suffix.len();
    message[..digits.len()].copy_from_slice(digits);
    message[digits.len()..length].copy_from_slice(suffix);
    message[length] = 0x80;
    for (word, bytes) in message.chunks_exact(4).enumerate() {
        block[word][lane] = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    // At most 20 + 13 characters: the bit length fits the low word.
    block[14][lane] = length as u32 * 8;
}

/// The four state words of every lane after one block.
fn digest(block: &Block) -> [Lanes; 4] {
    let mut state = INITIAL_STATE.map(|word| [word; LANES]);
    state = round::<0, 7, 12, 17, 22>(state, block, |step| step);
    state = round::<1, 5, 9, 14, 20>(state, block, |step| (5 * step + 1) % 16);
    state = round::<2, 4, 11, 16, 23>(state, block, |step| (3 * step + 5) % 16);
    state = round::<3, 6, 10, 15, 21>(state, block, |step| (7 * step) % 16);
    for (lanes, initial) in state.iter_mut().zip(INITIAL_STATE) {
        for word in lanes.iter_mut() {
            *word = word.wrapping_add(initial);
        }
    }
    state
}

/// Sixteen steps. `R0` to `R3` are the rotations; `word_of` says which message word a step reads.
///
/// Constants, not tables: a vector unit without variable shifts needs to know the rotation.
#[inline(always)]
fn round<const ROUND: usize, const R0: u32, const R1: u32, const R2: u32, const R3: u32>(
    [mut a, mut b, mut c, mut d]: [Lanes; 4],
    block: &Block,
    word_of: impl Fn(usize) -> usize,
) -> [Lanes; 4] {
    for first in [0, 4, 8, 12] {
        let word = |index: usize| &block[word_of(first + index)];
        let sine = |index: usize| SINES[16 * ROUND + first + index];
        a = step::<ROUND, R0>(&a, &b, &c, &d, word(0), sine(0));
        d = step::<ROUND, R1>(&d, &a, &b, &c, word(1), sine(1));
        c = step::<ROUND, R2>(&c, &d, &a, &b, word(2), sine(2));
        b = step::<ROUND, R3>(&b, &c, &d, &a, word(3), sine(3));
    }
    [a, b, c, d]
}

#[inline(always)]
fn step<const ROUND: usize, const ROTATION: u32>(
    a: &Lanes,
    b: &Lanes,
    c: &Lanes,
    d: &Lanes,
    word: &Lanes,
    sine: u32,
) -> Lanes {
    let mut next = [0; LANES];
    for lane in 0..LANES {
        let (x, y, z) = (b[lane], c[lane], d[lane]);
        let mixed = match ROUND {
            0 => z ^ (x & (y ^ z)),
            1 => y ^ (z & (x ^ y)),
            2 => x ^ y ^ z,
            _ => y ^ (x | !z),
        };
        let sum = a[lane].wrapping_add(mixed).wrapping_add(sine).wrapping_add(word[lane]);
        next[lane] = x.wrapping_add(sum.rotate_left(ROTATION));
    }
    next
}

fn append_hex(digests: &[Lanes; 4], lane: usize, out: &mut Vec<u8>) {
    let mut id = [0_u8; ID_CHARS];
    for (word, text) in id.chunks_exact_mut(8).enumerate() {
        for (byte, pair) in digests[word][lane].to_le_bytes().iter().zip(text.chunks_exact_mut(2)) {
            pair.copy_from_slice(&HEX_PAIRS[usize::from(*byte)]);
        }
    }
    out.extend_from_slice(&id);
}

/// The two hex digits of every byte.
const HEX_PAIRS: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    pairs
};

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(offsets: &[i64], partition: i32) -> Vec<String> {
        let mut out = Vec::new();
        append_ids(offsets, partition, &mut out);
        out.chunks(ID_CHARS).map(|id| String::from_utf8(id.to_vec()).unwrap()).collect()
    }

    #[test]
    fn equals_the_vectors_recorded_from_olake() {
        assert_eq!(ids(&[0], 0), ["6c17f4344e1e5225410940db98b328f0"]);
        assert_eq!(ids(&[42], 3), ["4e8f3822c6aa06ef5752efa452c535f3"]);
    }

    #[test]
    fn equals_an_independent_md5_for_every_lane_and_length() {
        let offsets = [0, 7, 99, 12_345, i64::MAX, 1 << 40, 3, 1_000_000_007, 8, 9, i64::MAX - 1];
        for partition in [0, 5, 63, i32::MAX] {
            let expected: Vec<String> =
                offsets.iter().map(|offset| format!("{:x}", md5::compute(format!("{offset}|{partition}|")))).collect();
            assert_eq!(ids(&offsets, partition), expected, "partition {partition}");
        }
    }
}
