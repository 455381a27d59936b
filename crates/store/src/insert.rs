//! New messages, many at a time: arrivals from outside, mail between inboxes, and sends. One pass reads what is known
//! of their ids and threads, decides each in order in memory, and writes everything with multi-row statements.
//!
//! A message, its labels and their history, its thread, its event, its delivery rows and its idempotency record
//! commit together.

mod new;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use podmail_domain::label::Restricted;
use podmail_domain::thread::{Aggregate, Direction};
use podmail_domain::{
    DeliveryId, EventId, EventType, InboxKey, MessageId, MessageKey, OrganizationId, ThreadId, Timestamp,
    limits,
};

use crate::db::{Insert, Value, args};
use crate::messages::{HEADERS_BYTES, Message, StoredBytes, json, json_unless_empty, label_event, tuples};
use crate::scope::{Scope, id};
use crate::writer::Tx;
use crate::{Error, Result, Store, threads};

pub use new::{Announce, NewDelivery, NewMessage, Stored};

impl Store {
    /// Stores messages as part of one durable transaction and says what became of each, in order.
    pub async fn insert_messages(&self, messages: Vec<NewMessage>) -> Result<Vec<Stored>> {
        self.writer.insert(messages).await
    }

    /// What an idempotency key made, if it is known and not forgotten.
    pub async fn idempotent(
        &self,
        scope: &Scope,
        key: &str,
        request_hash: &str,
        now: Timestamp,
    ) -> Result<Option<Stored>> {
        let mut conn = self.reader().await?;
        replay(&mut conn, scope.organization(), key, request_hash, now).await
    }
}

async fn replay(
    conn: &mut crate::db::Conn,
    organization: OrganizationId,
    key: &str,
    request_hash: &str,
    now: Timestamp,
) -> Result<Option<Stored>> {
    let since = now.minus(Duration::from_secs(limits::IDEMPOTENCY_HOURS * 3600));
    let row: Option<(String, String, String)> = conn
        .one(
            "SELECT request_hash, message_id, thread_id FROM idempotency_keys \
             WHERE organization_id = $1 AND idempotency_key = $2 AND created_at > $3",
            args![organization, key, since],
        )
        .await?;
    row.map(|(hash, message, thread)| {
        if hash != request_hash {
            return Ok(Stored::KeyReused);
        }
        Ok(Stored::Replay { message_id: MessageId::new(&message), thread_id: id(&thread, ThreadId::parse)? })
    })
    .transpose()
}

type Name = (InboxKey, String);

