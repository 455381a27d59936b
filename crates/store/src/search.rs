//! The full-text index: what waits for it, what it holds, and candidates for a query. What a message says is not
//! decided here: the index names candidates by tokens, the caller compares them with the documents themselves.
//!
//! Every pod and every organization has an index of its own (`index`), made of segments (`segment`) that are merged in
//! the background (`merge`), so that one tenant's volume does not slow another's search. Labels and deletions are
//! judged by the messages' own rows when a query runs.

mod index;
mod merge;
mod segment;

use std::collections::{BTreeSet, HashSet};

use podmail_domain::label::Restricted;
use podmail_domain::{InboxKey, MessageKey, OrganizationId, ThreadId, Timestamp};

pub use index::{Alternative, Lookup, SearchIndex, Terms};

use crate::db::{Bytes, Conn, Query, Value, args};
use crate::messages::{COLUMNS, Message, MessageRow, list, messages, tuples};
use crate::scope::{Scope, id};
use crate::writer::Tx;
use crate::{Result, Store};

/// Places of documents in one microsecond.
const PLACES: i64 = 1 << 10;
/// Places tried for a document whose own is taken; each try looks twice as far as the one before.
const TRIES: u32 = 24;
/// How often a try looks twice as far: 65 ms at most.
const WIDEST: u32 = 16;

/// Documents of one statement at most, as a power of two.
const INSERTED_AT_ONCE: u32 = 5;

/// A message for the index.
#[derive(Clone, Debug)]
pub struct SearchDocument {
    /// The message.
    pub message: Message,
    /// What it is found by.
    pub tokens: BTreeSet<String>,
    /// The folded words of its body, compressed.
    pub text: Vec<u8>,
    /// Of the code that made this.
    pub version: i64,
}

/// What a query needs of a candidate to decide about it.
#[derive(Clone, Debug)]
pub struct SearchHit {
    /// Number of the document; a greater one is newer.
    pub document: i64,
    /// Which message.
    pub message_key: MessageKey,
    /// Its inbox.
    pub inbox_key: InboxKey,
    /// Its conversation.
    pub thread_id: ThreadId,
    /// The message's own time.
    pub timestamp: Timestamp,
    /// `Name <addr>` or `addr`.
    pub sender: String,
    /// To, cc and bcc.
    pub recipients: Vec<String>,
    /// Decoded.
    pub subject: Option<String>,
    /// The folded words of its body, compressed.
    pub text: Vec<u8>,
}

/// Which documents a query looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SearchWindow {
    /// Timestamp below.
    pub before: Option<Timestamp>,
    /// Timestamp at or above.
    pub after: Option<Timestamp>,
    /// Below the document with this number: for going on.
    pub below: Option<i64>,
    /// From the document with this number.
    pub from: Option<i64>,
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct HitRow {
    doc_id: i64,
    message_key: String,
    inbox_key: String,
    thread_id: String,
    timestamp: i64,
    sender: String,
    recipients_to: String,
    recipients_cc: String,
    recipients_bcc: String,
    subject: Option<String>,
    text: Bytes,
}

const HIT_COLUMNS: &str = "d.doc_id, m.message_key, m.inbox_key, m.thread_id, m.timestamp, m.sender, m.recipients_to, \
    m.recipients_cc, m.recipients_bcc, m.subject, d.text";

impl TryFrom<HitRow> for SearchHit {
    type Error = crate::Error;
    fn try_from(row: HitRow) -> Result<Self> {
        let mut recipients: Vec<String> = list(&row.recipients_to)?;
        recipients.extend(list::<String>(&row.recipients_cc)?);
        recipients.extend(list::<String>(&row.recipients_bcc)?);
        Ok(Self {
            document: row.doc_id,
            message_key: id(&row.message_key, MessageKey::parse)?,
            inbox_key: id(&row.inbox_key, InboxKey::parse)?,
            thread_id: id(&row.thread_id, ThreadId::parse)?,
            timestamp: Timestamp::from_micros(row.timestamp),
            sender: row.sender,
            recipients,
            subject: row.subject,
            text: row.text.0,
        })
    }
}

