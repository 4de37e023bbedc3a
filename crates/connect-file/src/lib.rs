//! The file connectors of Kafka Connect, under their Java names and with their behaviour.
//!
//! * [`FileStreamSource`]: every line of a file, or of standard input, becomes a record.
//! * [`FileStreamSink`]: the value of every record becomes a line of a file, or of standard output.

mod lines;
mod sink;
mod source;

pub use self::sink::{FileStreamSink, FileStreamSinkTask};
pub use self::source::{FileStreamSource, FileStreamSourceTask};
