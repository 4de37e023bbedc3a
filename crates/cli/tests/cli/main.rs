//! The program as a user meets it: child processes, files, exit codes and sentences.

mod against_a_broker;
mod demo;
mod files;
mod support;
mod tools;