/// Where a document stands among all: the microsecond of its message's own time, and one of its places, chosen by the
/// random bits of the message's key. Where many share a microsecond, later tries spread over a few milliseconds.
fn place(message: &Message, attempt: u32) -> i64 {
    let (_, random) = message.message_key.uuid().as_u64_pair();
    // Other bits of the key for every try.
    let spread = random.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(attempt.wrapping_mul(7));
    let places = PLACES << attempt.min(WIDEST);
    place_of(message.timestamp).saturating_add(i64::try_from(spread >> 1).unwrap_or(0) % places)
}

/// The first place behind all that messages before a time may have.
fn places_before(time: Timestamp) -> i64 {
    place_of(time).saturating_add(PLACES << WIDEST)
}

/// The first place of a time.
fn place_of(time: Timestamp) -> i64 {
    time.micros().saturating_mul(PLACES)
}

/// A time that no message of a later document is behind: all messages after it have greater numbers than this one.
pub fn document_time(document: i64) -> Timestamp {
    Timestamp::from_micros(document.div_euclid(PLACES))
}

impl Store {
    /// The oldest messages that wait for the index, whoever's, in no particular order.
    pub async fn search_backlog(&self, limit: usize) -> Result<Vec<Message>> {
        let mut conn = self.reader().await?;
        let waiting = conn
            .all(
                "SELECT organization_id, inbox_key, message_key FROM search_queue ORDER BY message_key LIMIT $1",
                args![limit],
            )
            .await?;
        messages_of(&mut conn, waiting).await
    }

    /// The latest messages of a scope that wait for the index, in no particular order.
    pub async fn search_backlog_of(&self, scope: &Scope, limit: usize) -> Result<Vec<Message>> {
        let mut query = Query::new(
            "SELECT q.organization_id, q.inbox_key, q.message_key FROM search_queue q WHERE q.organization_id = $1",
            args![scope.organization()],
        );
        scope.narrow(&mut query, "q");
        // As an expression: by the index of keys, PostgreSQL would walk through what waits of everybody.
        query.push(" ORDER BY q.message_key || '' DESC LIMIT ?", args![limit]);
        let mut conn = self.reader().await?;
        let waiting = query.all(&mut conn).await?;
        messages_of(&mut conn, waiting).await
    }

