//! `kanat` against peers that others wrote: Apache Kafka holds the records, its Java clients write and read them, DuckDB judges
//! the tables.

mod cluster;
mod fetch;
mod golden;
mod interop;
mod kill;
mod produce;
mod seen;
mod sync;
