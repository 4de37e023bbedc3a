//! Prints benchmark records, one JSON object a line.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use kanat_bench::Shape;

const USAGE: &str = "usage: kanat-gen SHAPE COUNT [SEED [START]]   (SHAPE: flat10, taxi29, small; SEED 1; START 0)";

struct Request {
    shape: Shape,
    count: u64,
    seed: u64,
    start: u64,
}

fn parse(arguments: &[String]) -> Result<Request, String> {
    let number = |index: usize, default: Option<u64>| match (arguments.get(index), default) {
        (Some(text), _) => text.parse().map_err(|_| format!("'{text}' is not a count")),
        (None, Some(default)) => Ok(default),
        (None, None) => Err(USAGE.to_owned()),
    };
    let shape = arguments.first().ok_or(USAGE)?.parse().map_err(|error| format!("{error}"))?;
    Ok(Request { shape, count: number(1, None)?, seed: number(2, Some(1))?, start: number(3, Some(0))? })
}

fn print(request: &Request) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 18, io::stdout().lock());
    let mut line = Vec::with_capacity(2048);
    for number in request.start..request.start.saturating_add(request.count) {
        line.clear();
        request.shape.write(request.seed, number, &mut line);
        line.push(b'\n');
        out.write_all(&line)?;
    }
    out.flush()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match parse(&arguments) {
        Ok(request) => match print(&request) {
            // The reader has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|error| format!("records could not be printed: {error}")),
        },
        Err(message) => Err(message),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(io::stderr(), "kanat-gen: {message}");
            ExitCode::FAILURE
        }
    }
}