    /// How many messages wait for the index, counted up to `most`.
    pub async fn search_backlog_size(&self, most: usize) -> Result<u64> {
        let count = self
            .reader()
            .await?
            .count("SELECT COUNT(*) FROM (SELECT message_key FROM search_queue LIMIT $1) AS q", args![most])
            .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Queues up to `limit` documents again that another version of the code made; how many.
    pub async fn requeue_outdated(&self, version: i64, limit: usize) -> Result<u64> {
        self.write_later((version, limit), |tx, (version, limit)| {
            Box::pin(async move {
                tx.run(
                    "INSERT INTO search_queue (organization_id, inbox_key, message_key, pod_id) \
                     SELECT organization_id, inbox_key, message_key, pod_id FROM search_documents \
                     WHERE version < $1 LIMIT $2 ON CONFLICT DO NOTHING",
                    args![*version, *limit],
                )
                .await
            })
        })
        .await
    }

    /// Takes messages out of the queue and into the index. What is not in the queue any more (deleted, or indexed by
    /// somebody else meanwhile) is left alone. `now`: ahead of what merely keeps the index up to date.
    pub async fn index_documents(&self, documents: Vec<SearchDocument>, now: bool) -> Result<()> {
        if documents.is_empty() {
            return Ok(());
        }
        if now {
            self.write(documents, |tx, documents| Box::pin(index(tx, documents))).await
        } else {
            self.write_later(documents, |tx, documents| Box::pin(index(tx, documents))).await
        }
    }

    /// The documents with these numbers whose messages carry no restricted label.
    pub async fn search_hits(&self, scope: &Scope, documents: &[i64]) -> Result<Vec<SearchHit>> {
        let mut hits = Vec::with_capacity(documents.len());
        let mut conn = self.reader().await?;
        for part in documents.chunks(256) {
            hits.extend(
                hits_in(&mut conn, scope, "d.doc_id", part.iter().map(|doc| (*doc).into()).collect()).await?,
            );
        }
        Ok(hits)
    }

    /// Conversations of the documents with these numbers, each once with the latest of its documents, latest first.
    pub async fn search_threads(&self, scope: &Scope, documents: &[i64]) -> Result<Vec<(i64, ThreadId)>> {
        let mut found: Vec<(i64, String)> = Vec::new();
        let mut conn = self.reader().await?;
        for part in documents.chunks(256) {
            let mut query = Query::new(
                "SELECT d.doc_id, d.thread_id FROM search_documents d WHERE d.organization_id = $1",
                args![scope.organization()],
            );
            query.within("d.doc_id", part.iter().map(|doc| (*doc).into()).collect());
            found.extend(query.all::<(i64, String)>(&mut conn).await?);
        }
        found.sort_by(|a, b| b.cmp(a));
        let (mut seen, mut threads) = (HashSet::new(), Vec::new());
        for (document, thread) in found {
            let thread = id(&thread, ThreadId::parse)?;
            if seen.insert(thread) {
                threads.push((document, thread));
            }
        }
        Ok(threads)
    }

    /// All documents of these conversations whose messages carry no restricted label.
    pub async fn search_hits_of(&self, scope: &Scope, threads: &[ThreadId]) -> Result<Vec<SearchHit>> {
        let mut hits = Vec::new();
        let mut conn = self.reader().await?;
        for part in threads.chunks(128) {
            hits.extend(
                hits_in(&mut conn, scope, "d.thread_id", part.iter().map(|id| (*id).into()).collect())
                    .await?,
            );
        }
        Ok(hits)
    }

    /// Messages of a scope by their keys, without those that carry a restricted label, in no particular order.
    pub async fn messages_by_key(
        &self,
        scope: &Scope,
        keys: &[(InboxKey, MessageKey)],
    ) -> Result<Vec<Message>> {
        let keys = keys.iter().map(|(inbox, message)| args![*inbox, *message]).collect();
        by_key(&mut self.reader().await?, scope, keys, Restricted::NONE).await
    }

    /// Messages of a scope by the numbers of their documents, those that a reader of `visible` sees, in no particular
    /// order.
    pub async fn messages_by_document(
        &self,
        scope: &Scope,
        documents: &[i64],
        visible: Restricted,
    ) -> Result<Vec<Message>> {
        let mut conn = self.reader().await?;
        let mut found = Vec::with_capacity(documents.len());
        for part in documents.chunks(256) {
            let mut query = Query::new(
                "SELECT d.inbox_key, d.message_key FROM search_documents d WHERE d.organization_id = $1",
                args![scope.organization()],
            );
            query.within("d.doc_id", part.iter().map(|doc| (*doc).into()).collect());
            let keys: Vec<(String, String)> = query.all(&mut conn).await?;
            let keys = keys.into_iter().map(|(inbox, message)| args![inbox, message]).collect();
            found.extend(by_key(&mut conn, scope, keys, visible).await?);
        }
        Ok(found)
    }
}

/// Messages of a scope by inbox and key, those that a reader of `visible` sees.
async fn by_key(
    conn: &mut Conn,
    scope: &Scope,
    keys: Vec<Vec<Value>>,
    visible: Restricted,
) -> Result<Vec<Message>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let text = format!("SELECT {COLUMNS} FROM messages m WHERE m.organization_id = $1");
    let mut query = Query::new(&text, args![scope.organization()]);
    query.within_tuples("(m.inbox_key, m.message_key)", &keys, 2);
    let mut found = messages(query.all::<MessageRow>(conn).await?)?;
    found.retain(|message| {
        message.restricted.within(visible) && scope.covers(Some(message.pod_id), Some(message.inbox_key))
    });
    Ok(found)
}

