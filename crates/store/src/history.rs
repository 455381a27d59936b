//! The label history of an inbox: what was added and removed, in the order in which it happened.

use podmail_domain::label::Restricted;
use podmail_domain::{InboxId, MessageId, OrganizationId, PodId, Timestamp};

use crate::db::{Query, Value, args};
use crate::page::{Cursor, Order, Page};
use crate::scope::{Scope, id};
use crate::{Error, Result, Store};

/// One label that was really added to or removed from one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelEvent {
    /// Owner.
    pub organization_id: OrganizationId,
    /// Owner.
    pub pod_id: PodId,
    /// Whose history.
    pub inbox_id: InboxId,
    /// Number in the inbox's history: grows, may leave gaps.
    pub seq: u64,
    /// Of which message.
    pub message_id: MessageId,
    /// Which label.
    pub label: String,
    /// Added, or removed.
    pub added: bool,
    /// When.
    pub event_at: Timestamp,
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct LabelEventRow {
    seq: i64,
    pod_id: String,
    message_id: String,
    label: String,
    added: i64,
    event_at: i64,
}

impl Store {
    /// A page of the history of the scope's inbox. Events of messages that carry more than `visible` are left out;
    /// those of deleted messages
    /// stay, but for labels beyond `visible`.
    pub async fn label_events(
        &self,
        scope: &Scope,
        visible: Restricted,
        order: Order,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<LabelEvent>> {
        let inbox = scope.inbox().ok_or(Error::Corrupt("an inbox scope was expected"))?;
        let mut query = Query::new(
            "SELECT e.seq, e.pod_id, e.message_id, e.label, e.added, e.event_at FROM label_events e \
             LEFT JOIN messages m ON m.organization_id = e.organization_id AND m.inbox_key = e.inbox_key \
             AND m.message_key = e.message_key WHERE e.organization_id = $1",
            args![scope.organization()],
        );
        query.and("e.inbox_key = ?", args![inbox.key]);
        if visible != Restricted::ALL {
            let masks = visible.combinations();
            let hidden = Restricted::LABELS.iter().filter(|label| !Restricted::of([**label]).within(visible));
            let hidden: Vec<Value> = hidden.map(|label| Value::from(*label)).collect();
            let marks = |count| vec!["?"; count].join(",");
            query.and(
                &format!(
                    "(m.restricted IN ({}) OR (m.restricted IS NULL AND e.label NOT IN ({})))",
                    marks(masks.len()),
                    marks(hidden.len())
                ),
                masks.into_iter().map(|mask| i64::from(mask.bits()).into()).chain(hidden).collect(),
            );
        }
        let (sign, word) = match order {
            Order::Descending => ("<", "DESC"),
            Order::Ascending => (">", "ASC"),
        };
        if let Some(seq) = after.and_then(|cursor| cursor.id.parse::<i64>().ok()) {
            query.and(&format!("e.seq {sign} ?"), args![seq]);
        }
        query.push(&format!(" ORDER BY e.seq {word} LIMIT ?"), args![limit + 1]);
        let mut conn = self.reader().await?;
        let rows: Vec<LabelEventRow> = query.all(&mut conn).await?;
        let events = rows
            .into_iter()
            .map(|row| {
                Ok(LabelEvent {
                    organization_id: scope.organization(),
                    pod_id: id(&row.pod_id, PodId::parse)?,
                    inbox_id: inbox.id.clone(),
                    seq: crate::messages::unsigned(row.seq),
                    message_id: MessageId::new(&row.message_id),
                    label: row.label,
                    added: row.added != 0,
                    event_at: Timestamp::from_micros(row.event_at),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(events, limit, |event| Cursor::new(event.event_at, event.seq)))
    }
}
