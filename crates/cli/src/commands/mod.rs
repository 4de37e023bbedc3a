//! One module a verb. [`run`] picks it.

mod check;
mod clear_destination;
mod client;
pub(crate) mod consume;
mod deliveries;
mod demo;
mod dev;
mod discover;
mod files;
mod produce;
mod spec;
mod sync;
mod topic;

use kanat_sync::Result;

use crate::args::{Cli, Command};
use crate::interrupt::until_signal;
use crate::output::Output;

/// Does what the command line asks.
pub(crate) async fn run(cli: &Cli, output: &Output) -> Result<()> {
    let (files, output) = (&cli.files, *output);
    match &cli.command {
        Command::Spec => spec::run(files, output),
        Command::Check => until_signal(check::run(files, output)).await,
        Command::Discover => until_signal(discover::run(files, output)).await,
        Command::Sync(args) => sync::run(files, args, output).await,
        Command::ClearDestination => until_signal(clear_destination::run(files, output)).await,
        Command::Topic(args) => until_signal(topic::run(files, args, output)).await,
        Command::Produce(args) => until_signal(produce::run(files, args)).await,
        Command::Consume(args) => consume::run(files, args).await,
        Command::Dev(args) => dev::run(args, output).await,
        Command::Demo(args) => until_signal(demo::run(args, output)).await,
    }
}
