//! Discover Kafka topics and sync them to a lake, with the OLake files and verbs.
//!
//! The files come first: [`config`] (`source.json`, `destination.json`), [`catalog`] (`streams.json`),
//! [`state`] (`state.json`) and [`stats`] (`stats.json`). [`message`] is what a verb prints for other
//! programs, [`spec`] what a form may fill in, [`error`] every way to fail with its stable code.
//!
//! Then the work: [`discover`] samples topics into a catalog, [`engine`] syncs them into tables.

pub mod catalog;
pub mod config;
pub mod discover;
mod encryption;
pub mod engine;
pub mod error;
mod files;
mod kafka;
pub mod message;
pub mod spec;
pub mod state;
pub mod stats;

pub use error::{Code, Error, Result};
pub use files::write_atomically;
