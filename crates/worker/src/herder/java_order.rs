//! The order in which Java's `HashMap` yields its keys: some answers of Connect are lists made of one.

/// Java's `String.hashCode`, spread as `HashMap` does.
fn spread_hash(text: &str) -> u32 {
    let hash = text.encode_utf16().fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
    hash ^ (hash >> 16)
}

/// Sorts items, given in the order of insertion, as a `HashMap` with these keys yields them.
pub(crate) fn sort_as_hash_map<T>(items: &mut [T], key: impl Fn(&T) -> &str) {
    let mut buckets = 16_u32;
    while items.len() > (buckets / 4 * 3) as usize && buckets < 1 << 30 {
        buckets *= 2;
    }
    items.sort_by_key(|item| spread_hash(key(item)) & (buckets - 1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_that_of_java() {
        let mut keys = [
            "converter.type",
            "schemas.enable",
            "schemas.cache.size",
            "schema.content",
            "decimal.format",
            "replace.null.with.default",
        ];
        sort_as_hash_map(&mut keys, |key| key);
        // As a worker lists the keys of its JSON converter.
        assert_eq!(
            keys,
            [
                "decimal.format",
                "converter.type",
                "schemas.cache.size",
                "replace.null.with.default",
                "schemas.enable",
                "schema.content"
            ]
        );
    }
}
