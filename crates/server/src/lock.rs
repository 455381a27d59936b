//! One process per data folder: an exclusive lock on `DATA_DIR/lock`, which also says who holds it.
//!
//! The kernel drops the lock with the process, however that ends, so there are no stale locks; what the
//! file says is only believed while somebody holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::listening::Listening;

/// Most bytes read from a lock file; the writer stays far below.
const HOLDER_MAX: u64 = 16 * 1024;

/// The lock; dropping it lets the next process in.
#[derive(Debug)]
pub struct DataLock {
    file: File,
    path: PathBuf,
}

/// Who holds a lock, as far as it has said so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// Bound addresses by flag name, for example `http`; empty while the process starts.
    #[serde(default)]
    pub addresses: serde_json::Map<String, serde_json::Value>,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process uses the folder.
    #[error("the data folder {folder} is in use by {holder}; stop it, or choose another folder with --data-dir",
        folder = folder.display(), holder = describe(holder.as_ref()))]
    Held {
        /// The data folder.
        folder: PathBuf,
        /// The other process, unless it has not written its name yet.
        holder: Option<Holder>,
    },
    /// The folder cannot be made or used.
    #[error("cannot use the data folder {folder}; check that it can be written to", folder = folder.display())]
    Io {
        /// The data folder.
        folder: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

fn describe(holder: Option<&Holder>) -> String {
    let Some(holder) = holder else { return "another process".to_owned() };
    match holder.addresses.get("http").and_then(serde_json::Value::as_str) {
        Some(http) => format!("process {} (http {http})", holder.pid),
        None => format!("process {}", holder.pid),
    }
}

impl DataLock {
    /// Makes the data folder (mode 0700) when it is missing and locks it, without waiting.
    ///
    /// # Errors
    ///
    /// [`LockError::Held`] names the holder; anything else is about the folder itself.
    pub fn acquire(folder: &Path) -> Result<Self, LockError> {
        let io = |source| LockError::Io { folder: folder.to_owned(), source };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        let path = folder.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held { folder: folder.to_owned(), holder: read_holder(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        let mut lock = Self { file, path };
        lock.record(&Listening::default()).map_err(io)?;
        Ok(lock)
    }

    /// Writes down who holds the lock and where it listens.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn record(&mut self, listening: &Listening) -> std::io::Result<()> {
        let holder = Holder { pid: std::process::id(), addresses: listening.to_map() };
        let mut line = serde_json::to_vec(&holder)?;
        line.push(b'\n');
        self.file.rewind()?;
        self.file.set_len(0)?;
        self.file.write_all(&line)
    }

    /// The lock file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn read_holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.take(HOLDER_MAX).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_start_says_who_holds_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("new/data");
        let mut lock = DataLock::acquire(&data).unwrap();
        let pid = std::process::id();
        let held = || DataLock::acquire(&data).unwrap_err().to_string();
        let shown = data.display();
        let advice = "stop it, or choose another folder with --data-dir";
        assert_eq!(held(), format!("the data folder {shown} is in use by process {pid}; {advice}"));

        let mut listening = Listening::default();
        listening.add("http", "127.0.0.1:8080".parse().unwrap());
        lock.record(&listening).unwrap();
        assert_eq!(
            held(),
            format!("the data folder {shown} is in use by process {pid} (http 127.0.0.1:8080); {advice}")
        );
        drop(lock);
        DataLock::acquire(&data).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = DataLock::acquire(&file.join("data")).unwrap_err();
        assert!(matches!(error, LockError::Io { .. }), "{error}");
    }
}