/// Messages by their keys. Joined with the queue, PostgreSQL expects few of them for many rows, and reads all of both.
async fn messages_of(conn: &mut Conn, keys: Vec<(String, String, String)>) -> Result<Vec<Message>> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<Vec<Value>> =
        keys.into_iter().map(|(organization, inbox, message)| args![organization, inbox, message]).collect();
    let (values, arguments) = tuples(&keys, 3);
    let text = format!(
        "SELECT {COLUMNS} FROM messages m WHERE (m.organization_id, m.inbox_key, m.message_key) IN ({values})"
    );
    messages(conn.all::<MessageRow>(&text, arguments).await?)
}

async fn hits_in(conn: &mut Conn, scope: &Scope, column: &str, values: Vec<Value>) -> Result<Vec<SearchHit>> {
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let mut query = Query::new(
        &format!(
            // CROSS JOIN: SQLite without statistics would begin with the messages.
            "SELECT {HIT_COLUMNS} FROM search_documents d CROSS JOIN messages m WHERE d.organization_id = $1 \
             AND m.organization_id = d.organization_id AND m.inbox_key = d.inbox_key \
             AND m.message_key = d.message_key AND m.restricted = 0"
        ),
        args![scope.organization()],
    );
    if let Some(pod) = scope.pod() {
        query.and("m.pod_id = ?", args![pod]);
    }
    query.within(column, values);
    let mut hits: Vec<SearchHit> =
        query.all::<HitRow>(conn).await?.into_iter().map(SearchHit::try_from).collect::<Result<_>>()?;
    // Asked in SQL, SQLite would conclude the inbox of the documents and walk all of it.
    hits.retain(|hit| scope.inbox().is_none_or(|inbox| inbox.key == hit.inbox_key));
    Ok(hits)
}

/// Queues new messages for the index, within the transaction that stores them.
pub(crate) fn queue_values(message: &Message) -> Vec<Value> {
    args![message.organization_id, message.inbox_key, message.message_key, message.pod_id]
}

pub(crate) const INSERT_QUEUE: &str =
    "INSERT INTO search_queue (organization_id, inbox_key, message_key, pod_id)";

async fn index(tx: &mut Tx, documents: &[SearchDocument]) -> Result<()> {
    let key = |message: &Message| args![message.organization_id, message.inbox_key, message.message_key];
    let keys: Vec<Vec<Value>> = documents.iter().map(|document| key(&document.message)).collect();
    let (values, arguments) = tuples(&keys, 3);
    let text = format!(
        "DELETE FROM search_queue WHERE (organization_id, inbox_key, message_key) IN ({values}) RETURNING message_key"
    );
    let waiting: HashSet<String> =
        tx.all::<(String,)>(&text, arguments).await?.into_iter().map(|(key,)| key).collect();
    let mut waiting: Vec<&SearchDocument> = documents
        .iter()
        .filter(|document| waiting.contains(&document.message.message_key.to_string()))
        .collect();
    if waiting.is_empty() {
        return Ok(());
    }
    let keys: Vec<Vec<Value>> = waiting.iter().map(|document| key(&document.message)).collect();
    let (values, arguments) = tuples(&keys, 3);
    let text =
        format!("DELETE FROM search_documents WHERE (organization_id, inbox_key, message_key) IN ({values})");
    tx.run(&text, arguments).await?;
    let mut added = Vec::with_capacity(waiting.len());
    for attempt in 0..TRIES {
        waiting = insert(tx, waiting, attempt, &mut added).await?;
        if waiting.is_empty() {
            return index::add(tx, &added).await;
        }
    }
    Err(crate::Error::Race)
}

