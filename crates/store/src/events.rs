//! Reading the event log. Rows are written with the change that caused them (see `insert`); readers keep a cursor and
//! derive from the log what follows from an event.
//!
//! Invariant: a reader that moves its cursor only to positions given here misses nothing, on either engine.

use podmail_domain::{EventId, EventType, MessageKey, ThreadId, Timestamp};

use crate::db::{Engine, args};
use crate::scope::{Scope, id, stored_scope};
use crate::writer::Tx;
use crate::{Result, Store, dialect};

/// A place in the event log; the default one is before everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The writing transaction; 0 on SQLite.
    pub txn: i64,
    /// Number of the row.
    pub seq: i64,
}

/// One occurrence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where it stands.
    pub position: Position,
    /// Organization, pod and inbox that it happened in.
    pub scope: Scope,
    /// The same on every channel.
    pub event_id: EventId,
    /// What happened.
    pub event_type: EventType,
    /// The message, on events of a message.
    pub message_key: Option<MessageKey>,
    /// Its conversation.
    pub thread_id: Option<ThreadId>,
    /// A JSON object with what the payload cannot take from elsewhere, and what stands in for a message that is gone.
    pub facts: String,
    /// When it was recorded.
    pub created_at: Timestamp,
}

/// What a look into the log brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// In order of the log.
    pub events: Vec<Event>,
    /// Where the reader stands now.
    pub next: Position,
    /// Whether more is there already, or will be as soon as a transaction ends that still runs.
    pub more: bool,
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct EventRow {
    txn: i64,
    seq: i64,
    organization_id: String,
    pod_id: Option<String>,
    inbox_key: Option<String>,
    inbox_id: Option<String>,
    event_id: String,
    event_type: String,
    message_key: Option<String>,
    thread_id: Option<String>,
    facts: String,
    created_at: i64,
}

impl EventRow {
    const fn position(&self) -> Position {
        Position { txn: self.txn, seq: self.seq }
    }
    fn event(self, event_type: EventType) -> Result<Event> {
        Ok(Event {
            position: self.position(),
            scope: stored_scope(
                &self.organization_id,
                self.pod_id.as_deref(),
                self.inbox_key.as_deref(),
                self.inbox_id.as_deref(),
            )?,
            event_id: id(&self.event_id, EventId::parse)?,
            event_type,
            message_key: self.message_key.as_deref().map(|key| id(key, MessageKey::parse)).transpose()?,
            thread_id: self.thread_id.as_deref().map(|thread| id(thread, ThreadId::parse)).transpose()?,
            facts: self.facts,
            created_at: Timestamp::from_micros(self.created_at),
        })
    }
}

impl Store {
    /// At most `limit` events behind `after`, of all organizations. Types that this program does not know are passed
    /// over.
    pub async fn read_log(&self, after: Position, limit: usize) -> Result<Log> {
        let text = format!(
            "SELECT txn, seq, organization_id, pod_id, inbox_key, inbox_id, event_id, event_type, message_key, \
             thread_id, facts, created_at FROM events WHERE (txn, seq) > ($1, $2){} ORDER BY txn, seq LIMIT $3",
            dialect::settled_events(self.engine())
        );
        let mut conn = self.reader().await?;
        let rows: Vec<EventRow> = conn.all(&text, args![after.txn, after.seq, limit]).await?;
        let full = rows.len() == limit;
        let next = rows.last().map_or(after, EventRow::position);
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            if let Some(event_type) = EventType::parse(&row.event_type) {
                events.push(row.event(event_type)?);
            }
        }
        let more = full
            || (self.engine() == Engine::Postgres
                && conn
                    .one::<(i64,)>(
                        "SELECT seq FROM events WHERE (txn, seq) > ($1, $2) ORDER BY txn, seq LIMIT 1",
                        args![next.txn, next.seq],
                    )
                    .await?
                    .is_some());
        Ok(Log { events, next, more })
    }

    /// How far the reader of that name has come; a new one starts at the beginning.
    pub async fn event_cursor(&self, name: &str) -> Result<Position> {
        const CURSOR: &str = "SELECT txn, seq FROM cursors WHERE name = $1";
        let found: Option<(i64, i64)> = self.reader().await?.one(CURSOR, args![name]).await?;
        if let Some((txn, seq)) = found {
            return Ok(Position { txn, seq });
        }
        self.write(name.to_owned(), |tx, name| {
            Box::pin(async move {
                tx.run(
                    "INSERT INTO cursors (name, txn, seq) VALUES ($1,0,0) ON CONFLICT (name) DO NOTHING",
                    args![name.as_str()],
                )
                .await?;
                let found: Option<(i64, i64)> = tx.one(CURSOR, args![name.as_str()]).await?;
                Ok(found.map(|(txn, seq)| Position { txn, seq }).unwrap_or_default())
            })
        })
        .await
    }

    /// Moves a cursor from where its reader thinks it stands; `false` when another reader moved it first.
    pub async fn move_event_cursor(&self, name: &str, from: Position, to: Position) -> Result<bool> {
        self.write_later((name.to_owned(), from, to), |tx, (name, from, to)| {
            Box::pin(move_cursor(tx, name, *from, *to))
        })
        .await
    }
}

/// As [`Store::move_event_cursor`], within the transaction that writes what was derived.
pub(crate) async fn move_cursor(tx: &mut Tx, name: &str, from: Position, to: Position) -> Result<bool> {
    let moved = tx
        .run(
            "UPDATE cursors SET txn = $4, seq = $5 WHERE name = $1 AND txn = $2 AND seq = $3",
            args![name, from.txn, from.seq, to.txn, to.seq],
        )
        .await?;
    Ok(moved > 0)
}
