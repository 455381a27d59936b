//! Messages: reading, listing, deleting; `labels` changes what they carry. New ones come in through `insert`.

mod labels;

use std::collections::{BTreeMap, HashMap};

use podmail_domain::label::Restricted;
use podmail_domain::thread::{Attachment, Direction, Piece};
use podmail_domain::{
    AuthenticationResults, InboxId, InboxKey, MessageId, MessageKey, OrganizationId, PodId, ThreadId,
    Timestamp,
};

use crate::db::{Bytes, Conn, Query, args, push_tuples};
use crate::page::{Cursor, Order, Page};
use crate::scope::{Scope, id};
use crate::writer::Tx;
use crate::{Error, Result, Store, dialect, threads};

use labels::unlabel;
pub(crate) use labels::{LABEL_EVENTS, label_event, relabel};

/// A message as lists show it; its bytes are read separately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Owner.
    pub organization_id: OrganizationId,
    /// Owner.
    pub pod_id: PodId,
    /// Incarnation of the inbox.
    pub inbox_key: InboxKey,
    /// Address of the inbox.
    pub inbox_id: InboxId,
    /// Storage order.
    pub message_key: MessageKey,
    /// Id shown to clients.
    pub message_id: MessageId,
    /// Conversation.
    pub thread_id: ThreadId,
    /// Came or went.
    pub direction: Direction,
    /// Restricted labels among `labels`.
    pub restricted: Restricted,
    /// The message's own time.
    pub timestamp: Timestamp,
    /// When it was stored.
    pub created_at: Timestamp,
    /// Its last change.
    pub updated_at: Timestamp,
    /// Raw bytes.
    pub size: u64,
    /// In order of attachment.
    pub labels: Vec<String>,
    /// `Name <addr>` or `addr`; may be empty on broken mail.
    pub sender: String,
    /// As written.
    pub to: Vec<String>,
    /// As written.
    pub cc: Vec<String>,
    /// Only of messages sent from the inbox.
    pub bcc: Vec<String>,
    /// Decoded.
    pub subject: Option<String>,
    /// Start of the text body.
    pub preview: Option<String>,
    /// What it answers.
    pub in_reply_to: Option<MessageId>,
    /// Oldest first, as on the wire.
    pub references: Vec<String>,
    /// In MIME order.
    pub attachments: Vec<Attachment>,
    /// Where the bytes lie when they are not inline.
    pub object: Option<String>,
    /// Of received messages whose sender was checked.
    pub authentication: Option<AuthenticationResults>,
    /// First open of a sent message.
    pub opened_at: Option<Timestamp>,
    /// Those that have no field of their own; none when they are longer than 16 KB.
    pub headers: BTreeMap<String, String>,
}

/// Bytes of the headers of a message that are kept beside it for lists: a whole newsletter's are a few thousand.
pub(crate) const HEADERS_BYTES: usize = 16 * 1024;

impl Message {
    /// The inbox it lies in: whoever holds a message has been shown it.
    pub fn scope(&self) -> Scope {
        let inbox = crate::scope::InboxRef { key: self.inbox_key, id: self.inbox_id.clone() };
        Scope::new(self.organization_id, Some(self.pod_id), Some(inbox))
    }

    pub(crate) fn piece(&self) -> Piece<'_> {
        Piece {
            key: self.message_key,
            message_id: &self.message_id,
            direction: self.direction,
            timestamp: self.timestamp,
            from: &self.sender,
            recipients: [&self.to, &self.cc, &self.bcc],
            labels: &self.labels,
            subject: self.subject.as_deref(),
            preview: self.preview.as_deref(),
            attachments: &self.attachments,
            size: self.size,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

/// The stored bytes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredBytes {
    /// Compressed, from the database.
    Inline(Vec<u8>),
    /// The name of an object.
    Object(String),
}

/// What a list of messages keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageFilter {
    /// Carries all of these.
    pub labels: Vec<String>,
    /// Timestamp below.
    pub before: Option<Timestamp>,
    /// Timestamp at or above.
    pub after: Option<Timestamp>,
    /// Restricted labels that may be carried.
    pub visible: Restricted,
}

