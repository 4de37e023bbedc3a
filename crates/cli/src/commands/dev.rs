//! `kanat dev`: a broker for development that runs until Ctrl-C.

use kanat_broker::{Broker, BrokerOptions};
use kanat_sync::{Error, Result};

use crate::args::DevArgs;
use crate::interrupt::on_signals;
use crate::output::Output;

/// Starts the broker, says where it listens and waits for a signal.
pub(super) async fn run(args: &DevArgs, output: Output) -> Result<()> {
    let mut options = BrokerOptions::default()
        .with_listen(format!("127.0.0.1:{}", args.port))
        .with_default_partitions(args.partitions)
        .with_nodes(args.nodes);
    if let Some(dir) = &args.dir {
        options = options.with_dir(dir);
    }
    if !args.super_users.is_empty() {
        options = options.with_authorizer(&args.super_users);
    }
    let handle = Broker::start(options).await.map_err(|error| Error::kafka("starting the broker", error))?;
    let kept = args.dir.as_ref().map_or("in memory".to_owned(), |dir| format!("in {}", dir.display()));
    output.info(&format!("broker listens on {}, topics are kept {kept}; Ctrl-C ends it", handle.bootstrap()));
    let (asked, signalled) = tokio::sync::oneshot::channel();
    let watch = on_signals(move || {
        // The receiver lives until the select below is done.
        let _ = asked.send(());
    });
    let stop = async {
        // The sender is dropped only after it was used.
        let _ = signalled.await;
        handle.stop().await;
    };
    tokio::select! {
        () = watch => {}
        () = stop => {}
    }
    Ok(())
}
