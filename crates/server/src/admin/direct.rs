//! Execution in the process of the command itself.

use std::time::Duration;

use podmail_jobs::Tasks;

use super::command::{AdminCommand, AdminError, AdminOutput};
use super::handler;
use crate::config::Config;
use crate::installation;
use crate::lock::DataLock;

/// How long what the command started has to end.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// Opens the installation, executes one command and closes it again. On SQLite the caller hands over the
/// data folder's lock, which is held until the end.
pub(super) async fn execute(
    config: &Config,
    lock: Option<DataLock>,
    command: AdminCommand,
) -> Result<AdminOutput, AdminError> {
    let tasks = Tasks::new();
    let address = config.http.address().and_then(|address| address.parse().ok());
    let public_url = config.public_url(address, None);
    let app = installation::open(config, &public_url, &tasks)
        .await
        .map_err(|error| AdminError::failed(super::with_causes(&*error)))?;
    let result = handler::handle(&app, config, command).await;
    drop(app);
    // The writer ends with the last handle.
    if tasks.shutdown(CLOSE_MAX).await != podmail_jobs::Stopped::Clean {
        tracing::warn!("the database was not closed in time");
    }
    drop(lock);
    result
}
