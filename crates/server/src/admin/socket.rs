//! The line between a command and the server beside it: `DATA_DIR/admin.sock`, mode 0600.
//!
//! One connection carries one command: a line of JSON there, a line of JSON back. Who may open the socket
//! is the operator; the file system decides that. Bounds keep a broken client from costing the server more
//! than a slot.

use std::future::Future;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use podmail_jobs::Tasks;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::command::{AdminCommand, AdminError, AdminOutput};

/// Longest command in bytes.
const COMMAND_MAX: u64 = 64 * 1024;
/// Longest answer in bytes; a list of 100,000 organizations fits.
const ANSWER_MAX: u64 = 64 * 1024 * 1024;
/// Commands executed at the same time; further ones wait their turn.
const COMMANDS_AT_ONCE: usize = 8;
/// How long a client may take to send its command.
const COMMAND_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a command may run, DNS checks included.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(300);
/// Paths of Unix sockets have at most 107 bytes on Linux.
const PATH_BYTES_MAX: usize = 107;

/// An answer as it travels.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Ok(AdminOutput),
    Error(AdminError),
}

/// Opens the socket and answers commands with `handler` until the tasks are cancelled.
///
/// Call it with the data folder's lock held: a socket left behind by a process that died is replaced.
///
/// # Errors
///
/// When the socket cannot be made.
pub fn serve<H, F>(data_dir: &Path, tasks: &Tasks, handler: H) -> std::io::Result<()>
where
    H: Fn(AdminCommand) -> F + Send + Sync + 'static,
    F: Future<Output = Result<AdminOutput, AdminError>> + Send + 'static,
{
    let listener = bind(data_dir)?;
    let (handler, slots) = (Arc::new(handler), Arc::new(Semaphore::new(COMMANDS_AT_ONCE)));
    let (token, connections) = (tasks.token(), tasks.clone());
    let path = data_dir.join("admin.sock");
    tasks.spawn_essential("admin.accept", async move {
        loop {
            let Some(slot) = token.run_until_cancelled(Arc::clone(&slots).acquire_owned()).await else {
                break;
            };
            let slot = slot.expect("the semaphore is never closed");
            let Some(accepted) = token.run_until_cancelled(listener.accept()).await else { break };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "admin socket: cannot accept");
                    // Out of descriptors, most likely: let others close some.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let handler = Arc::clone(&handler);
            connections.spawn("admin.command", async move {
                if let Err(error) = converse(stream, &*handler).await {
                    tracing::warn!(%error, "admin socket: connection lost");
                }
                drop(slot);
            });
        }
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::debug!(%error, "admin socket: not removed");
        }
    });
    Ok(())
}

/// Sends a command to the server beside us; `None` when there is none.
///
/// # Errors
///
/// When a server is there but the conversation fails.
pub async fn call(
    data_dir: &Path,
    command: &AdminCommand,
) -> Result<Option<Result<AdminOutput, AdminError>>, AdminError> {
    let lost = |error: std::io::Error| {
        AdminError::failed(format!("lost the running server while it worked: {error}"))
    };
    let stream = match connect(data_dir).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => {
            let path = data_dir.join("admin.sock");
            let message = format!(
                "cannot reach the running server at {}: {error}; run the command as the server's user",
                path.display()
            );
            return Err(AdminError::failed(message));
        }
    };
    let (reader, mut writer) = stream.into_split();
    write_line(&mut writer, command).await.map_err(lost)?;
    let answer = tokio::time::timeout(ANSWER_TIME_MAX, read_line(reader, ANSWER_MAX)).await;
    let answer = answer.map_err(|_| AdminError::failed("the running server did not answer in time"))?;
    match answer.map_err(lost)? {
        Answer::Ok(output) => Ok(Some(Ok(output))),
        Answer::Error(error) => Ok(Some(Err(error))),
    }
}

async fn converse<H, F>(stream: UnixStream, handler: &H) -> std::io::Result<()>
where
    H: Fn(AdminCommand) -> F + Sync,
    F: Future<Output = Result<AdminOutput, AdminError>> + Send,
{
    let (reader, mut writer) = stream.into_split();
    let command: std::io::Result<AdminCommand> =
        tokio::time::timeout(COMMAND_TIME_MAX, read_line(reader, COMMAND_MAX)).await?;
    let answer = match command {
        Ok(command) => {
            tracing::info!(command = command.name(), "admin command {}", command.name());
            match handler(command).await {
                Ok(output) => Answer::Ok(output),
                Err(error) => Answer::Error(error),
            }
        }
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            let message =
                format!("the running server does not understand the command ({error}); use its own version");
            Answer::Error(AdminError::invalid(message))
        }
        Err(error) => return Err(error),
    };
    write_line(&mut writer, &answer).await
}

async fn read_line<T: DeserializeOwned>(
    reader: impl tokio::io::AsyncRead + Unpin + Send,
    max: u64,
) -> std::io::Result<T> {
    let mut line = Vec::new();
    BufReader::new(reader.take(max)).read_until(b'\n', &mut line).await?;
    if line.last() != Some(&b'\n') {
        let kind = if line.is_empty() { ErrorKind::UnexpectedEof } else { ErrorKind::InvalidData };
        return Err(std::io::Error::new(kind, "the line is cut off or too long"));
    }
    serde_json::from_slice(&line).map_err(|error| std::io::Error::new(ErrorKind::InvalidData, error))
}

async fn write_line(
    writer: &mut (impl tokio::io::AsyncWrite + Unpin + Send),
    value: &(impl Serialize + Sync),
) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    writer.write_all(&line).await?;
    writer.flush().await
}

/// Makes the socket in a folder that only we can enter and moves it into place once its mode is right, so
/// that there is no moment at which somebody else could connect.
fn bind(data_dir: &Path) -> std::io::Result<UnixListener> {
    let private = data_dir.join(".admin");
    match std::fs::remove_dir_all(&private) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    std::fs::DirBuilder::new().mode(0o700).create(&private)?;
    let folder = ShortFolder::new(&private)?;
    let listener = UnixListener::bind(folder.path.join("s"))?;
    let made = private.join("s");
    std::fs::set_permissions(&made, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&made, data_dir.join("admin.sock"))?;
    std::fs::remove_dir(&private)?;
    Ok(listener)
}

async fn connect(data_dir: &Path) -> std::io::Result<UnixStream> {
    let folder = ShortFolder::new(data_dir)?;
    UnixStream::connect(folder.path.join("admin.sock")).await
}

/// A folder under a name short enough for a socket address: itself, or through its open descriptor.
struct ShortFolder {
    path: PathBuf,
    /// Keeps the descriptor in `path` open.
    _open: Option<std::fs::File>,
}

impl ShortFolder {
    fn new(folder: &Path) -> std::io::Result<Self> {
        if folder.as_os_str().len() + "/admin.sock".len() <= PATH_BYTES_MAX {
            return Ok(Self { path: folder.to_owned(), _open: None });
        }
        let open = std::fs::File::open(folder)?;
        Ok(Self { path: PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd())), _open: Some(open) })
    }
}
