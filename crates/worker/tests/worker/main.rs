//! Whole workers against the embedded broker.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod golden;
mod rest;
mod standalone;
mod support;
