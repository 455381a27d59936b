//! Administration: what the operator's commands do, wherever they run.
//!
//! SQLite has one writing process. Beside a running server a command therefore travels as one line of JSON
//! over `DATA_DIR/admin.sock` ([`socket`]) and the server executes it; without a running server the command
//! takes the data folder's lock and executes itself. PostgreSQL has no such limit: commands always execute
//! themselves there.

pub mod command;
mod direct;
mod doctor;
pub(crate) mod handler;
pub mod socket;

pub use command::{AdminCommand, AdminError, AdminErrorKind, AdminOutput};

use std::time::Duration;

use crate::config::{Config, Database};
use crate::lock::{DataLock, LockError};

/// How long a command waits for a data folder whose holder has no socket: another command at work, or a
/// server that starts or stops.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);
/// How often it looks meanwhile.
const LOCK_WAIT_STEP: Duration = Duration::from_millis(50);

/// Executes a command on the installation that the configuration names.
///
/// # Errors
///
/// What the command failed of, in words for the operator.
pub async fn execute(config: Config, command: AdminCommand) -> Result<AdminOutput, AdminError> {
    if matches!(config.database, Database::Postgres(_)) {
        return direct::execute(&config, None, command).await;
    }
    let mut waited = Duration::ZERO;
    loop {
        if let Some(result) = socket::call(&config.data_dir, &command).await? {
            return result;
        }
        match DataLock::acquire(&config.data_dir) {
            Ok(lock) => return direct::execute(&config, Some(lock), command).await,
            Err(LockError::Held { .. }) if waited < LOCK_WAIT_MAX => {
                tokio::time::sleep(LOCK_WAIT_STEP).await;
                waited += LOCK_WAIT_STEP;
            }
            Err(error) => return Err(AdminError::failed(with_causes(&error))),
        }
    }
}

pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", with_causes(source)),
        None => error.to_string(),
    }
}
