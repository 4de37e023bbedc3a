//! `kanat worker`: Kafka Connect without a JVM.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use kanat_connect::plugin::Plugins;
use kanat_connect_file::{FileStreamSink, FileStreamSource};
use kanat_worker::config::{Mode, WorkerConfig, environment_properties, read_properties};
use kanat_worker::{Error, LevelSink, Loggers, Result, Standalone, read_connector};
use tokio::sync::oneshot;

use crate::args::{StandaloneArgs, WorkerCommand};
use crate::interrupt::on_signals;

/// Exit code when a connector given at start cannot work, as of Connect.
const EXIT_CONNECTOR: u8 = 3;

/// Runs a worker until a signal.
pub(crate) async fn run(command: &WorkerCommand, levels: LevelSink) -> ExitCode {
    let WorkerCommand::Standalone(args) = command;
    match standalone(args, levels).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(if matches!(error, Error::Connector { .. }) { EXIT_CONNECTOR } else { 1 })
        }
    }
}

async fn standalone(args: &StandaloneArgs, levels: LevelSink) -> Result<()> {
    let mut properties: BTreeMap<String, String> = read_properties(&args.properties)?;
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    properties.extend(environment_properties(variables));
    let connectors = args.connectors.iter().map(|path| read_connector(path)).collect::<Result<Vec<_>>>()?;
    let plugins = Arc::new(Plugins::builtin().with_source::<FileStreamSource>().with_sink::<FileStreamSink>());
    let config = WorkerConfig::new(Mode::Standalone, properties, &*plugins)?;
    let worker = Standalone::start(config, plugins, Loggers::new(Some(levels)), connectors).await?;
    tracing::info!("the REST API listens on http://{}", worker.address());
    let (asked, signalled) = oneshot::channel();
    let watch = on_signals(move || {
        // The receiver lives until the select below is done.
        let _ = asked.send(());
    });
    let stop = async {
        // The sender is dropped only after it was used.
        let _ = signalled.await;
        tracing::info!("stopping: connectors store what they have reached");
        worker.stop().await;
    };
    tokio::select! {
        () = watch => {}
        () = stop => {}
    }
    Ok(())
}
