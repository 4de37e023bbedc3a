//! What is said in one run, line by line: frames, connections, and what the runs themselves note. A run lives on one
//! thread, and so does its trace.

use std::cell::{Cell, RefCell};

use tokio::time::Instant;

#[derive(Debug)]
enum Sink {
    Off,
    Lines(Vec<String>),
    /// Shows every line at once: a run that is replayed may not reach its end.
    Print,
}

thread_local! {
    static SINK: RefCell<Sink> = const { RefCell::new(Sink::Off) };
    static STARTED: Cell<Option<Instant>> = const { Cell::new(None) };
    static CONNECTIONS: Cell<usize> = const { Cell::new(0) };
}

/// A run begins under its own clock.
pub(crate) fn begin() {
    STARTED.set(Some(Instant::now()));
    CONNECTIONS.set(0);
}

/// The run is over; what is torn down behind it is no part of it.
pub(crate) fn end() {
    STARTED.set(None);
}

/// Numbers the connections of a run.
pub(crate) fn next_connection() -> usize {
    CONNECTIONS.replace(CONNECTIONS.get() + 1)
}

/// Whether lines are wanted.
pub(crate) fn is_on() -> bool {
    STARTED.get().is_some() && SINK.with_borrow(|sink| !matches!(sink, Sink::Off))
}

/// Adds a line with the time of the run, if lines are wanted.
pub(crate) fn note(line: impl FnOnce() -> String) {
    let Some(started) = STARTED.get() else { return };
    SINK.with_borrow_mut(|sink| {
        let timed = || format!("{:>6} ms  {}", started.elapsed().as_millis(), line());
        match sink {
            Sink::Off => {}
            Sink::Lines(lines) => lines.push(timed()),
            Sink::Print => eprintln!("{}", timed()),
        }
    });
}

/// Runs something and returns its lines.
pub(crate) fn lines_of(run: impl FnOnce()) -> Vec<String> {
    SINK.set(Sink::Lines(Vec::new()));
    run();
    match SINK.replace(Sink::Off) {
        Sink::Lines(lines) => lines,
        Sink::Off | Sink::Print => Vec::new(),
    }
}

/// Runs something and shows its lines as they come.
pub(crate) fn print<T>(run: impl FnOnce() -> T) -> T {
    SINK.set(Sink::Print);
    let returned = run();
    SINK.set(Sink::Off);
    returned
}
