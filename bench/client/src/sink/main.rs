//! The sink broker: takes records without looking at them and serves the same batches for ever, so that a contender is
//! measured against its own ceiling instead of Kafka's.
//!
//! `sink-broker <payload folder>` listens on a free port of 127.0.0.1, prints `host:port`, and answers each line on its
//! standard input with a line of counters since the last one. It ends with its standard input.
//!
//! Topics exist by their name, whose last part is the number of partitions: `NAME-<partitions>` takes records,
//! `canned-<value bytes>-<codec>-<records>-<records per batch>-<partitions>` serves them. One thread serves a
//! connection; the record bytes of a Produce request are dropped in the kernel. Produce and Fetch stop at their last
//! versions without compact fields, which every client speaks.

mod canned;
mod connection;
mod counters;
mod input;

use std::error::Error;
use std::io::{BufRead, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use crate::canned::Topics;
use crate::counters::Counters;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Broker {
    port: u16,
    topics: Topics,
    counters: Counters,
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: sink-broker <payload folder>")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let topics = Topics::new(PathBuf::from(folder));
    let broker = Arc::new(Broker { port: address.port(), topics, counters: Counters::default() });
    let accepting = Arc::clone(&broker);
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let broker = Arc::clone(&accepting);
            thread::spawn(move || {
                let _ = connection::serve(&broker, socket);
            });
        }
    });
    let mut out = std::io::stdout().lock();
    writeln!(out, "{address}")?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        line?;
        writeln!(out, "{}", broker.counters.take())?;
        out.flush()?;
    }
    Ok(())
}
