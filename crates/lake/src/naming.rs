//! Column and folder names: OLake's `Reformat`, and what happens when two source keys want the same name.
//!
//! OLake keeps one of the colliding values and says nothing. Here the first key seen gets the plain name and every
//! later one a numbered name (`a_b`, `a_b_2`, `a_b_3`), so that no value is lost. The catalog stores source key and
//! destination name, and [`Namer::adopt`] takes them back: names are stable from run to run.

use std::collections::{HashMap, HashSet};

/// Name of the column for the empty key, and of anything else that would have no name.
pub const EMPTY_NAME: &str = "_";

/// Lower case, then every character outside `[a-z0-9]` becomes one `_`.
#[must_use]
pub fn reformat(name: &str) -> String {
    // One character stays one character: the first of a longer lower case is the simple mapping Unicode defines.
    let lower = name.chars().filter_map(|c| c.to_lowercase().next());
    lower.map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '_' }).collect()
}

/// Gives every source key of one table its own column name.
#[derive(Debug, Clone)]
pub struct Namer {
    taken: HashSet<String>,
    /// Last number tried after a plain name, so that many collisions stay cheap.
    last_number: HashMap<String, u64>,
    use_source_names: bool,
}

impl Namer {
    /// A namer for a table in which `reserved` (metadata columns) cannot be given away.
    /// With `use_source_names` a key is its own name instead of its [`reformat`].
    pub fn new<S: Into<String>>(reserved: impl IntoIterator<Item = S>, use_source_names: bool) -> Self {
        let taken = reserved.into_iter().map(Into::into).collect();
        Self { taken, last_number: HashMap::new(), use_source_names }
    }

    /// Takes `name` for a key that already has it in a catalog. If it is taken (catalogs of OLake give one name to
    /// colliding keys) the next free numbered name is given instead.
    pub fn adopt(&mut self, name: &str) -> String {
        let plain = if name.is_empty() { EMPTY_NAME } else { name };
        let mut given = plain.to_owned();
        while !self.taken.insert(given.clone()) {
            let number = self.last_number.entry(plain.to_owned()).or_insert(1);
            *number += 1;
            given = format!("{plain}_{number}");
        }
        given
    }

    /// A name for a new source key.
    pub fn assign(&mut self, source: &str) -> String {
        if self.use_source_names { self.adopt(source) } else { self.adopt(&reformat(source)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reformat_gives_the_names_olake_gives() {
        let table = [
            ("Upper", "upper"),
            ("with space", "with_space"),
            ("dot.ted", "dot_ted"),
            ("da-sh", "da_sh"),
            ("a$b", "a_b"),
            ("h\u{e9}llo", "h_llo"),
            ("\u{540d}\u{524d}", "__"),
            ("\u{1f600}", "_"),
            ("1st", "1st"),
            ("_lead", "_lead"),
            ("__x", "__x"),
            ("select", "select"),
            ("kafka:topics", "kafka_topics"),
            ("", ""),
            ("\u{130}D", "id"),
        ];
        for (source, name) in table {
            assert_eq!(reformat(source), name, "{source:?}");
        }
    }

    #[test]
    fn colliding_keys_keep_their_own_columns() {
        let mut namer = Namer::new(["_kafka_key"], false);
        let given: Vec<_> =
            ["a b", "a_b", "A_B", "a$b", "a_b_2", "", "_", "_kafka_key"].iter().map(|k| namer.assign(k)).collect();
        assert_eq!(given, ["a_b", "a_b_2", "a_b_3", "a_b_4", "a_b_2_2", "_", "__2", "_kafka_key_2"]);
    }

    #[test]
    fn source_names_stay_unless_reserved() {
        let mut namer = Namer::new(["_olake_id"], true);
        let given: Vec<_> = ["Upper", "upper", "a b", "", "_olake_id"].iter().map(|k| namer.assign(k)).collect();
        assert_eq!(given, ["Upper", "upper", "a b", "_", "_olake_id_2"]);
    }

    #[test]
    fn adopted_names_are_kept() {
        let mut namer = Namer::new([""; 0], false);
        assert_eq!(namer.adopt("a_b_2"), "a_b_2");
        assert_eq!(namer.assign("a b"), "a_b");
        assert_eq!(namer.assign("a_b"), "a_b_3");
    }
}
