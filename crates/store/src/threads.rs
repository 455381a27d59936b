//! Threads: one stored aggregate per combination of restricted labels. A reader who sees one combination only gets the
//! stored row; one who sees several gets an aggregate derived from the messages. Nothing is filtered afterwards.

use std::collections::{BTreeMap, HashMap, HashSet};

use podmail_domain::label::Restricted;
use podmail_domain::thread::{Aggregate, Piece};
use podmail_domain::{InboxId, InboxKey, MessageId, MessageKey, OrganizationId, PodId, ThreadId, Timestamp};

use crate::db::{Conn, Query, Value, args};
use crate::messages::{
    COLUMNS, LabelChange, Message, MessageRow, Relabelled, bits, json, json_unless_empty, list, lock_inbox,
    messages, relabel, unsigned,
};
use crate::page::{Cursor, Order, Page};
use crate::scope::{Scope, id};
use crate::writer::Tx;
use crate::{Result, Store};

/// A thread as one reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Owner.
    pub organization_id: OrganizationId,
    /// Owner.
    pub pod_id: PodId,
    /// Incarnation of the inbox.
    pub inbox_key: InboxKey,
    /// Address of the inbox.
    pub inbox_id: InboxId,
    /// Its id.
    pub thread_id: ThreadId,
    /// Over the messages that the reader sees.
    pub aggregate: Aggregate,
}

/// Which time a list of threads is ordered and filtered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ThreadTime {
    /// Newest message.
    #[default]
    Any,
    /// Newest received message.
    Received,
    /// Newest sent message.
    Sent,
}

impl ThreadTime {
    const fn column(self) -> &'static str {
        match self {
            Self::Any => "t.timestamp",
            Self::Received => "t.received_timestamp",
            Self::Sent => "t.sent_timestamp",
        }
    }
    /// The time of an aggregate.
    pub fn of(self, aggregate: &Aggregate) -> Timestamp {
        match self {
            Self::Any => Some(aggregate.timestamp),
            Self::Received => aggregate.received_timestamp,
            Self::Sent => aggregate.sent_timestamp,
        }
        .unwrap_or(aggregate.timestamp)
    }
}

/// What a list of threads keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadFilter {
    /// The aggregate carries all of these.
    pub labels: Vec<String>,
    /// Time below.
    pub before: Option<Timestamp>,
    /// Time at or above.
    pub after: Option<Timestamp>,
    /// Order and time filters use this time.
    pub time: ThreadTime,
    /// Restricted labels whose messages count.
    pub visible: Restricted,
}

impl ThreadFilter {
    /// Whether a thread passes, as a reader of `visible` sees it.
    pub fn admits(&self, thread: &Thread) -> bool {
        let of = &thread.aggregate;
        let time = self.time.of(of);
        let has_time = match self.time {
            ThreadTime::Any => true,
            ThreadTime::Received => of.received_timestamp.is_some(),
            ThreadTime::Sent => of.sent_timestamp.is_some(),
        };
        has_time
            && self.labels.iter().all(|label| of.labels.contains(label))
            && self.before.is_none_or(|before| time < before)
            && self.after.is_none_or(|after| time >= after)
    }
}

/// Whom a message of a thread is from and to, and what about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageHead {
    /// Its thread.
    pub thread_id: ThreadId,
    /// `Name <addr>` or `addr`.
    pub sender: String,
    /// To, cc and bcc.
    pub recipients: Vec<String>,
    /// Decoded.
    pub subject: Option<String>,
}

impl Thread {
    /// The inbox it lies in: whoever holds a thread has been shown it.
    pub fn scope(&self) -> Scope {
        let inbox = crate::scope::InboxRef { key: self.inbox_key, id: self.inbox_id.clone() };
        Scope::new(self.organization_id, Some(self.pod_id), Some(inbox))
    }
}

/// Outcome of a thread update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThreadRelabelled {
    /// Labels of the thread afterwards, over what the caller may see.
    Done(Vec<String>),
    /// No such thread, or nothing in it that the caller may see.
    NotFound,
    /// Too many messages to change at once; nothing changed.
    TooLarge,
    /// A message would carry too many labels; nothing changed.
    TooManyLabels,
}

