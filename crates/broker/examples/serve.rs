//! Runs a broker until its standard input closes.
//!
//! Usage: `serve [--listen HOST:PORT] [--nodes N] [--dir DIR]`. The first line of standard output is the bootstrap
//! address, the second the time the start took. `RUST_LOG` sets what is logged to standard error.

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Instant;

use kanat_broker::{Broker, BrokerOptions};

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    let options = parse(std::env::args().skip(1))?;
    let started = Instant::now();
    let broker = Broker::start(options).await?;
    let start_us = started.elapsed().as_micros();
    writeln!(io::stdout(), "{}\nstarted in {start_us} us", broker.bootstrap())?;
    tokio::task::spawn_blocking(wait_for_end_of_input).await??;
    broker.stop().await;
    Ok(())
}

fn wait_for_end_of_input() -> io::Result<()> {
    let mut ignored = [0; 256];
    while io::stdin().read(&mut ignored)? > 0 {}
    Ok(())
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<BrokerOptions, String> {
    let mut options = BrokerOptions::default();
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
        options = match flag.as_str() {
            "--listen" => options.with_listen(value),
            "--dir" => options.with_dir(value),
            "--nodes" => options.with_nodes(value.parse().map_err(|_| format!("--nodes {value}: not a number"))?),
            _ => return Err(format!("unknown option {flag}")),
        };
    }
    Ok(options)
}
