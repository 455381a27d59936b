//! Both engines behind one set of functions: one SQL text with `$n` placeholders, values as [`Value`], rows as structs
//! that read from either engine. Nothing else in the crate names an engine, apart from `dialect`.

use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use podmail_domain::Timestamp;
use rusqlite::Connection;
use serde::de::DeserializeOwned;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::{Arguments as _, AssertSqlSafe, FromRow, Postgres};
use tokio::sync::OwnedMutexGuard;

use crate::embedded::{self, Embedded};
use crate::{Error, Result};

/// Connections of one node to PostgreSQL.
const POSTGRES_CONNECTIONS: u32 = 16;
/// How long a caller waits for a connection before the answer is "busy".
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the data lives.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// A file of the embedded engine.
    Sqlite(PathBuf),
    /// `postgres://…`
    Postgres(String),
}

impl std::fmt::Debug for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            // The URL may hold a password.
            Self::Postgres(_) => f.write_str("postgres"),
        }
    }
}

impl Location {
    /// Reads `sqlite:PATH` or `postgres://…`.
    pub fn parse(url: &str) -> Result<Self> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            return Ok(Self::Sqlite(PathBuf::from(path.strip_prefix("//").unwrap_or(path))));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.to_owned()));
        }
        Err(Error::Schema("database URL: expected `sqlite:PATH` or `postgres://…`".to_owned()))
    }
}

/// The engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Embedded; one process writes.
    Sqlite,
    /// Shared by any number of nodes.
    Postgres,
}

/// Open pools of one engine.
#[derive(Clone, Debug)]
pub(crate) enum Db {
    Sqlite(Embedded),
    Postgres(PgPool),
}

impl Db {
    pub(crate) async fn open(location: &Location) -> Result<Self> {
        match location {
            Location::Sqlite(path) => Ok(Self::Sqlite(Embedded::open(path)?)),
            Location::Postgres(url) => {
                let options = PgConnectOptions::from_str(url)?
                    .application_name("podmail")
                    .statement_cache_capacity(256)
                    .options([
                        ("synchronous_commit", "on"),
                        ("idle_in_transaction_session_timeout", "60000"),
                    ]);
                let pool = PgPoolOptions::new()
                    .max_connections(POSTGRES_CONNECTIONS)
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    .test_before_acquire(false)
                    .connect_with(options)
                    .await?;
                Ok(Self::Postgres(pool))
            }
        }
    }

    pub(crate) const fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// A connection that only reads.
    pub(crate) async fn reader(&self) -> Result<Conn> {
        Ok(match self {
            Self::Sqlite(embedded) => Conn::Reader(embedded.reader()),
            Self::Postgres(pool) => Conn::Postgres(pool.acquire().await?),
        })
    }

    /// A connection that may write. On SQLite there is one, and the writer task holds it.
    pub(crate) async fn writer(&self) -> Result<Conn> {
        Ok(match self {
            Self::Sqlite(embedded) => Conn::Writer(embedded.writer().await),
            Self::Postgres(pool) => Conn::Postgres(pool.acquire().await?),
        })
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(embedded) => embedded.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// One bound value. Booleans are 0 and 1, times are microseconds, ids and JSON are text, on both engines.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
}

macro_rules! text_values {
    ($($id:ty),*) => {$(
        impl From<$id> for Value { fn from(id: $id) -> Self { Self::Text(Some(id.to_string())) } }
        impl From<&$id> for Value { fn from(id: &$id) -> Self { Self::Text(Some(id.to_string())) } }
        impl From<Option<$id>> for Value {
            fn from(id: Option<$id>) -> Self { Self::Text(id.map(|id| id.to_string())) }
        }
    )*};
}
text_values!(
    podmail_domain::OrganizationId,
    podmail_domain::PodId,
    podmail_domain::ThreadId,
    podmail_domain::AttachmentId,
    podmail_domain::DraftId,
    podmail_domain::ApiKeyId,
    podmail_domain::InboxKey,
    podmail_domain::MessageKey,
    podmail_domain::DeliveryId,
    podmail_domain::WebhookId,
    podmail_domain::EventId,
    podmail_domain::WebhookDeliveryId,
    podmail_domain::InboxId,
    podmail_domain::MessageId,
    podmail_domain::DomainName
);

impl From<i64> for Value {
    fn from(n: i64) -> Self {
        Self::Int(Some(n))
    }
}
impl From<Option<i64>> for Value {
    fn from(n: Option<i64>) -> Self {
        Self::Int(n)
    }
}
impl From<u64> for Value {
    fn from(n: u64) -> Self {
        Self::Int(Some(i64::try_from(n).unwrap_or(i64::MAX)))
    }
}
impl From<usize> for Value {
    fn from(n: usize) -> Self {
        Self::Int(Some(i64::try_from(n).unwrap_or(i64::MAX)))
    }
}
impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Int(Some(i64::from(b)))
    }
}
impl From<Timestamp> for Value {
    fn from(time: Timestamp) -> Self {
        Self::Int(Some(time.micros()))
    }
}
impl From<Option<Timestamp>> for Value {
    fn from(time: Option<Timestamp>) -> Self {
        Self::Int(time.map(Timestamp::micros))
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}
impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}
impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}
impl From<Option<&str>> for Value {
    fn from(text: Option<&str>) -> Self {
        Self::Text(text.map(str::to_owned))
    }
}
impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Some(bytes))
    }
}
impl From<Option<Vec<u8>>> for Value {
    fn from(bytes: Option<Vec<u8>>) -> Self {
        Self::Bytes(bytes)
    }
}

