//! The life of a server process: prepare, serve until told to stop, drain.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use podmail_jobs::{Stopped, Tasks};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::listening::Listening;
use crate::lock::DataLock;
use crate::{logging, tls};

/// How long tasks have to end after `SIGTERM` before they are aborted.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// Serves until `SIGTERM` or `SIGINT`, then drains.
///
/// # Errors
///
/// Whatever keeps the server from starting, with what to do about it; or an essential task that panicked.
pub async fn run(config: Config) -> anyhow::Result<()> {
    logging::init(&config.log)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let config = Arc::new(config);
    let mut lock = DataLock::acquire(&config.data_dir)?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let tasks = Tasks::new();
    let _tls = tls::start(&config, &tasks)?;

    // The seam where the parts meet: store, blob, bus and app are opened here, edges are started on
    // `tasks` and add what they bound to `listening`, and `admin::socket::serve` runs before `ready`.
    let listening = Listening::default();

    lock.record(&listening)?;
    listening.write_file(&config.data_dir)?;
    listening.announce(&mut std::io::stdout())?;

    let token = tasks.token();
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
        _ = interrupt.recv() => tracing::info!("SIGINT: draining"),
        () = token.cancelled() => {}
    }
    let stopped = tasks.shutdown(DRAIN_MAX).await;
    match tasks.panicked().as_slice() {
        [] => {}
        names => anyhow::bail!("stopped because of a panic in {}", names.join(", ")),
    }
    if stopped == Stopped::Clean {
        tracing::info!("stopped");
    }
    Ok(())
}
