//! Discover Kafka topics and sync them to a lake, with the OLake files and verbs.
