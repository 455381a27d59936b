//! Rendering events: from a row of the log to the JSON that every channel carries. Rendered once per event, as of the
//! event; whoever delivers it keeps the bytes.

mod fit;

use bytes::Bytes;
use podmail_api_types::messages::Message as WireMessage;
use podmail_api_types::threads::ThreadItem;
use podmail_api_types::webhooks::{Envelope, MessageReceived, MessageStatus, OtherEvent};
use podmail_domain::{EventType, InboxId, MessageId, ThreadId, Timestamp};
use podmail_store::{Event, Message};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::messages::heavy;
use crate::{App, Error, Result};

/// Messages above this are serialised off the reactor.
const INLINE_BYTES: u64 = 64 * 1024;

/// What the log keeps of a message in case it is gone when its event is rendered.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MessageFacts {
    message_id: String,
    labels: Vec<String>,
    timestamp: i64,
    from: String,
    to: Vec<String>,
    subject: Option<String>,
    size: u64,
}

impl App {
    /// The JSON of an event, at most `limits::EVENT_BODY_BYTES` long. A message that is gone or damaged is shown as far
    /// as the log knows it, so that no event is lost with its message.
    ///
    /// # Errors
    /// Only what passes: a store that is busy or closed.
    pub async fn render_event(&self, event: &Event) -> Result<Bytes> {
        let envelope = Envelope {
            kind: "event",
            event_type: event.event_type.as_str(),
            event_id: event.event_id.clone(),
        };
        let status = |name: &str| {
            let payload = Map::from_iter([(name.to_owned(), message_status(event))]);
            json(&OtherEvent { envelope: envelope.clone(), payload })
        };
        match event.event_type {
            EventType::MessageReceived
            | EventType::MessageReceivedSpam
            | EventType::MessageReceivedBlocked
            | EventType::MessageReceivedUnauthenticated => self.render_received(event, envelope).await,
            EventType::MessageSent => Ok(status("send")),
            EventType::MessageDelivered => Ok(status("delivery")),
            EventType::MessageBounced => Ok(status("bounce")),
            EventType::MessageComplained => Ok(status("complaint")),
            EventType::MessageRejected => Ok(status("reject")),
            EventType::MessageOpened => Ok(status("open")),
            EventType::DomainVerified => {
                let payload = Map::from_iter([("domain".to_owned(), Value::Object(facts(event)))]);
                Ok(json(&OtherEvent { envelope, payload }))
            }
            EventType::MessageSecurityCompleted
            | EventType::MessageSecurityReview
            | EventType::MessageSecurityOverride
            | EventType::CalendarEventCreated
            | EventType::CalendarEventUpdated
            | EventType::CalendarEventDeleted
            | EventType::CalendarEventResponded
            | EventType::CalendarEventStarting
            | EventType::CalendarEventEnding => Ok(json(&OtherEvent { envelope, payload: facts(event) })),
        }
    }

    async fn render_received(&self, event: &Event, envelope: Envelope) -> Result<Bytes> {
        let (message, thread) = match self.message_of(event).await {
            Ok(Some(found)) => found,
            Ok(None) => remembered(event),
            Err(error @ (Error::Unavailable | Error::RaceCondition)) => return Err(error),
            Err(error) => {
                tracing::error!(event.id = %event.event_id, error = %error, "the message of an event cannot be read");
                remembered(event)
            }
        };
        let size = message.size;
        let whole = MessageReceived { envelope, message, thread };
        if size <= INLINE_BYTES {
            return Ok(fit::fit(whole));
        }
        heavy(move || fit::fit(whole)).await
    }

