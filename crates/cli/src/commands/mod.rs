//! One module a verb. [`run`] picks it.

mod acl;
mod check;
mod clear_destination;
mod client;
mod cluster;
mod config;
pub(crate) mod consume;
mod deliveries;
mod demo;
mod dev;
mod discover;
mod files;
mod group;
mod outcomes;
mod produce;
mod quota;
mod record_json;
mod spec;
mod sync;
mod topic;
mod transaction;
mod user;
pub(crate) mod when;
pub(crate) mod worker;

use std::process::ExitCode;

use kanat_sync::Result;
use kanat_worker::LevelSink;

use crate::args::{Cli, Command};
use crate::interrupt::until_signal;
use crate::output::Output;

/// Does what the command line asks. `levels` changes what is logged.
pub(crate) async fn run(cli: &Cli, output: &Output, levels: LevelSink) -> Result<ExitCode> {
    let (files, output) = (&cli.files, *output);
    match &cli.command {
        Command::Spec => spec::run(files, output),
        Command::Check => until_signal(check::run(files, output)).await,
        Command::Discover => until_signal(discover::run(files, output)).await,
        Command::Sync(args) => sync::run(files, args, output).await,
        Command::ClearDestination => until_signal(clear_destination::run(files, output)).await,
        Command::Topic(args) => until_signal(topic::run(files, args)).await,
        Command::Produce(args) => until_signal(produce::run(files, args)).await,
        Command::Consume(args) => consume::run(files, args).await,
        Command::Group(args) => until_signal(group::run(files, args)).await,
        Command::Config(args) => until_signal(config::run(files, args)).await,
        Command::Acl(args) => until_signal(acl::run(files, args)).await,
        Command::Cluster(args) => until_signal(cluster::run(files, args)).await,
        Command::User(args) => until_signal(user::run(files, args)).await,
        Command::Quota(args) => until_signal(quota::run(files, args)).await,
        Command::Transaction(args) => until_signal(transaction::run(files, args)).await,
        Command::Worker(command) => return Ok(worker::run(command, levels).await),
        Command::Dev(args) => dev::run(args, output).await,
        Command::Demo(args) => until_signal(demo::run(args, output)).await,
    }?;
    Ok(ExitCode::SUCCESS)
}