/// Values for the placeholders `$1`, `$2`, … in order.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::db::Value::from($value)),*] };
}
pub(crate) use args;

/// Bytes of a row, taken as one piece: a `Vec<u8>` is read byte by byte on SQLite.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl<'de> serde::Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Whole;
        impl serde::de::Visitor<'_> for Whole {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> std::result::Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Whole)
    }
}

/// A row as a struct or a tuple; `#[derive(sqlx::FromRow, serde::Deserialize)]` makes a struct one. The first derive reads
/// from PostgreSQL, the second from SQLite, both by the names of the members.
pub(crate) trait Record:
    Send + Unpin + DeserializeOwned + 'static + for<'r> FromRow<'r, PgRow>
{
}
impl<T: Send + Unpin + DeserializeOwned + 'static + for<'r> FromRow<'r, PgRow>> Record for T {}

/// A connection to either engine.
#[derive(Debug)]
pub(crate) enum Conn {
    /// The one of SQLite that writes. Its calls run where they are made.
    Writer(OwnedMutexGuard<Option<Connection>>),
    /// The readers of SQLite.
    Reader(embedded::Reader),
    Postgres(PoolConnection<Postgres>),
}

/// The connection, unless the store was closed.
fn open(guard: &OwnedMutexGuard<Option<Connection>>) -> Result<&Connection> {
    guard.as_ref().ok_or(Error::Closed)
}

fn postgres_arguments(values: Vec<Value>) -> Result<PgArguments> {
    let mut arguments = PgArguments::default();
    for value in values {
        match value {
            Value::Int(n) => arguments.add(n),
            Value::Text(text) => arguments.add(text),
            Value::Bytes(bytes) => arguments.add(bytes),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

impl Conn {
    pub(crate) const fn engine(&self) -> Engine {
        match self {
            Self::Writer(_) | Self::Reader(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// Tells of a statement at the finest level of the log, without its values; the test of query plans listens.
    fn tell(&self, sql: &str) {
        tracing::trace!(target: "podmail_store::sql", engine = ?self.engine(), sql);
    }

    /// All rows.
    pub(crate) async fn all<T: Record>(&mut self, sql: &str, values: Vec<Value>) -> Result<Vec<T>> {
        self.tell(sql);
        match self {
            Self::Writer(guard) => {
                embedded::query(open(guard)?, &embedded::numbered(sql), &values, usize::MAX)
            }
            Self::Reader(reader) => reader.query(sql, values, usize::MAX).await,
            Self::Postgres(c) => Ok(sqlx::query_as_with(AssertSqlSafe(sql), postgres_arguments(values)?)
                .fetch_all(&mut **c)
                .await?),
        }
    }

    /// The first row, if any.
    pub(crate) async fn one<T: Record>(&mut self, sql: &str, values: Vec<Value>) -> Result<Option<T>> {
        self.tell(sql);
        match self {
            Self::Writer(guard) => {
                Ok(embedded::query(open(guard)?, &embedded::numbered(sql), &values, 1)?.pop())
            }
            Self::Reader(reader) => Ok(reader.query(sql, values, 1).await?.pop()),
            Self::Postgres(c) => Ok(sqlx::query_as_with(AssertSqlSafe(sql), postgres_arguments(values)?)
                .fetch_optional(&mut **c)
                .await?),
        }
    }

    /// Runs a statement; the number of rows it touched.
    pub(crate) async fn run(&mut self, sql: &str, values: Vec<Value>) -> Result<u64> {
        self.tell(sql);
        match self {
            Self::Writer(guard) => embedded::run(open(guard)?, &embedded::numbered(sql), &values),
            Self::Reader(_) => Err(Error::Corrupt("a reader was asked to write")),
            Self::Postgres(c) => Ok(sqlx::query_with(AssertSqlSafe(sql), postgres_arguments(values)?)
                .execute(&mut **c)
                .await?
                .rows_affected()),
        }
    }

    /// A count: the first column of the first row.
    pub(crate) async fn count(&mut self, sql: &str, values: Vec<Value>) -> Result<i64> {
        Ok(self.one::<(i64,)>(sql, values).await?.map_or(0, |(n,)| n))
    }

    /// Inserts into several tables.
    pub(crate) async fn insert_all(&mut self, inserts: Vec<Insert>) -> Result<()> {
        for insert in inserts {
            self.insert(insert.sql, insert.columns, insert.tail, insert.rows).await?;
        }
        Ok(())
    }

    /// Inserts many rows. `sql` is the text up to `VALUES`, `tail` what follows the rows; the number of rows in one
    /// statement is a power of two at most `CHUNK`, so that the statement cache holds few texts.
    pub(crate) async fn insert(
        &mut self,
        sql: &str,
        columns: usize,
        tail: &str,
        mut rows: std::collections::VecDeque<Vec<Value>>,
    ) -> Result<()> {
        while !rows.is_empty() {
            let take = CHUNK.min(1 << rows.len().ilog2());
            let mut text = String::with_capacity(sql.len() + take * columns * 5);
            text.push_str(sql);
            match self {
                // Anonymous: SQLite looks numbers of placeholders up one by one, and there are many here.
                Self::Writer(_) | Self::Reader(_) => push_anonymous_tuples(&mut text, take, columns),
                Self::Postgres(_) => push_tuples(&mut text, take, columns, 0),
            }
            text.push_str(tail);
            self.run(&text, rows.drain(..take).flatten().collect()).await?;
        }
        Ok(())
    }
}

/// Rows for one table, for [`Conn::insert_all`].
#[derive(Debug)]
pub(crate) struct Insert {
    /// The text up to `VALUES`.
    pub(crate) sql: &'static str,
    /// Values in a row.
    pub(crate) columns: usize,
    /// What follows the rows.
    pub(crate) tail: &'static str,
    /// The rows.
    pub(crate) rows: std::collections::VecDeque<Vec<Value>>,
}

/// Rows in one multi-row statement.
const CHUNK: usize = 64;

/// Appends `VALUES ($1,$2),($3,$4)…` for `rows` rows, numbering placeholders from `first + 1`.
pub(crate) fn push_tuples(text: &mut String, rows: usize, columns: usize, first: usize) {
    use std::fmt::Write as _;
    text.push_str(" VALUES ");
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ",(" });
        for column in 0..columns {
            let n = first + row * columns + column + 1;
            write!(text, "{}${n}", if column == 0 { "" } else { "," })
                .expect("writing to a string cannot fail");
        }
        text.push(')');
    }
}

fn push_anonymous_tuples(text: &mut String, rows: usize, columns: usize) {
    text.push_str(" VALUES ");
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ",(" });
        for column in 0..columns {
            text.push_str(if column == 0 { "?" } else { ",?" });
        }
        text.push(')');
    }
}