impl MessageFilter {
    /// Whether a message passes.
    pub fn admits(&self, message: &Message) -> bool {
        message.restricted.within(self.visible)
            && self.labels.iter().all(|label| message.labels.contains(label))
            && self.before.is_none_or(|before| message.timestamp < before)
            && self.after.is_none_or(|after| message.timestamp >= after)
    }
}

/// A change of labels, already normalized.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelChange {
    /// To add.
    pub add: Vec<String>,
    /// To remove; wins over `add`.
    pub remove: Vec<String>,
}

/// Outcome of a label change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relabelled {
    /// The messages' labels afterwards.
    Done(Vec<(MessageId, Vec<String>)>),
    /// A message would carry too many; nothing changed.
    TooMany,
}

pub(crate) const COLUMNS: &str = "m.organization_id, m.pod_id, m.inbox_key, m.inbox_id, m.message_key, m.message_id, \
    m.thread_id, m.direction, m.restricted, m.timestamp, m.created_at, m.updated_at, m.size, m.labels, m.sender, \
    m.recipients_to, m.recipients_cc, m.recipients_bcc, m.subject, m.preview, m.in_reply_to, m.reference_ids, \
    m.attachments, m.object, m.authentication, m.opened_at, m.headers";

#[derive(sqlx::FromRow, serde::Deserialize)]
pub(crate) struct MessageRow {
    organization_id: String,
    pod_id: String,
    inbox_key: String,
    inbox_id: String,
    message_key: String,
    message_id: String,
    thread_id: String,
    direction: i64,
    restricted: i64,
    timestamp: i64,
    created_at: i64,
    updated_at: i64,
    size: i64,
    labels: String,
    sender: String,
    recipients_to: String,
    recipients_cc: String,
    recipients_bcc: String,
    subject: Option<String>,
    preview: Option<String>,
    in_reply_to: Option<String>,
    reference_ids: Option<String>,
    attachments: Option<String>,
    object: Option<String>,
    authentication: Option<String>,
    opened_at: Option<i64>,
    headers: Option<String>,
}

pub(crate) fn list<T: serde::de::DeserializeOwned>(text: &str) -> Result<Vec<T>> {
    serde_json::from_str(text).map_err(|_| Error::Corrupt("a JSON list"))
}

pub(crate) fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("strings and numbers are JSON")
}

pub(crate) fn json_unless_empty<T: serde::Serialize>(values: &[T]) -> Option<String> {
    (!values.is_empty()).then(|| json(&values))
}

pub(crate) fn bits(stored: i64) -> Restricted {
    Restricted::from_bits(u8::try_from(stored).unwrap_or(15))
}

