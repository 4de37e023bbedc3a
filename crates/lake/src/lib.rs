//! Schema inference, JSON to Arrow, Parquet tables; knows nothing of Kafka.
