//! Opens of sent messages: the first one is kept.

use podmail_domain::label::Restricted;
use podmail_domain::{EventId, EventType, MessageId, Timestamp};

use crate::Result;
use crate::Store;
use crate::db::args;
use crate::insert::{EVENT_VALUES, INSERT_EVENTS};
use crate::messages::{LabelChange, by_ids, lock_inbox, relabel};
use crate::scope::Scope;

impl Store {
    /// Records the first open of a sent message of the scope's inbox: time, label `opened` and event. `false`: it was
    /// opened before, or is gone.
    pub async fn open_message(&self, scope: &Scope, message: &MessageId, now: Timestamp) -> Result<bool> {
        self.write((scope.clone(), message.clone(), now), |tx, (scope, message, now)| {
            Box::pin(async move {
                let now = *now;
                lock_inbox(tx, scope.organization(), scope.inbox_key()?).await?;
                let found = by_ids(tx, scope, std::slice::from_ref(message), Restricted::ALL).await?;
                let Some(found) = found.into_iter().next() else { return Ok(false) };
                let first = tx
                    .run(
                        "UPDATE messages SET opened_at = $4, updated_at = $4 WHERE organization_id = $1 \
                         AND inbox_key = $2 AND message_key = $3 AND opened_at IS NULL",
                        args![found.organization_id, found.inbox_key, found.message_key, now],
                    )
                    .await?;
                if first == 0 {
                    return Ok(false);
                }
                let facts = serde_json::json!({"message_id": found.message_id, "timestamp": now.micros()});
                let event = args![
                    found.organization_id,
                    found.pod_id,
                    found.inbox_key,
                    &found.inbox_id,
                    EventId::new(&*tx.ids, now),
                    EventType::MessageOpened.as_str(),
                    found.message_key,
                    found.thread_id,
                    facts.to_string(),
                    now
                ];
                tx.insert(INSERT_EVENTS, EVENT_VALUES, "", [event].into()).await?;
                tx.news.events = true;
                // A message full of labels keeps them: time and event tell of the open.
                let change = LabelChange { add: vec!["opened".to_owned()], remove: Vec::new() };
                relabel(tx, vec![found], &change, now).await?;
                Ok(true)
            })
        })
        .await
    }
}
