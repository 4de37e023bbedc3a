//! Async Kafka client: connections, metadata, partition client, consumer, producer, admin.