/// A stored message, as far as deciding about new ones needs it.
#[derive(Clone)]
struct Known {
    message_id: String,
    thread_id: ThreadId,
    fingerprint: String,
    created_at: Timestamp,
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct KnownRow {
    alias: i64,
    inbox_key: String,
    name: String,
    message_id: String,
    thread_id: String,
    fingerprint: String,
    created_at: i64,
}

/// What the inboxes of a batch already hold under the names that the batch mentions.
#[derive(Default)]
struct Names {
    own: HashMap<Name, Vec<Known>>,
    aliases: HashMap<Name, Vec<Known>>,
}

impl Names {
    /// A message's own id goes before another's alias.
    fn find(&self, name: &Name) -> Option<&Known> {
        self.own.get(name).or_else(|| self.aliases.get(name)).and_then(|known| known.first())
    }
}

struct Inbox {
    next_seq: i64,
    paused: bool,
}

/// Everything that one batch writes.
#[derive(Default)]
struct Rows {
    messages: VecDeque<Vec<Value>>,
    bytes: VecDeque<Vec<Value>>,
    aliases: VecDeque<Vec<Value>>,
    labels: VecDeque<Vec<Value>>,
    label_events: VecDeque<Vec<Value>>,
    events: VecDeque<Vec<Value>>,
    deliveries: VecDeque<Vec<Value>>,
    search: VecDeque<Vec<Value>>,
    text_jobs: VecDeque<Vec<Value>>,
}

/// Stores a batch within a transaction.
pub(crate) async fn store(tx: &mut Tx, batch: &[&NewMessage]) -> Result<Vec<Stored>> {
    let mut inboxes = lock(tx, batch).await?;
    let mut names = names(tx, batch).await?;
    let (mut rows, mut results, mut accepted) =
        (Rows::default(), Vec::with_capacity(batch.len()), Vec::new());
    let mut quotas = HashMap::new();
    for new in batch {
        let inbox_key = new.scope.inbox_key()?;
        let outcome = match inboxes.get_mut(&inbox_key) {
            None => Stored::Gone,
            Some(inbox) if inbox.paused && new.direction == Direction::Received => Stored::Paused,
            Some(inbox) => match previous(tx, new, &names, &mut quotas).await? {
                Some(previous) => previous,
                None => {
                    let (message, known) = decide(tx, new, &names)?;
                    remember(&mut names, new, &message);
                    collect(&mut rows, tx, new, &message, inbox);
                    let stored =
                        Stored::New { message_id: message.message_id.clone(), thread_id: message.thread_id };
                    if let Some((key, hash)) = &new.idempotency {
                        // At once, so that a second use of the key in this very batch finds it.
                        idempotency(tx, &message, key, hash).await?;
                    }
                    accepted.push((message, known));
                    stored
                }
            },
        };
        results.push(outcome);
    }
    tx.news.events |= !rows.events.is_empty();
    tx.news.outbound |= !rows.deliveries.is_empty();
    tx.news.search |= !rows.search.is_empty();
    let (threads, stale) = aggregates(tx, &accepted).await?;
    write(tx, rows, threads).await?;
    for (organization, thread) in stale {
        threads::refresh(tx, organization, thread).await?;
    }
    Ok(results)
}

/// Takes the inboxes' rows in one order and reserves numbers of their label histories.
async fn lock(tx: &mut Tx, batch: &[&NewMessage]) -> Result<HashMap<InboxKey, Inbox>> {
    let mut wanted: BTreeMap<(OrganizationId, InboxKey), usize> = BTreeMap::new();
    for new in batch {
        *wanted.entry((new.scope.organization(), new.scope.inbox_key()?)).or_default() += new.labels.len();
    }
    let rows: Vec<Vec<Value>> =
        wanted.iter().map(|((organization, inbox), count)| args![*organization, *inbox, *count]).collect();
    let (values, arguments) = tuples(&rows, 3);
    // The padding repeats a row: DISTINCT keeps it from counting twice.
    let text = format!(
        "UPDATE inboxes SET label_seq = label_seq + v.n FROM (SELECT DISTINCT column1 AS o, column2 AS k, \
         CAST(column3 AS BIGINT) AS n FROM ({values}) AS t) AS v \
         WHERE organization_id = v.o AND inbox_key = v.k RETURNING inbox_key, label_seq, paused"
    );
    let rows: Vec<(String, i64, i64)> = tx.all(&text, arguments).await?;
    rows.into_iter()
        .map(|(key, seq, paused)| {
            let key = id(&key, InboxKey::parse)?;
            let reserved: usize = wanted.iter().filter(|((_, k), _)| *k == key).map(|(_, count)| count).sum();
            let first = seq - i64::try_from(reserved).unwrap_or(0) + 1;
            Ok((key, Inbox { next_seq: first, paused: paused != 0 }))
        })
        .collect()
}

async fn names(tx: &mut Tx, batch: &[&NewMessage]) -> Result<Names> {
    let mut wanted = BTreeSet::new();
    for new in batch {
        let inbox = new.scope.inbox_key()?;
        let all = [new.message_id.as_str()].into_iter();
        let all = all
            .chain(new.aliases.iter().map(String::as_str))
            .chain(new.candidates.iter().map(String::as_str));
        wanted.extend(all.map(|name| (new.scope.organization(), inbox, name.to_owned())));
    }
    let wanted: Vec<Vec<Value>> =
        wanted.into_iter().map(|(organization, inbox, name)| args![organization, inbox, name]).collect();
    let mut names = Names::default();
    // Bounded statements: a mail may mention a hundred ids.
    for part in wanted.chunks(256) {
        let (values, arguments) = tuples(part, 3);
        let text = format!(
            "SELECT CAST(0 AS BIGINT) AS alias, m.inbox_key, m.message_id AS name, m.message_id, m.thread_id, \
             m.fingerprint, m.created_at FROM messages m \
             WHERE (m.organization_id, m.inbox_key, m.message_id) IN ({values}) \
             UNION ALL SELECT CAST(1 AS BIGINT), a.inbox_key, a.alias, m.message_id, m.thread_id, m.fingerprint, \
             m.created_at FROM message_aliases a JOIN messages m ON m.organization_id = a.organization_id \
             AND m.inbox_key = a.inbox_key AND m.message_key = a.message_key \
             WHERE (a.organization_id, a.inbox_key, a.alias) IN ({values})"
        );
        for row in tx.all::<KnownRow>(&text, arguments).await? {
            let aliased = row.alias != 0;
            let (name, known) = known(row)?;
            let names = if aliased { &mut names.aliases } else { &mut names.own };
            names.entry(name).or_default().push(known);
        }
    }
    Ok(names)
}

fn known(row: KnownRow) -> Result<(Name, Known)> {
    let name = (id(&row.inbox_key, InboxKey::parse)?, row.name);
    let known = Known {
        message_id: row.message_id,
        thread_id: id(&row.thread_id, ThreadId::parse)?,
        fingerprint: row.fingerprint,
        created_at: Timestamp::from_micros(row.created_at),
    };
    Ok((name, known))
}

/// An earlier use of the idempotency key, or the same mail within the last day, or another reason not to store it. `quotas`:
/// what is left of them within this batch.
async fn previous(
    tx: &mut Tx,
    new: &NewMessage,
    names: &Names,
    quotas: &mut HashMap<OrganizationId, u64>,
) -> Result<Option<Stored>> {
    if let Some((key, hash)) = &new.idempotency {
        let found = replay(tx, new.scope.organization(), key, hash, new.created_at).await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    if let Some(since) = new.quota_since {
        let organization = new.scope.organization();
        if let std::collections::hash_map::Entry::Vacant(unknown) = quotas.entry(organization) {
            unknown.insert(crate::quota::left(tx, organization, since).await?);
        }
        let wanted = new.deliveries.len() as u64;
        match quotas.get_mut(&organization).map(|left| (left.checked_sub(wanted), left)) {
            Some((Some(rest), left)) => *left = rest,
            Some((None, _)) | None => return Ok(Some(Stored::OverQuota)),
        }
    }
    if let Some(claim) = &new.draft
        && !crate::drafts::consume(tx, claim, new.created_at).await?
    {
        return Ok(Some(Stored::Unclaimed));
    }
    if new.direction == Direction::Sent {
        return Ok(None);
    }
    let inbox = new.scope.inbox_key()?;
    let since = new.created_at.minus(Duration::from_secs(limits::DUPLICATE_HOURS * 3600));
    let own = names.own.get(&(inbox, new.message_id.as_str().to_owned()));
    let aliased = new.aliases.iter().filter_map(|alias| names.aliases.get(&(inbox, alias.clone())));
    let also = names.aliases.get(&(inbox, new.message_id.as_str().to_owned()));
    let same = own
        .into_iter()
        .chain(aliased)
        .chain(also)
        .flatten()
        .any(|known| known.fingerprint == new.fingerprint && known.created_at > since);
    Ok(same.then_some(Stored::Duplicate))
}

/// The message as it will be stored (its final id, thread and key), and whether its thread was there before.
fn decide(tx: &Tx, new: &NewMessage, names: &Names) -> Result<(Message, bool)> {
    let inbox = new.scope.inbox().ok_or(Error::Corrupt("an inbox scope was expected"))?;
    let named = |name: &str| names.find(&(inbox.key, name.to_owned()));
    let taken = names.own.contains_key(&(inbox.key, new.message_id.as_str().to_owned()));
    let message_id = if taken { new.substitute.clone() } else { new.message_id.clone() };
    let joined = new
        .thread
        .or_else(|| new.candidates.iter().find_map(|name| named(name)).map(|known| known.thread_id));
    // `Date` has whole seconds: an answer is no older than what it answers for that.
    let answered = new.candidates.iter().find_map(|name| named(name)).map(|known| known.created_at);
    let timestamp = answered
        .filter(|answered| {
            new.direction == Direction::Received
                && *answered >= new.timestamp
                && answered.since(new.timestamp) < Duration::from_secs(1)
        })
        .map_or(new.timestamp, |answered| answered.plus(Duration::from_micros(1)));
    let thread_id = joined.unwrap_or_else(|| ThreadId::new(&*tx.ids, new.created_at));
    let in_reply_to = new.in_reply_to.as_deref().map(|name| {
        // A message known under another name is shown by the id under which it can be fetched.
        MessageId::new(named(name).map_or(name, |known| &known.message_id))
    });
    let mut headers = new.headers.clone();
    if let Some(original) = new.original_id.as_ref().filter(|original| *original != message_id.as_str()) {
        headers.insert("Message-ID".to_owned(), original.clone());
    }
    let message = Message {
        organization_id: new.scope.organization(),
        pod_id: new.scope.pod_or_default(),
        inbox_key: inbox.key,
        inbox_id: inbox.id.clone(),
        message_key: new.key.unwrap_or_else(|| MessageKey::new(&*tx.ids, new.created_at)),
        message_id,
        thread_id,
        direction: new.direction,
        restricted: Restricted::of(new.labels.iter().map(String::as_str)),
        timestamp,
        created_at: new.created_at,
        updated_at: new.created_at,
        size: new.size,
        labels: new.labels.clone(),
        sender: new.sender.clone(),
        to: new.to.clone(),
        cc: new.cc.clone(),
        bcc: new.bcc.clone(),
        subject: new.subject.clone(),
        preview: new.preview.clone(),
        in_reply_to,
        references: new.references.clone(),
        attachments: new.attachments.clone(),
        authentication: new.authentication.clone(),
        opened_at: None,
        headers,
        object: match &new.bytes {
            StoredBytes::Inline(_) => None,
            StoredBytes::Object(name) => Some(name.clone()),
        },
    };
    Ok((message, joined.is_some()))
}

/// Makes a message known to the rest of its batch.
fn remember(names: &mut Names, new: &NewMessage, message: &Message) {
    let known = Known {
        message_id: message.message_id.as_str().to_owned(),
        thread_id: message.thread_id,
        fingerprint: new.fingerprint.clone(),
        created_at: new.created_at,
    };
    let own = (message.inbox_key, message.message_id.as_str().to_owned());
    names.own.entry(own).or_default().push(known.clone());
    for alias in aliases(new, message) {
        names.aliases.entry((message.inbox_key, alias)).or_default().push(known.clone());
    }
}

fn aliases(new: &NewMessage, message: &Message) -> Vec<String> {
    let replaced = (message.message_id != new.message_id).then(|| new.message_id.as_str().to_owned());
    let mut all: Vec<String> = new.aliases.iter().cloned().chain(replaced).collect();
    all.sort();
    all.dedup();
    all
}

fn collect(rows: &mut Rows, tx: &Tx, new: &NewMessage, message: &Message, inbox: &mut Inbox) {
    let key = || args![message.organization_id, message.inbox_key];
    rows.messages.push_back(message_values(message, &new.fingerprint));
    rows.search.push_back(crate::search::queue_values(message));
    if let StoredBytes::Inline(bytes) = &new.bytes {
        rows.bytes.push_back(args![
            message.organization_id,
            message.inbox_key,
            message.message_key,
            bytes.clone()
        ]);
    }
    for alias in aliases(new, message) {
        let mut row = key();
        row.extend(args![alias, message.message_key]);
        rows.aliases.push_back(row);
    }
    for label in &message.labels {
        let mut row = key();
        row.extend(args![label.as_str(), message.timestamp, message.message_key]);
        rows.labels.push_back(row);
        rows.label_events.push_back(label_event(message, inbox.next_seq, label, true, message.created_at));
        inbox.next_seq += 1;
    }
    if message.direction == Direction::Received && new.announce == Announce::Arrival {
        let kind = EventType::received(&message.labels);
        rows.events.push_back(event_values(tx, message, kind, &message_facts(message)));
    }
    if new.extract_texts {
        rows.text_jobs.push_back(crate::texts::job_values(message));
    }
    for delivery in &new.deliveries {
        rows.deliveries.push_back(args![
            message.organization_id,
            DeliveryId::new(&*tx.ids, message.created_at),
            message.pod_id,
            message.inbox_key,
            message.message_key,
            &message.inbox_id,
            &message.message_id,
            message.thread_id,
            message.object.clone(),
            delivery.recipient.as_str(),
            delivery.destination.as_str(),
            "ready",
            0_i64,
            message.created_at,
            delivery.expires_at,
            message.created_at,
            message.created_at
        ]);
    }
}

fn message_values(message: &Message, fingerprint: &str) -> Vec<Value> {
    args![
        message.organization_id,
        message.inbox_key,
        message.message_key,
        message.pod_id,
        &message.inbox_id,
        &message.message_id,
        message.thread_id,
        message.direction.code(),
        i64::from(message.restricted.bits()),
        message.timestamp,
        message.created_at,
        message.updated_at,
        message.size,
        fingerprint,
        json(&message.labels),
        message.sender.as_str(),
        json(&message.to),
        json(&message.cc),
        json(&message.bcc),
        message.subject.clone(),
        message.preview.clone(),
        message.in_reply_to.clone(),
        json_unless_empty(&message.references),
        json_unless_empty(&message.attachments),
        message.object.clone(),
        message.authentication.as_ref().map(json),
        headers(&message.headers),
    ]
}

/// Headers as they are kept; none when they are too long.
fn headers(headers: &BTreeMap<String, String>) -> Option<String> {
    let text = (!headers.is_empty()).then(|| json(headers))?;
    (text.len() <= HEADERS_BYTES).then_some(text)
}

/// What an event of a message keeps in case the message is gone when the event is rendered.
fn message_facts(message: &Message) -> String {
    serde_json::json!({
        "message_id": message.message_id,
        "labels": message.labels,
        "timestamp": message.timestamp.micros(),
        "from": message.sender,
        "to": message.to,
        "subject": message.subject,
        "size": message.size,
    })
    .to_string()
}

/// A row of the event log for something that happened to a message.
pub(crate) fn event_values(tx: &Tx, message: &Message, kind: EventType, facts: &str) -> Vec<Value> {
    args![
        message.organization_id,
        message.pod_id,
        message.inbox_key,
        &message.inbox_id,
        EventId::new(&*tx.ids, message.created_at),
        kind.as_str(),
        message.message_key,
        message.thread_id,
        facts,
        message.created_at
    ]
}

pub(crate) const INSERT_EVENTS: &str = "INSERT INTO events (organization_id, pod_id, inbox_key, inbox_id, event_id, \
    event_type, message_key, thread_id, facts, created_at)";
/// Columns of [`INSERT_EVENTS`].
pub(crate) const EVENT_VALUES: usize = 10;

async fn idempotency(tx: &mut Tx, message: &Message, key: &str, hash: &str) -> Result<()> {
    tx.run(
        "INSERT INTO idempotency_keys (organization_id, idempotency_key, request_hash, message_id, thread_id, \
         created_at) VALUES ($1,$2,$3,$4,$5,$6) ON CONFLICT (organization_id, idempotency_key) DO UPDATE SET \
         request_hash = excluded.request_hash, message_id = excluded.message_id, thread_id = excluded.thread_id, \
         created_at = excluded.created_at",
        args![message.organization_id, key, hash, &message.message_id, message.thread_id, message.created_at],
    )
    .await?;
    Ok(())
}

async fn write(tx: &mut Tx, rows: Rows, threads: VecDeque<Vec<Value>>) -> Result<()> {
    let insert = |sql, columns, rows| Insert { sql, columns, tail: "", rows };
    tx.insert_all(vec![
        insert(
            "INSERT INTO messages (organization_id, inbox_key, message_key, pod_id, inbox_id, message_id, thread_id, \
             direction, restricted, timestamp, created_at, updated_at, size, fingerprint, labels, sender, \
             recipients_to, recipients_cc, recipients_bcc, subject, preview, in_reply_to, reference_ids, attachments, \
             object, authentication, headers)",
            27,
            rows.messages,
        ),
        insert(
            "INSERT INTO message_bytes (organization_id, inbox_key, message_key, bytes)",
            4,
            rows.bytes,
        ),
        insert(
            "INSERT INTO message_aliases (organization_id, inbox_key, alias, message_key)",
            4,
            rows.aliases,
        ),
        insert(
            "INSERT INTO message_labels (organization_id, inbox_key, label, timestamp, message_key)",
            5,
            rows.labels,
        ),
        insert(crate::messages::LABEL_EVENTS, 9, rows.label_events),
        insert(INSERT_EVENTS, EVENT_VALUES, rows.events),
        insert(
            "INSERT INTO deliveries (organization_id, delivery_id, pod_id, inbox_key, message_key, inbox_id, \
             message_id, thread_id, object, recipient, destination, state, attempts, due_at, expires_at, created_at, \
             updated_at)",
            17,
            rows.deliveries,
        ),
        insert(crate::search::INSERT_QUEUE, 4, rows.search),
        insert(crate::texts::INSERT_JOBS, crate::texts::JOB_VALUES, rows.text_jobs),
        Insert {
            sql: threads::UPSERT_THREAD,
            columns: threads::THREAD_VALUES,
            tail: threads::UPSERT_THREAD_TAIL,
            rows: threads,
        },
    ])
    .await
}

/// Rows of the threads of new messages: appended to where the message is the newest. Threads where it is not are named
/// instead, and have to be recomputed once the messages are written.
async fn aggregates(
    tx: &mut Tx,
    accepted: &[(Message, bool)],
) -> Result<(VecDeque<Vec<Value>>, BTreeSet<(OrganizationId, ThreadId)>)> {
    let mut by_organization: BTreeMap<OrganizationId, BTreeSet<ThreadId>> = BTreeMap::new();
    for (message, known) in accepted {
        if *known {
            by_organization.entry(message.organization_id).or_default().insert(message.thread_id);
        }
    }
    let mut current = HashMap::new();
    for (organization, ids) in &by_organization {
        let ids: Vec<ThreadId> = ids.iter().copied().collect();
        current.extend(threads::stored_aggregates(tx, *organization, &ids).await?);
    }
    let (mut changed, mut stale) = (BTreeMap::new(), BTreeSet::new());
    for (message, _) in accepted {
        let piece = message.piece();
        let key = (message.thread_id, message.restricted);
        match current.get_mut(&key) {
            None => {
                current.insert(key, Aggregate::of(&piece));
            }
            Some(aggregate) if aggregate.takes(&piece) => aggregate.append(&piece),
            Some(_) => {
                stale.insert((message.organization_id, message.thread_id));
            }
        }
        changed.insert(key, message);
    }
    let rows = changed
        .into_iter()
        .filter(|((thread, _), message)| !stale.contains(&(message.organization_id, *thread)))
        .filter_map(|(key, message)| Some(threads::thread_values(message, key.1, current.get(&key)?)))
        .collect();
    Ok((rows, stale))
}