pub(crate) fn unsigned(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

impl TryFrom<MessageRow> for Message {
    type Error = Error;
    fn try_from(row: MessageRow) -> Result<Self> {
        Ok(Self {
            organization_id: id(&row.organization_id, OrganizationId::parse)?,
            pod_id: id(&row.pod_id, PodId::parse)?,
            inbox_key: id(&row.inbox_key, InboxKey::parse)?,
            inbox_id: id(&row.inbox_id, InboxId::parse)?,
            message_key: id(&row.message_key, MessageKey::parse)?,
            message_id: MessageId::new(&row.message_id),
            thread_id: id(&row.thread_id, ThreadId::parse)?,
            direction: Direction::from_code(row.direction),
            restricted: bits(row.restricted),
            timestamp: Timestamp::from_micros(row.timestamp),
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
            size: unsigned(row.size),
            labels: list(&row.labels)?,
            sender: row.sender,
            to: list(&row.recipients_to)?,
            cc: list(&row.recipients_cc)?,
            bcc: list(&row.recipients_bcc)?,
            subject: row.subject,
            preview: row.preview,
            in_reply_to: row.in_reply_to.as_deref().map(MessageId::new),
            references: row.reference_ids.as_deref().map(list).transpose()?.unwrap_or_default(),
            attachments: row.attachments.as_deref().map(list).transpose()?.unwrap_or_default(),
            object: row.object,
            opened_at: row.opened_at.map(Timestamp::from_micros),
            headers: row
                .headers
                .map(|text| serde_json::from_str(&text).map_err(|_| Error::Corrupt("headers")))
                .transpose()?
                .unwrap_or_default(),
            authentication: row
                .authentication
                .map(|text| serde_json::from_str(&text).map_err(|_| Error::Corrupt("authentication results")))
                .transpose()?,
        })
    }
}

pub(crate) fn messages(rows: Vec<MessageRow>) -> Result<Vec<Message>> {
    rows.into_iter().map(Message::try_from).collect()
}

fn select() -> String {
    format!("SELECT {COLUMNS} FROM messages m WHERE m.organization_id = $1")
}

/// Messages of the scope's inbox with these ids, in no particular order, hidden ones left out.
pub(crate) async fn by_ids(
    conn: &mut Conn,
    scope: &Scope,
    ids: &[MessageId],
    visible: Restricted,
) -> Result<Vec<Message>> {
    let mut query = Query::new(&select(), args![scope.organization()]);
    query.and("m.inbox_key = ?", args![scope.inbox_key()?]);
    let marks = vec!["?"; ids.len()].join(",");
    query.and(&format!("m.message_id IN ({marks})"), ids.iter().map(Into::into).collect());
    let mut found = messages(query.all(conn).await?)?;
    found.retain(|message| message.restricted.within(visible));
    Ok(found)
}

impl Store {
    /// A message of the scope's inbox. `visible` is what the caller may see.
    pub async fn message(
        &self,
        scope: &Scope,
        message: &MessageId,
        visible: Restricted,
    ) -> Result<Option<Message>> {
        let mut conn = self.reader().await?;
        Ok(by_ids(&mut conn, scope, std::slice::from_ref(message), visible).await?.into_iter().next())
    }

    /// Messages by id; unknown and hidden ones are left out.
    pub async fn messages_by_id(
        &self,
        scope: &Scope,
        ids: &[MessageId],
        visible: Restricted,
    ) -> Result<Vec<Message>> {
        let mut conn = self.reader().await?;
        by_ids(&mut conn, scope, ids, visible).await
    }

    /// A message by storage key within the scope's organization: for the server's own work on an event.
    pub async fn message_by_key(&self, scope: &Scope, key: MessageKey) -> Result<Option<Message>> {
        let mut query = Query::new(&select(), args![scope.organization()]);
        query.and("m.inbox_key = ?", args![scope.inbox_key()?]);
        query.and("m.message_key = ?", args![key]);
        let mut conn = self.reader().await?;
        query.all::<MessageRow>(&mut conn).await?.into_iter().next().map(Message::try_from).transpose()
    }

    /// A page of messages of the scope's inbox by timestamp.
    pub async fn list_messages(
        &self,
        scope: &Scope,
        filter: &MessageFilter,
        order: Order,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Message>> {
        let inbox = scope.inbox_key()?;
        let mut query = match filter.labels.first() {
            None => {
                let mut query = Query::new(&select(), args![scope.organization()]);
                query.and("m.inbox_key = ?", args![inbox]);
                query
            }
            Some(label) => {
                let text = format!(
                    "SELECT {COLUMNS} FROM message_labels l {} WHERE l.organization_id = $1",
                    dialect::labelled_messages(self.engine())
                );
                let mut query = Query::new(&text, args![scope.organization()]);
                query.and("l.inbox_key = ?", args![inbox]);
                query.and("l.label = ?", args![label.as_str()]);
                query
            }
        };
        let table = if filter.labels.is_empty() { "m" } else { "l" };
        for label in filter.labels.iter().skip(1) {
            query.and(
                "EXISTS (SELECT 1 FROM message_labels x WHERE x.organization_id = m.organization_id \
                 AND x.inbox_key = m.inbox_key AND x.label = ? AND x.timestamp = m.timestamp \
                 AND x.message_key = m.message_key)",
                args![label.as_str()],
            );
        }
        if filter.visible != Restricted::ALL {
            query.and("m.restricted IN (", Vec::new());
            let allowed = filter.visible.combinations();
            query.push(
                &format!("{})", vec!["?"; allowed.len()].join(",")),
                allowed.into_iter().map(|mask| i64::from(mask.bits()).into()).collect(),
            );
        }
        if let Some(before) = filter.before {
            query.and(&format!("{table}.timestamp < ?"), args![before]);
        }
        if let Some(after) = filter.after {
            query.and(&format!("{table}.timestamp >= ?"), args![after]);
        }
        order.seek(&mut query, &format!("{table}.timestamp"), &format!("{table}.message_key"), after, limit);
        let mut conn = self.reader().await?;
        let found = messages(query.all(&mut conn).await?)?;
        Ok(Page::cut(found, limit, |message| Cursor::new(message.timestamp, message.message_key)))
    }

    /// The stored bytes of a message.
    pub async fn message_bytes(&self, scope: &Scope, message: &Message) -> Result<Option<StoredBytes>> {
        if let Some(object) = &message.object {
            return Ok(Some(StoredBytes::Object(object.clone())));
        }
        let row: Option<(Bytes,)> = self
            .reader()
            .await?
            .one(
                "SELECT bytes FROM message_bytes WHERE organization_id = $1 AND inbox_key = $2 AND message_key = $3",
                args![scope.organization(), message.inbox_key, message.message_key],
            )
            .await?;
        Ok(row.map(|(bytes,)| StoredBytes::Inline(bytes.0)))
    }

    /// The stored bytes of messages, whoever's; those that are gone are left out.
    pub async fn bytes_of(&self, messages: &[Message]) -> Result<HashMap<MessageKey, StoredBytes>> {
        let mut found = HashMap::with_capacity(messages.len());
        let mut keys = Vec::new();
        for message in messages {
            match &message.object {
                Some(object) => {
                    found.insert(message.message_key, StoredBytes::Object(object.clone()));
                }
                None => keys.push(args![message.organization_id, message.inbox_key, message.message_key]),
            }
        }
        if !keys.is_empty() {
            let (values, arguments) = tuples(&keys, 3);
            let text = format!(
                "SELECT message_key, bytes FROM message_bytes \
                 WHERE (organization_id, inbox_key, message_key) IN ({values})"
            );
            for (key, bytes) in self.reader().await?.all::<(String, Bytes)>(&text, arguments).await? {
                found.insert(id(&key, MessageKey::parse)?, StoredBytes::Inline(bytes.0));
            }
        }
        Ok(found)
    }

    /// Other names of a message, in no particular order.
    pub async fn message_aliases(&self, scope: &Scope, message: &Message) -> Result<Vec<String>> {
        let rows: Vec<(String,)> = self
            .reader()
            .await?
            .all(
                "SELECT alias FROM message_aliases WHERE organization_id = $1 AND inbox_key = $2 AND message_key = $3",
                args![scope.organization(), message.inbox_key, message.message_key],
            )
            .await?;
        Ok(rows.into_iter().map(|(alias,)| alias).collect())
    }

    /// Changes labels of messages of the scope's inbox, all or nothing, in the order of `ids`; unknown and hidden ids
    /// are left out.
    pub async fn relabel_messages(
        &self,
        scope: &Scope,
        ids: Vec<MessageId>,
        change: LabelChange,
        visible: Restricted,
        now: Timestamp,
    ) -> Result<Relabelled> {
        self.write((scope.clone(), ids, change, visible, now), |tx, (scope, ids, change, visible, now)| {
            Box::pin(async move {
                lock_inbox(tx, scope.organization(), scope.inbox_key()?).await?;
                let mut found = by_ids(tx, scope, ids, *visible).await?;
                found.sort_by_key(|message| ids.iter().position(|id| *id == message.message_id));
                relabel(tx, found, change, *now).await
            })
        })
        .await
    }

    /// Deletes a message of the scope's inbox; `false` when there is none that the caller may see. Returns the object
    /// to remove through the outer option's value.
    pub async fn delete_message(
        &self,
        scope: &Scope,
        message: &MessageId,
        visible: Restricted,
    ) -> Result<Option<Vec<String>>> {
        self.write((scope.clone(), message.clone(), visible), |tx, (scope, message, visible)| {
            Box::pin(async move {
                lock_inbox(tx, scope.organization(), scope.inbox_key()?).await?;
                let found = by_ids(tx, scope, std::slice::from_ref(message), *visible).await?;
                if found.is_empty() {
                    return Ok(None);
                }
                delete(tx, &found).await.map(Some)
            })
        })
        .await
    }
}

/// Takes the inbox's row: every change of its messages and threads starts with it, so that they follow one another.
/// `false`: the inbox is gone.
pub(crate) async fn lock_inbox(tx: &mut Tx, organization: OrganizationId, inbox: InboxKey) -> Result<bool> {
    let touched = tx
        .run(
            "UPDATE inboxes SET label_seq = label_seq WHERE organization_id = $1 AND inbox_key = $2",
            args![organization, inbox],
        )
        .await?;
    Ok(touched > 0)
}

/// Removes messages of one locked inbox with everything that hangs on them; returns the objects to remove.
pub(crate) async fn delete(tx: &mut Tx, found: &[Message]) -> Result<Vec<String>> {
    let mut objects = Vec::new();
    let mut stale = std::collections::BTreeSet::new();
    for message in found {
        let key = || args![message.organization_id, message.inbox_key, message.message_key];
        for label in &message.labels {
            unlabel(tx, message, label).await?;
        }
        crate::search::forget(tx, message.organization_id, message.inbox_key, message.message_key).await?;
        tx.run(
            "DELETE FROM message_aliases WHERE organization_id = $1 AND inbox_key = $2 AND message_key = $3",
            key(),
        )
        .await?;
        tx.run(
            "DELETE FROM messages WHERE organization_id = $1 AND inbox_key = $2 AND message_key = $3",
            key(),
        )
        .await?;
        crate::texts::forget(tx, message).await?;
        // Mail that was accepted for delivery is still delivered: its bytes stay until the queue is done with them.
        if !waiting(tx, message).await? {
            tx.run(
                "DELETE FROM message_bytes WHERE organization_id = $1 AND inbox_key = $2 AND message_key = $3",
                key(),
            )
            .await?;
            objects.extend(message.object.clone());
        }
        stale.insert(message.thread_id);
    }
    if let Some(first) = found.first() {
        for thread in stale {
            threads::refresh(tx, first.organization_id, thread).await?;
        }
    }
    Ok(objects)
}

/// Whether outbound copies of a message are still to be delivered.
async fn waiting(tx: &mut Tx, message: &Message) -> Result<bool> {
    if message.direction == Direction::Received {
        return Ok(false);
    }
    let count = tx
        .count(
            "SELECT COUNT(*) FROM deliveries WHERE organization_id = $1 AND inbox_key = $2 AND message_key = $3 \
             AND state IN ('held', 'ready')",
            args![message.organization_id, message.inbox_key, message.message_key],
        )
        .await?;
    Ok(count > 0)
}

/// Builds `(a, b, c) IN (VALUES …)` look-ups padded to a power of two, so that the statement cache holds few texts.
pub(crate) fn tuples(rows: &[Vec<crate::db::Value>], columns: usize) -> (String, Vec<crate::db::Value>) {
    let count = rows.len().next_power_of_two();
    let mut text = String::new();
    push_tuples(&mut text, count, columns, 0);
    let last = rows.last().cloned().unwrap_or_default();
    let padding = std::iter::repeat_n(last, count - rows.len());
    (text, rows.iter().cloned().chain(padding).flatten().collect())
}