    /// The message and thread of an event as they were then; `None` when the message is gone.
    async fn message_of(&self, event: &Event) -> Result<Option<(WireMessage, ThreadItem)>> {
        let Some(key) = event.message_key.filter(|_| event.scope.inbox().is_some()) else { return Ok(None) };
        let Some(stored) = self.store().message_by_key(&event.scope, key).await? else { return Ok(None) };
        let stored = as_of(event, stored);
        let mut message = match self.render_message(&event.scope, &stored).await {
            Ok(message) => message,
            Err(Error::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        message.updated_at = message.created_at;
        let thread = self.store().thread_as_of(&event.scope, &stored).await?;
        let thread = thread.as_ref().map_or_else(|| alone(&message), crate::threads::item);
        Ok(Some((message, thread)))
    }
}

/// The message with the labels that it had.
fn as_of(event: &Event, message: Message) -> Message {
    match serde_json::from_str::<MessageFacts>(&event.facts) {
        Ok(facts) if !facts.labels.is_empty() => Message { labels: facts.labels, ..message },
        Ok(_) | Err(_) => message,
    }
}

/// What the log knows of a message that is gone.
fn remembered(event: &Event) -> (WireMessage, ThreadItem) {
    let facts: MessageFacts = serde_json::from_str(&event.facts).unwrap_or_default();
    let message = WireMessage {
        organization_id: event.scope.organization(),
        pod_id: event.scope.pod_or_default(),
        inbox_id: inbox_id(event),
        thread_id: thread_id(event),
        message_id: MessageId::new(&facts.message_id),
        labels: facts.labels,
        timestamp: Timestamp::from_micros(facts.timestamp),
        from: facts.from,
        reply_to: Vec::new(),
        to: facts.to,
        cc: Vec::new(),
        bcc: Vec::new(),
        subject: facts.subject,
        preview: None,
        text: None,
        html: None,
        extracted_text: None,
        extracted_html: None,
        attachments: Vec::new(),
        in_reply_to: None,
        references: Vec::new(),
        headers: std::collections::BTreeMap::new(),
        authentication_results: None,
        opened_at: None,
        size: facts.size,
        updated_at: event.created_at,
        created_at: event.created_at,
    };
    let thread = alone(&message);
    (message, thread)
}

/// A thread of which only this message is known.
fn alone(message: &WireMessage) -> ThreadItem {
    ThreadItem {
        organization_id: message.organization_id,
        pod_id: message.pod_id,
        inbox_id: message.inbox_id.clone(),
        thread_id: message.thread_id,
        labels: message.labels.clone(),
        timestamp: message.timestamp,
        received_timestamp: Some(message.timestamp),
        sent_timestamp: None,
        senders: vec![message.from.clone()],
        recipients: message.to.clone(),
        subject: message.subject.clone(),
        preview: message.preview.clone(),
        attachments: message.attachments.clone(),
        last_message_id: message.message_id.clone(),
        message_count: 1,
        size: message.size,
        updated_at: message.updated_at,
        created_at: message.created_at,
    }
}

/// The inner object of an event of an outbound message.
fn message_status(event: &Event) -> Value {
    let mut more = facts(event);
    let message_id = more.remove("message_id").and_then(|id| id.as_str().map(MessageId::new));
    let micros = more.remove("timestamp").and_then(|time| time.as_i64());
    let status = MessageStatus {
        inbox_id: inbox_id(event),
        thread_id: thread_id(event),
        message_id: message_id.unwrap_or_else(|| MessageId::new("")),
        timestamp: micros.map_or(event.created_at, Timestamp::from_micros),
        more,
    };
    serde_json::to_value(status).expect("ids, times and JSON are JSON")
}

fn facts(event: &Event) -> Map<String, Value> {
    serde_json::from_str(&event.facts).unwrap_or_default()
}

/// Events of messages have an inbox; where one is missing all the same, the required member is there and empty.
fn inbox_id(event: &Event) -> InboxId {
    event.scope.inbox().map_or_else(|| InboxId::parse("@").expect("has an @"), |inbox| inbox.id.clone())
}

fn thread_id(event: &Event) -> ThreadId {
    event.thread_id.unwrap_or_else(|| ThreadId::from_uuid(event.scope.organization().uuid()))
}

fn json(value: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(value).expect("ids, times, texts and JSON are JSON").into()
}
