//! Removes what nobody needs any more: ends of deliveries, old events, idempotency records that are forgotten. One small
//! piece at a time and behind everything that waits to be written, so that arriving mail does not notice.
//!
//! Invariant: an event that a reader of the log has not passed stays, however old it is.

use podmail_domain::Timestamp;

use crate::db::{Conn, Value, args};
use crate::events::Position;
use crate::messages::tuples;
use crate::writer::Tx;
use crate::{Result, Store};

/// Rows that one piece removes of each kind at most.
pub const CLEAN_ROWS: usize = 200;

/// What is old enough to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanBefore {
    /// Deliveries that ended before.
    pub deliveries: Timestamp,
    /// Events recorded before.
    pub events: Timestamp,
    /// Idempotency records made before.
    pub idempotency: Timestamp,
    /// Messages that wait for the text of their attachments since before.
    pub texts: Timestamp,
}

/// What one piece removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Deliveries with their attempts.
    pub deliveries: usize,
    /// Events.
    pub events: usize,
    /// Idempotency records.
    pub idempotency: usize,
    /// Messages that waited for the text of their attachments.
    pub texts: usize,
}

impl Cleaned {
    /// Whether there may be more.
    pub const fn more(&self) -> bool {
        self.deliveries >= CLEAN_ROWS
            || self.events >= CLEAN_ROWS
            || self.idempotency >= CLEAN_ROWS
            || self.texts >= CLEAN_ROWS
    }
}

impl Store {
    /// Removes one piece. What there is to remove is looked up outside of the transaction.
    pub async fn clean_step(&self, before: CleanBefore) -> Result<Cleaned> {
        let mut conn = self.reader().await?;
        let ended = ended_deliveries(&mut conn, before.deliveries).await?;
        let events = old_events(&mut conn, before.events).await?;
        let keys = old_keys(&mut conn, before.idempotency).await?;
        let texts = old_text_jobs(&mut conn, before.texts).await?;
        drop(conn);
        let cleaned = Cleaned {
            deliveries: ended.len(),
            events: events.len(),
            idempotency: keys.len(),
            texts: texts.len(),
        };
        if cleaned == Cleaned::default() {
            return Ok(cleaned);
        }
        self.write_later((ended, events, keys, texts, before), |tx, (ended, events, keys, texts, before)| {
            Box::pin(async move {
                remove_deliveries(tx, ended).await?;
                remove_events(tx, events).await?;
                remove_keys(tx, keys, before.idempotency).await?;
                remove_text_jobs(tx, texts, before.texts).await
            })
        })
        .await?;
        Ok(cleaned)
    }
}

/// An organization and an id of it.
type Pair = (String, String);

async fn ended_deliveries(conn: &mut Conn, before: Timestamp) -> Result<Vec<Pair>> {
    let mut found = Vec::new();
    for state in ["done", "failed"] {
        let rows: Vec<Pair> = conn
            .all(
                "SELECT organization_id, delivery_id FROM deliveries WHERE state = $1 AND due_at < $2 \
                 ORDER BY due_at LIMIT $3",
                args![state, before, CLEAN_ROWS - found.len()],
            )
            .await?;
        found.extend(rows);
    }
    Ok(found)
}

/// Numbers of the oldest events, those left out that some reader has not passed.
async fn old_events(conn: &mut Conn, before: Timestamp) -> Result<Vec<i64>> {
    let cursors: Vec<(i64, i64)> = conn.all("SELECT txn, seq FROM cursors", Vec::new()).await?;
    let Some(passed) = cursors.into_iter().map(|(txn, seq)| Position { txn, seq }).min() else {
        return Ok(Vec::new());
    };
    let oldest: Vec<(i64, i64)> = conn
        .all(
            "SELECT seq, created_at FROM events WHERE (txn, seq) <= ($1, $2) ORDER BY txn, seq LIMIT $3",
            args![passed.txn, passed.seq, CLEAN_ROWS],
        )
        .await?;
    Ok(oldest.into_iter().take_while(|(_, at)| *at < before.micros()).map(|(seq, _)| seq).collect())
}

async fn old_keys(conn: &mut Conn, before: Timestamp) -> Result<Vec<Pair>> {
    conn.all(
        "SELECT organization_id, idempotency_key FROM idempotency_keys WHERE created_at <= $1 \
         ORDER BY created_at LIMIT $2",
        args![before, CLEAN_ROWS],
    )
    .await
}

async fn old_text_jobs(conn: &mut Conn, before: Timestamp) -> Result<Vec<(String, String, String)>> {
    conn.all(
        "SELECT organization_id, inbox_key, message_key FROM text_jobs WHERE due_at < $1 ORDER BY due_at LIMIT $2",
        args![before, CLEAN_ROWS],
    )
    .await
}

fn values_of(pairs: &[Pair]) -> (String, Vec<Value>) {
    let rows: Vec<Vec<Value>> =
        pairs.iter().map(|(organization, key)| args![organization.as_str(), key.as_str()]).collect();
    tuples(&rows, 2)
}

async fn remove_deliveries(tx: &mut Tx, ended: &[Pair]) -> Result<()> {
    if ended.is_empty() {
        return Ok(());
    }
    let (values, arguments) = values_of(ended);
    let text = format!("DELETE FROM delivery_attempts WHERE (organization_id, delivery_id) IN ({values})");
    tx.run(&text, arguments.clone()).await?;
    let text = format!("DELETE FROM deliveries WHERE (organization_id, delivery_id) IN ({values})");
    tx.run(&text, arguments).await?;
    Ok(())
}

async fn remove_events(tx: &mut Tx, numbers: &[i64]) -> Result<()> {
    let Some(last) = numbers.last() else { return Ok(()) };
    // Filled up to a power of two, so that the statement cache holds few texts.
    let count = numbers.len().next_power_of_two();
    let list: Vec<String> = (1..=count).map(|n| format!("${n}")).collect();
    let list = list.join(",");
    let padding = std::iter::repeat_n(last, count - numbers.len());
    let arguments = numbers.iter().chain(padding).map(|seq| Value::from(*seq)).collect();
    tx.run(&format!("DELETE FROM events WHERE seq IN ({list})"), arguments).await?;
    Ok(())
}

/// A key that was used again meanwhile has a new record, which stays.
async fn remove_keys(tx: &mut Tx, keys: &[Pair], before: Timestamp) -> Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let (values, mut arguments) = values_of(keys);
    arguments.extend(args![before]);
    let text = format!(
        "DELETE FROM idempotency_keys WHERE (organization_id, idempotency_key) IN ({values}) AND created_at <= ${}",
        arguments.len()
    );
    tx.run(&text, arguments).await?;
    Ok(())
}

/// A job that somebody leased meanwhile stays.
async fn remove_text_jobs(tx: &mut Tx, jobs: &[(String, String, String)], before: Timestamp) -> Result<()> {
    if jobs.is_empty() {
        return Ok(());
    }
    let rows: Vec<Vec<Value>> = jobs
        .iter()
        .map(|(organization, inbox, message)| args![organization.as_str(), inbox.as_str(), message.as_str()])
        .collect();
    let (values, mut arguments) = tuples(&rows, 3);
    arguments.extend(args![before]);
    let text = format!(
        "DELETE FROM text_jobs WHERE (organization_id, inbox_key, message_key) IN ({values}) AND due_at < ${}",
        arguments.len()
    );
    tx.run(&text, arguments).await?;
    Ok(())
}
