//! Parquet tables: rolling files, sealed by rename.
