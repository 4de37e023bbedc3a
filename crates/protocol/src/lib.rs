//! Kafka wire format without I/O: frames, versions, record batches, compression.
