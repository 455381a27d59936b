//! Execution in the process of the command itself.

use super::command::{AdminCommand, AdminError, AdminOutput};
use crate::config::Config;
use crate::lock::DataLock;

/// Opens the installation, executes one command and closes it again. On SQLite the caller hands over the
/// data folder's lock, which is held until the end.
///
/// The seam to the store and the core: they are opened here, and the same handler that the socket of a
/// running server calls is called once.
pub(super) async fn execute(
    _config: &Config,
    lock: Option<DataLock>,
    command: AdminCommand,
) -> Result<AdminOutput, AdminError> {
    let result = Err(AdminError::failed(format!("{} is not available", command.name())));
    drop(lock);
    result
}
