//! Embedded development broker that speaks the Kafka protocol, in memory or in a directory.