/// Threads that are read with one statement.
const AT_ONCE: usize = 128;

const THREAD_COLUMNS: &str = "t.organization_id, t.thread_id, t.restricted, t.pod_id, t.inbox_key, t.inbox_id, \
    t.timestamp, t.received_timestamp, t.sent_timestamp, t.message_count, t.size, t.created_at, t.updated_at, \
    t.last_message_id, t.last_message_key, t.labels, t.senders, t.recipients, t.subject, t.preview, t.attachments";

#[derive(sqlx::FromRow, serde::Deserialize)]
struct ThreadRow {
    organization_id: String,
    thread_id: String,
    restricted: i64,
    pod_id: String,
    inbox_key: String,
    inbox_id: String,
    timestamp: i64,
    received_timestamp: Option<i64>,
    sent_timestamp: Option<i64>,
    message_count: i64,
    size: i64,
    created_at: i64,
    updated_at: i64,
    last_message_id: String,
    last_message_key: String,
    labels: String,
    senders: String,
    recipients: String,
    subject: Option<String>,
    preview: Option<String>,
    attachments: Option<String>,
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct HeadRow {
    restricted: i64,
    thread_id: String,
    sender: String,
    recipients_to: String,
    recipients_cc: String,
    recipients_bcc: String,
    subject: Option<String>,
}

impl TryFrom<HeadRow> for MessageHead {
    type Error = crate::Error;
    fn try_from(row: HeadRow) -> Result<Self> {
        let mut recipients: Vec<String> = list(&row.recipients_to)?;
        recipients.extend(list::<String>(&row.recipients_cc)?);
        recipients.extend(list::<String>(&row.recipients_bcc)?);
        Ok(Self {
            thread_id: id(&row.thread_id, ThreadId::parse)?,
            sender: row.sender,
            recipients,
            subject: row.subject,
        })
    }
}

fn thread(row: ThreadRow) -> Result<(Restricted, Thread)> {
    let restricted = bits(row.restricted);
    let thread = Thread {
        organization_id: id(&row.organization_id, OrganizationId::parse)?,
        pod_id: id(&row.pod_id, PodId::parse)?,
        inbox_key: id(&row.inbox_key, InboxKey::parse)?,
        inbox_id: id(&row.inbox_id, InboxId::parse)?,
        thread_id: id(&row.thread_id, ThreadId::parse)?,
        aggregate: Aggregate {
            labels: list(&row.labels)?,
            timestamp: Timestamp::from_micros(row.timestamp),
            received_timestamp: row.received_timestamp.map(Timestamp::from_micros),
            sent_timestamp: row.sent_timestamp.map(Timestamp::from_micros),
            senders: list(&row.senders)?,
            recipients: list(&row.recipients)?,
            subject: row.subject,
            preview: row.preview,
            attachments: row.attachments.as_deref().map(list).transpose()?.unwrap_or_default(),
            last_message_id: MessageId::new(&row.last_message_id),
            last_message_key: id(&row.last_message_key, MessageKey::parse)?,
            message_count: unsigned(row.message_count),
            size: unsigned(row.size),
            updated_at: Timestamp::from_micros(row.updated_at),
            created_at: Timestamp::from_micros(row.created_at),
        },
    };
    Ok((restricted, thread))
}

/// All messages of a thread, oldest first.
async fn thread_messages(
    conn: &mut Conn,
    organization: OrganizationId,
    thread: ThreadId,
) -> Result<Vec<Message>> {
    let text = format!(
        "SELECT {COLUMNS} FROM messages m WHERE m.organization_id = $1 AND m.thread_id = $2 \
         ORDER BY m.timestamp, m.message_key"
    );
    messages(conn.all::<MessageRow>(&text, args![organization, thread]).await?)
}

fn aggregate<'a>(messages: impl Iterator<Item = &'a Message>) -> Option<Aggregate> {
    Aggregate::over(&mut messages.map(Message::piece).collect::<Vec<Piece<'_>>>())
}

/// The stored rows of a thread, by combination.
async fn stored(
    conn: &mut Conn,
    organization: OrganizationId,
    thread_ids: &[ThreadId],
) -> Result<HashMap<ThreadId, BTreeMap<Restricted, Thread>>> {
    let mut found: HashMap<ThreadId, BTreeMap<Restricted, Thread>> = HashMap::new();
    if thread_ids.is_empty() {
        return Ok(found);
    }
    let text = format!("SELECT {THREAD_COLUMNS} FROM threads t WHERE t.organization_id = $1");
    let mut query = Query::new(&text, args![organization]);
    query.within("t.thread_id", thread_ids.iter().map(|id| (*id).into()).collect());
    for row in query.all::<ThreadRow>(conn).await? {
        let (restricted, thread) = thread(row)?;
        found.entry(thread.thread_id).or_default().insert(restricted, thread);
    }
    Ok(found)
}

/// What a reader of `visible` sees of a thread.
async fn seen(
    conn: &mut Conn,
    rows: &BTreeMap<Restricted, Thread>,
    visible: Restricted,
) -> Result<Option<Thread>> {
    let shown: Vec<&Thread> =
        rows.iter().filter(|(mask, _)| mask.within(visible)).map(|(_, thread)| thread).collect();
    let Some(first) = shown.first() else { return Ok(None) };
    if shown.len() == 1 {
        return Ok(Some((*first).clone()));
    }
    let all = thread_messages(conn, first.organization_id, first.thread_id).await?;
    Ok(aggregate(all.iter().filter(|message| message.restricted.within(visible)))
        .map(|aggregate| Thread { aggregate, ..(*first).clone() }))
}

/// Recomputes the stored rows of a thread from its messages; removes them with its last message.
pub(crate) async fn refresh(tx: &mut Tx, organization: OrganizationId, thread: ThreadId) -> Result<()> {
    let all = thread_messages(tx, organization, thread).await?;
    // It was changed last when it was, also if that message is gone.
    let before = stored(tx, organization, &[thread]).await?.remove(&thread).unwrap_or_default();
    tx.run("DELETE FROM threads WHERE organization_id = $1 AND thread_id = $2", args![organization, thread])
        .await?;
    let mut groups: BTreeMap<Restricted, Vec<&Message>> = BTreeMap::new();
    for message in &all {
        groups.entry(message.restricted).or_default().push(message);
    }
    let rows = groups
        .into_iter()
        .filter_map(|(mask, group)| {
            let first = *group.first()?;
            let mut aggregate = aggregate(group.into_iter())?;
            if let Some(before) = before.get(&mask) {
                aggregate.updated_at = aggregate.updated_at.max(before.aggregate.updated_at);
            }
            Some(thread_values(first, mask, &aggregate))
        })
        .collect();
    tx.insert(UPSERT_THREAD, THREAD_VALUES, UPSERT_THREAD_TAIL, rows).await
}

pub(crate) const THREAD_VALUES: usize = 21;
pub(crate) const UPSERT_THREAD: &str = "INSERT INTO threads (organization_id, thread_id, restricted, pod_id, \
    inbox_key, inbox_id, timestamp, received_timestamp, sent_timestamp, message_count, size, created_at, updated_at, \
    last_message_id, last_message_key, labels, senders, recipients, subject, preview, attachments)";
pub(crate) const UPSERT_THREAD_TAIL: &str = " ON CONFLICT (organization_id, thread_id, restricted) DO UPDATE SET \
    timestamp = excluded.timestamp, received_timestamp = excluded.received_timestamp, \
    sent_timestamp = excluded.sent_timestamp, message_count = excluded.message_count, size = excluded.size, \
    created_at = excluded.created_at, updated_at = excluded.updated_at, last_message_id = excluded.last_message_id, \
    last_message_key = excluded.last_message_key, labels = excluded.labels, senders = excluded.senders, \
    recipients = excluded.recipients, subject = excluded.subject, preview = excluded.preview, \
    attachments = excluded.attachments";

/// A row of `threads` for messages like `of`.
pub(crate) fn thread_values(of: &Message, mask: Restricted, aggregate: &Aggregate) -> Vec<Value> {
    args![
        of.organization_id,
        of.thread_id,
        i64::from(mask.bits()),
        of.pod_id,
        of.inbox_key,
        &of.inbox_id,
        aggregate.timestamp,
        aggregate.received_timestamp,
        aggregate.sent_timestamp,
        aggregate.message_count,
        aggregate.size,
        aggregate.created_at,
        aggregate.updated_at,
        &aggregate.last_message_id,
        aggregate.last_message_key,
        json(&aggregate.labels),
        json(&aggregate.senders),
        json(&aggregate.recipients),
        aggregate.subject.clone(),
        aggregate.preview.clone(),
        json_unless_empty(&aggregate.attachments),
    ]
}

/// Stored aggregates of threads, for appending to them.
pub(crate) async fn stored_aggregates(
    conn: &mut Conn,
    organization: OrganizationId,
    ids: &[ThreadId],
) -> Result<HashMap<(ThreadId, Restricted), Aggregate>> {
    Ok(stored(conn, organization, ids)
        .await?
        .into_iter()
        .flat_map(|(id, rows)| rows.into_iter().map(move |(mask, thread)| ((id, mask), thread.aggregate)))
        .collect())
}

impl Store {
    /// A thread of the scope as a reader of `visible` sees it.
    pub async fn thread(
        &self,
        scope: &Scope,
        thread: ThreadId,
        visible: Restricted,
    ) -> Result<Option<Thread>> {
        let mut conn = self.reader().await?;
        thread_in_scope(&mut conn, scope, thread, visible).await
    }

    /// Threads of the scope as a reader of `visible` sees them, in no particular order; those of which nothing is visible
    /// are left out.
    pub async fn threads_by_id(
        &self,
        scope: &Scope,
        threads: &[ThreadId],
        visible: Restricted,
    ) -> Result<Vec<Thread>> {
        let mut conn = self.reader().await?;
        let deleted = all_purging(&mut conn, scope.organization()).await?;
        let mut found = Vec::with_capacity(threads.len());
        for part in threads.chunks(AT_ONCE) {
            for rows in stored(&mut conn, scope.organization(), part).await?.into_values() {
                if let Some(thread) = seen(&mut conn, &rows, visible).await?
                    && scope.covers(Some(thread.pod_id), Some(thread.inbox_key))
                    && !deleted.contains(&thread.inbox_key)
                {
                    found.push(thread);
                }
            }
        }
        Ok(found)
    }

    /// The heads of all messages of these threads that a reader of `visible` sees, in no particular order.
    pub async fn thread_heads(
        &self,
        scope: &Scope,
        threads: &[ThreadId],
        visible: Restricted,
    ) -> Result<Vec<MessageHead>> {
        let mut conn = self.reader().await?;
        let mut found = Vec::new();
        for part in threads.chunks(AT_ONCE) {
            let mut query = Query::new(
                "SELECT m.restricted, m.thread_id, m.sender, m.recipients_to, m.recipients_cc, m.recipients_bcc, \
                 m.subject FROM messages m WHERE m.organization_id = $1",
                args![scope.organization()],
            );
            query.within("m.thread_id", part.iter().map(|id| (*id).into()).collect());
            for row in query.all::<HeadRow>(&mut conn).await? {
                if bits(row.restricted).within(visible) {
                    found.push(row.try_into()?);
                }
            }
        }
        Ok(found)
    }

    /// A page of threads of the scope.
    pub async fn list_threads(
        &self,
        scope: &Scope,
        filter: &ThreadFilter,
        order: Order,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Thread>> {
        let masks = filter.visible.combinations();
        let column = filter.time.column();
        let text = format!("SELECT {THREAD_COLUMNS} FROM threads t WHERE t.organization_id = $1");
        let mut query = Query::new(&text, args![scope.organization()]);
        scope.narrow(&mut query, "t");
        let marks = vec!["?"; masks.len()].join(",");
        let mask_values = || masks.iter().map(|mask| Value::from(i64::from(mask.bits()))).collect::<Vec<_>>();
        query.and(&format!("t.restricted IN ({marks})"), mask_values());
        if masks.len() > 1 {
            // A thread with several visible rows appears once, at the newest of them.
            let other = column.replace("t.", "o.");
            query.and(
                &format!(
                    "NOT EXISTS (SELECT 1 FROM threads o WHERE o.organization_id = t.organization_id \
                     AND o.thread_id = t.thread_id AND o.restricted IN ({marks}) \
                     AND ({other} > {column} OR ({other} = {column} AND o.restricted < t.restricted)))"
                ),
                mask_values(),
            );
        }
        if filter.time != ThreadTime::Any {
            query.push(&format!(" AND {column} IS NOT NULL"), Vec::new());
        }
        let contains = crate::dialect::contains(self.engine());
        // A quotation mark within a label has a backslash before it: only where a label begins does one follow these, but
        // for one at the end of a label, which no label follows that does not begin with a comma.
        let begins = |label: &String| [format!("[{}", json(label)), format!(",{}", json(label))];
        for label in &filter.labels {
            // The label may sit in another visible row of the thread than the newest one.
            query.and(
                &format!(
                    "EXISTS (SELECT 1 FROM threads l WHERE l.organization_id = t.organization_id \
                     AND l.thread_id = t.thread_id AND l.restricted IN ({marks}) \
                     AND ({contains}(l.labels, ?) > 0 OR {contains}(l.labels, ?) > 0))"
                ),
                mask_values().into_iter().chain(begins(label).map(Value::from)).collect(),
            );
        }
        if let Some(before) = filter.before {
            query.and(&format!("{column} < ?"), args![before]);
        }
        if let Some(after) = filter.after {
            query.and(&format!("{column} >= ?"), args![after]);
        }
        order.seek(&mut query, column, "t.thread_id", after, limit);
        let mut conn = self.reader().await?;
        let rows: Vec<ThreadRow> = query.all(&mut conn).await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            found.push(thread(row)?.1);
        }
        let mut page = Page::cut(found, limit, |thread| {
            Cursor::new(filter.time.of(&thread.aggregate), thread.thread_id)
        });
        if masks.len() > 1 {
            let ids: Vec<ThreadId> = page.items.iter().map(|thread| thread.thread_id).collect();
            let all = stored(&mut conn, scope.organization(), &ids).await?;
            for item in &mut page.items {
                if let Some(rows) = all.get(&item.thread_id)
                    && let Some(whole) = seen(&mut conn, rows, filter.visible).await?
                {
                    *item = whole;
                }
            }
        }
        Ok(page)
    }

    /// The visible messages of a thread, newest first for paging: `before` is the position of the last item seen.
    pub async fn thread_messages(
        &self,
        scope: &Scope,
        thread: ThreadId,
        visible: Restricted,
        before: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Message>> {
        let text = format!("SELECT {COLUMNS} FROM messages m WHERE m.organization_id = $1");
        let mut query = Query::new(&text, args![scope.organization()]);
        query.and("m.thread_id = ?", args![thread]);
        scope.narrow(&mut query, "m");
        let masks = visible.combinations();
        query.and(
            &format!("m.restricted IN ({})", vec!["?"; masks.len()].join(",")),
            masks.into_iter().map(|mask| i64::from(mask.bits()).into()).collect(),
        );
        Order::Descending.seek(&mut query, "m.timestamp", "m.message_key", before, limit);
        let mut conn = self.reader().await?;
        let found = messages(query.all(&mut conn).await?)?;
        Ok(Page::cut(found, limit, |message| Cursor::new(message.timestamp, message.message_key)))
    }

    /// The thread as it was right after `until` was stored: for rendering that message's event.
    pub async fn thread_as_of(&self, scope: &Scope, until: &Message) -> Result<Option<Thread>> {
        let mut conn = self.reader().await?;
        let rows = stored(&mut conn, scope.organization(), &[until.thread_id]).await?;
        let Some(rows) = rows.get(&until.thread_id) else { return Ok(None) };
        let whole = seen(&mut conn, rows, until.restricted).await?;
        if let Some(thread) = &whole
            && thread.aggregate.last_message_key == until.message_key
        {
            return Ok(whole);
        }
        let Some(any) = rows.values().next() else { return Ok(None) };
        let all = thread_messages(&mut conn, scope.organization(), until.thread_id).await?;
        let earlier = all
            .iter()
            .filter(|m| m.message_key <= until.message_key && m.restricted.within(until.restricted));
        Ok(aggregate(earlier).map(|aggregate| Thread { aggregate, ..any.clone() }))
    }

    /// Changes labels of every visible message of a thread, all or nothing.
    pub async fn relabel_thread(
        &self,
        scope: &Scope,
        thread: ThreadId,
        change: LabelChange,
        visible: Restricted,
        now: Timestamp,
    ) -> Result<ThreadRelabelled> {
        self.write(
            (scope.clone(), thread, change, visible, now),
            |tx, (scope, thread, change, visible, now)| {
                Box::pin(async move {
                    let Some(found) = locked(tx, scope, *thread, *visible).await? else {
                        return Ok(ThreadRelabelled::NotFound);
                    };
                    if found.len() >= podmail_domain::limits::THREAD_UPDATE_MESSAGES {
                        return Ok(ThreadRelabelled::TooLarge);
                    }
                    let changed: HashSet<MessageKey> =
                        found.iter().map(|message| message.message_key).collect();
                    if relabel(tx, found, change, *now).await? == Relabelled::TooMany {
                        return Ok(ThreadRelabelled::TooManyLabels);
                    }
                    // Over the messages just changed: also what the caller hid from itself by this very change.
                    let all = thread_messages(tx, scope.organization(), *thread).await?;
                    let shown = all.iter().filter(|message| changed.contains(&message.message_key));
                    Ok(ThreadRelabelled::Done(aggregate(shown).map(|a| a.labels).unwrap_or_default()))
                })
            },
        )
        .await
    }

    /// Deletes the visible messages of a thread; `None` when the caller sees none. Returns objects to remove.
    pub async fn delete_thread(
        &self,
        scope: &Scope,
        thread: ThreadId,
        visible: Restricted,
    ) -> Result<Option<Vec<String>>> {
        self.write((scope.clone(), thread, visible), |tx, (scope, thread, visible)| {
            Box::pin(async move {
                let Some(found) = locked(tx, scope, *thread, *visible).await? else { return Ok(None) };
                crate::messages::delete(tx, &found).await.map(Some)
            })
        })
        .await
    }
}

async fn thread_in_scope(
    conn: &mut Conn,
    scope: &Scope,
    thread: ThreadId,
    visible: Restricted,
) -> Result<Option<Thread>> {
    let mut rows = stored(conn, scope.organization(), &[thread]).await?;
    let Some(rows) = rows.remove(&thread) else { return Ok(None) };
    let Some(any) = rows.values().next() else { return Ok(None) };
    if !scope.covers(Some(any.pod_id), Some(any.inbox_key)) || purging(conn, any).await? {
        return Ok(None);
    }
    seen(conn, &rows, visible).await
}

/// Whether its inbox was deleted and waits to be emptied.
async fn purging(conn: &mut Conn, thread: &Thread) -> Result<bool> {
    let count = conn
        .count(
            "SELECT COUNT(*) FROM purges WHERE organization_id = $1 AND inbox_key = $2",
            args![thread.organization_id, thread.inbox_key],
        )
        .await?;
    Ok(count > 0)
}

/// The inboxes that were deleted and wait to be emptied.
async fn all_purging(conn: &mut Conn, organization: OrganizationId) -> Result<HashSet<InboxKey>> {
    let text = "SELECT inbox_key FROM purges WHERE organization_id = $1";
    let keys: Vec<(String,)> = conn.all(text, args![organization]).await?;
    keys.iter().map(|(key,)| id(key, InboxKey::parse)).collect()
}

/// Locks the thread's inbox and reads its visible messages; `None` when there are none in scope.
async fn locked(
    tx: &mut Tx,
    scope: &Scope,
    thread: ThreadId,
    visible: Restricted,
) -> Result<Option<Vec<Message>>> {
    let Some(found) = thread_in_scope(tx, scope, thread, visible).await? else { return Ok(None) };
    if !lock_inbox(tx, scope.organization(), found.inbox_key).await? {
        return Ok(None);
    }
    let mut all = thread_messages(tx, scope.organization(), thread).await?;
    all.retain(|message| message.restricted.within(visible));
    Ok((!all.is_empty()).then_some(all))
}