const INSERT_DOCUMENTS: &str = "INSERT INTO search_documents (organization_id, doc_id, pod_id, inbox_key, message_key, \
    thread_id, version, text)";

/// Adds documents with their numbers to `added`, and returns those whose places are taken.
async fn insert<'a>(
    tx: &mut Tx,
    documents: Vec<&'a SearchDocument>,
    attempt: u32,
    added: &mut Vec<(i64, &'a SearchDocument)>,
) -> Result<Vec<&'a SearchDocument>> {
    let mut taken = Vec::new();
    let mut rest = documents.as_slice();
    while !rest.is_empty() {
        // A power of two, so that the statement cache holds few texts.
        let (part, later) = rest.split_at(1 << rest.len().ilog2().min(INSERTED_AT_ONCE));
        rest = later;
        let rows: Vec<Vec<Value>> = part.iter().map(|document| row(document, attempt)).collect();
        let (values, arguments) = tuples(&rows, 8);
        let text = format!("{INSERT_DOCUMENTS}{values} ON CONFLICT DO NOTHING RETURNING message_key");
        let stored: HashSet<String> =
            tx.all::<(String,)>(&text, arguments).await?.into_iter().map(|(key,)| key).collect();
        for document in part {
            if stored.contains(&document.message.message_key.to_string()) {
                added.push((place(&document.message, attempt), document));
            } else {
                taken.push(*document);
            }
        }
    }
    Ok(taken)
}

fn row(document: &SearchDocument, attempt: u32) -> Vec<Value> {
    let message = &document.message;
    args![
        message.organization_id,
        place(message, attempt),
        message.pod_id,
        message.inbox_key,
        message.message_key,
        message.thread_id,
        document.version,
        document.text.clone()
    ]
}

/// Takes a message out of the index and of its queue.
pub(crate) async fn forget(
    tx: &mut Tx,
    organization: OrganizationId,
    inbox: InboxKey,
    message: MessageKey,
) -> Result<()> {
    let key = || args![organization, inbox, message];
    tx.run(
        "DELETE FROM search_queue WHERE organization_id = $1 AND inbox_key = $2 AND message_key = $3",
        key(),
    )
    .await?;
    let gone: Option<(String, i64)> = tx
        .one(
            "DELETE FROM search_documents WHERE organization_id = $1 AND inbox_key = $2 AND message_key = $3 \
             RETURNING pod_id, doc_id",
            key(),
        )
        .await?;
    match gone {
        Some((pod, document)) => index::tell_of_gone(tx, organization, pod, document).await,
        None => Ok(()),
    }
}

/// Removes up to `limit` documents of a deleted inbox; `false`: there are none left.
pub(crate) async fn purge(
    tx: &mut Tx,
    organization: OrganizationId,
    inbox: InboxKey,
    limit: usize,
) -> Result<bool> {
    let queued = tx
        .run(
            "DELETE FROM search_queue WHERE organization_id = $1 AND inbox_key = $2 AND message_key IN \
             (SELECT message_key FROM search_queue WHERE organization_id = $1 AND inbox_key = $2 LIMIT $3)",
            args![organization, inbox, limit],
        )
        .await?;
    let gone: Vec<(String, i64)> = tx
        .all(
            "DELETE FROM search_documents WHERE organization_id = $1 AND doc_id IN \
             (SELECT doc_id FROM search_documents WHERE organization_id = $1 AND inbox_key = $2 LIMIT $3) \
             RETURNING pod_id, doc_id",
            args![organization, inbox, limit],
        )
        .await?;
    let any = queued > 0 || !gone.is_empty();
    for (pod, document) in gone {
        index::tell_of_gone(tx, organization, pod, document).await?;
    }
    Ok(any)
}