/// A statement that grows by conditions, each with its value.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    text: String,
    values: Vec<Value>,
}

impl Query {
    /// Starts with a text that already uses `values.len()` placeholders.
    pub(crate) fn new(text: &str, values: Vec<Value>) -> Self {
        Self { text: text.to_owned(), values }
    }
    /// Appends ` AND ` and a condition in which each `?` stands for the next of `values`.
    pub(crate) fn and(&mut self, condition: &str, values: Vec<Value>) {
        self.text.push_str(" AND ");
        self.push(condition, values);
    }
    /// Appends text in which each `?` stands for the next of `values`.
    pub(crate) fn push(&mut self, text: &str, values: Vec<Value>) {
        let mut values = values.into_iter();
        for part in text.split_inclusive('?') {
            match part.strip_suffix('?') {
                Some(part) => {
                    self.text.push_str(part);
                    self.values.extend(values.next());
                    self.text.push('$');
                    self.text.push_str(&self.values.len().to_string());
                }
                None => self.text.push_str(part),
            }
        }
    }
    /// Appends ` AND a IN (…)`, padded to a power of two so that the statement cache holds few texts.
    pub(crate) fn within(&mut self, column: &str, mut values: Vec<Value>) {
        let Some(last) = values.last().cloned() else { return };
        values.resize(values.len().next_power_of_two(), last);
        self.and(&format!("{column} IN ({})", vec!["?"; values.len()].join(",")), values);
    }
    /// Appends ` AND (a, b) IN (VALUES …)`, padded likewise.
    pub(crate) fn within_tuples(&mut self, columns: &str, rows: &[Vec<Value>], width: usize) {
        let Some(last) = rows.last() else { return };
        let count = rows.len().next_power_of_two();
        self.text.push_str(" AND ");
        self.text.push_str(columns);
        self.text.push_str(" IN (");
        push_tuples(&mut self.text, count, width, self.values.len());
        self.text.push(')');
        let padding = std::iter::repeat_n(last, count - rows.len());
        self.values.extend(rows.iter().chain(padding).flatten().cloned());
    }
    /// All rows.
    pub(crate) async fn all<T: Record>(self, conn: &mut Conn) -> Result<Vec<T>> {
        conn.all(&self.text, self.values).await
    }
    /// Runs it; the number of rows it touched.
    pub(crate) async fn run(self, conn: &mut Conn) -> Result<u64> {
        conn.run(&self.text, self.values).await
    }
}
