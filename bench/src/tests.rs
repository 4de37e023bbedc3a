use sha2::{Digest, Sha256};

use crate::Shape;

/// First 16 hexadecimal digits of the SHA-256 of `count` records of seed 1, each followed by a line end.
fn digest(shape: Shape, count: u64) -> String {
    let mut hash = Sha256::new();
    let mut line = Vec::new();
    for number in 0..count {
        line.clear();
        shape.write(1, number, &mut line);
        line.push(b'\n');
        hash.update(&line);
    }
    hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Published figures of other programs were taken with these bytes: a changed record would compare unlike things.
#[test]
fn records_are_the_bytes_behind_the_published_figures() {
    assert_eq!(digest(Shape::Flat10, 100_000), "3c161e35b9af76b1");
    assert_eq!(digest(Shape::Taxi29, 20_000), "dc6090b85fede892");
    assert_eq!(digest(Shape::Small, 100_000), "21077c021c05f5d5");
}

#[test]
fn a_stream_can_be_generated_in_parts() {
    let mut whole = Vec::new();
    let mut parts = Vec::new();
    (0..10).for_each(|number| Shape::Taxi29.write(7, number, &mut whole));
    (0..4).chain(4..10).for_each(|number| Shape::Taxi29.write(7, number, &mut parts));
    assert_eq!(whole, parts);
}

#[test]
fn a_shape_is_named_by_its_text() {
    assert_eq!("taxi29".parse(), Ok(Shape::Taxi29));
    let error = "taxi".parse::<Shape>().unwrap_err();
    assert_eq!(error.to_string(), "unknown shape 'taxi', expected flat10, taxi29 or small");
}
