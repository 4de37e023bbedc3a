//! `partition_regex`: folder names from column values.
