//! The program as a user meets it: child processes, files, exit codes and sentences.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod administration;
mod against_a_broker;
mod demo;
mod files;
#[cfg(unix)]
mod prompt;
mod properties;
mod support;
mod tools;
