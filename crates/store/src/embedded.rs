//! The embedded engine: SQLite, called directly.
//!
//! One connection writes; it belongs to whoever holds its lock, which in practice is the writer's thread, so that a
//! whole transaction costs no hand-over to another thread. A few threads read: each takes one query at a time from a
//! queue they share, and hands back finished records.
//!
//! Invariant: nothing here runs on the reactor, except while the store is opened.

mod record;

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, OpenFlags, ToSql};
use tokio::sync::{OwnedMutexGuard, oneshot};

use crate::db::{Record, Value};
use crate::{Error, Result};

/// Threads that read; each has a page cache of its own.
const READERS: usize = 4;
/// Queries that may wait for a reader; more and the answer is "busy".
const QUEUE: usize = 4096;
/// Statements that a connection keeps compiled.
const STATEMENTS: usize = 256;
/// How long another process (an operator's tool) may hold the database before the answer is "busy".
const LOCKED_MAX: Duration = Duration::from_secs(5);
/// Stack of the thread that writes and of those that read.
const STACK_BYTES: usize = 4 * 1024 * 1024;
/// Page cache of the writer, KiB.
const WRITER_CACHE: i64 = 8_000;
/// Page cache of one reader, KiB.
const READER_CACHE: i64 = 16_000;

/// How much of the database's file is mapped into memory, in bytes: all that SQLite allows (`.cargo/config.toml`). What is
/// not in a page cache is then read without a call of the system, and without a copy.
const MAPPED: i64 = 1 << 40;

/// A query, with everything that it needs, for whichever reader is free.
type Job = Box<dyn FnOnce(&Connection) + Send>;

/// The open database. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Embedded(Arc<Shared>);

struct Shared {
    writer: Arc<tokio::sync::Mutex<Option<Connection>>>,
    readers: Mutex<Readers>,
    jobs: crossbeam_channel::Sender<Job>,
}

struct Readers {
    threads: Vec<JoinHandle<()>>,
    /// Dropping it ends the threads, even while handles of the database are still about.
    stop: Option<crossbeam_channel::Sender<()>>,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Embedded")
    }
}

impl Embedded {
    /// Opens the file, which is made when it is not there, and starts the readers.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let writer = Connection::open(path)?;
        prepare(&writer, WRITER_CACHE)?;
        // Every commit is on disk before anybody hears of it.
        writer.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;",
        )?;
        let (jobs, queue) = crossbeam_channel::bounded::<Job>(QUEUE);
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let mut threads = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let reader = Connection::open_with_flags(path, flags)?;
            prepare(&reader, READER_CACHE)?;
            let (queue, stopped) = (queue.clone(), stopped.clone());
            threads.push(spawn("podmail-read", move || read(&reader, &queue, &stopped))?);
        }
        let readers = Mutex::new(Readers { threads, stop: Some(stop) });
        Ok(Self(Arc::new(Shared { writer: Arc::new(tokio::sync::Mutex::new(Some(writer))), readers, jobs })))
    }

    /// The connection that writes, once nobody else holds it. Whoever holds it blocks the thread that it runs on.
    pub(crate) async fn writer(&self) -> OwnedMutexGuard<Option<Connection>> {
        self.0.writer.clone().lock_owned().await
    }

    /// A handle for queries.
    pub(crate) fn reader(&self) -> Reader {
        Reader(self.0.jobs.clone())
    }

    /// Ends the readers and closes every connection; the last one copies the log into the database.
    pub(crate) async fn close(&self) {
        drop(self.0.writer.lock().await.take());
        let threads = {
            let mut readers = self.0.readers.lock().unwrap_or_else(PoisonError::into_inner);
            readers.stop = None;
            std::mem::take(&mut readers.threads)
        };
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread that reads the database had panicked");
            }
        }
    }
}

/// Starts a named thread.
pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK_BYTES)
        .spawn(body)
        .map_err(|error| Error::Schema(format!("a thread for the database could not be started: {error}")))
}

fn prepare(connection: &Connection, cache: i64) -> Result<()> {
    connection.busy_timeout(LOCKED_MAX)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.execute_batch(&format!(
        "PRAGMA cache_size = -{cache}; PRAGMA mmap_size = {MAPPED}; PRAGMA temp_store = 2; PRAGMA foreign_keys = OFF;"
    ))?;
    Ok(())
}

fn read(
    connection: &Connection,
    queue: &crossbeam_channel::Receiver<Job>,
    stopped: &crossbeam_channel::Receiver<()>,
) {
    loop {
        crossbeam_channel::select_biased! {
            recv(queue) -> job => match job {
                Ok(job) => job(connection),
                Err(_) => return,
            },
            recv(stopped) -> _ => return,
        }
    }
}

/// Where queries go. Two queries of one handle may run on different connections: nothing is promised about what happens
/// between them.
#[derive(Clone)]
pub(crate) struct Reader(crossbeam_channel::Sender<Job>);

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

impl Reader {
    /// Runs a query on a reader; at most `most` records.
    pub(crate) async fn query<T: Record>(
        &self,
        sql: &str,
        values: Vec<Value>,
        most: usize,
    ) -> Result<Vec<T>> {
        let sql = numbered(sql).into_owned();
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // Nobody waits for an answer to a request that was given up.
            if !reply.is_closed() {
                drop(reply.send(query(connection, &sql, &values, most)));
            }
        });
        self.0.try_send(job).map_err(|error| match error {
            crossbeam_channel::TrySendError::Full(_) => Error::Busy,
            crossbeam_channel::TrySendError::Disconnected(_) => Error::Closed,
        })?;
        answer.await.map_err(|_| Error::Closed)?
    }
}

/// Runs a query and reads at most `most` records. `sql` numbers its placeholders as [`numbered`] gives them.
pub(crate) fn query<T: Record>(
    connection: &Connection,
    sql: &str,
    values: &[Value],
    most: usize,
) -> Result<Vec<T>> {
    let mut statement = statement(connection, sql, values)?;
    let mut columns = record::Columns::default();
    let (mut records, mut rows) = (Vec::new(), statement.raw_query());
    while records.len() < most {
        let Some(row) = rows.next()? else { break };
        records.push(columns.read(row)?);
    }
    Ok(records)
}

/// Runs a statement to its end; the number of rows that it touched.
pub(crate) fn run(connection: &Connection, sql: &str, values: &[Value]) -> Result<u64> {
    let mut statement = statement(connection, sql, values)?;
    let mut rows = statement.raw_query();
    while rows.next()?.is_some() {}
    Ok(connection.changes())
}

fn statement<'c>(connection: &'c Connection, sql: &str, values: &[Value]) -> Result<CachedStatement<'c>> {
    let mut statement = connection.prepare_cached(sql)?;
    for (n, value) in values.iter().enumerate() {
        statement.raw_bind_parameter(n + 1, value)?;
    }
    Ok(statement)
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Int(Some(n)) => ValueRef::Integer(*n),
            Self::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(Some(bytes)) => ValueRef::Blob(bytes),
            Self::Int(None) | Self::Text(None) | Self::Bytes(None) => ValueRef::Null,
        }))
    }
}

/// `$1` becomes `?1`: SQLite takes the first for a name, numbered in order of appearance, and only the second for a
/// place. Text that merely contains a dollar sign stays.
pub(crate) fn numbered(sql: &str) -> Cow<'_, str> {
    if !sql.contains('$') {
        return Cow::Borrowed(sql);
    }
    let mut text = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        text.push(if after.starts_with(|c: char| c.is_ascii_digit()) { '?' } else { '$' });
        rest = after;
    }
    text.push_str(rest);
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_become_places_and_other_dollars_stay() {
        for (text, want) in [
            ("SELECT 1", "SELECT 1"),
            ("a = $1 AND b = $12", "a = ?1 AND b = ?12"),
            ("json_extract(a, '$.x') = $2", "json_extract(a, '$.x') = ?2"),
            ("'$'", "'$'"),
        ] {
            assert_eq!(numbered(text), want, "{text}");
        }
    }
}
