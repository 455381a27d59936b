//! An agent sends: the one way by which mail leaves an inbox, whatever edge asked for it.
//!
//! [`check`](check::check) turns a request into a [`Draft`] or names every violated field; [`App::send`] derives
//! recipients and quotes, builds the message and stores it with its delivery rows, its event and its idempotency
//! record in one transaction. Success means stored and queued.

mod attach;
pub mod check;
pub(crate) mod compose;

use std::collections::HashSet;
use std::time::Duration;

use podmail_api_types::messages::Sent;
use podmail_domain::thread::Direction;
use podmail_domain::{InboxKey, MessageId, MessageKey, OrganizationId, Permission, Timestamp, limits};
use podmail_mime::Mailbox;
use podmail_store::{
    Announce, DraftClaim, Inbox, Message, NewDelivery, NewMessage, Scope, SendingDomain, Stored,
};

pub use check::{AttachmentInput, Draft, Given, SendInput};

use crate::{App, Caller, Error, Issue, Result};

/// What is being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A new mail.
    Send,
    /// An answer to the sender.
    Reply(&'a Message),
    /// An answer to everybody.
    ReplyAll(&'a Message),
    /// Passing a message on.
    Forward(&'a Message),
}

impl<'a> Kind<'a> {
    /// The message that this answers or passes on.
    pub const fn source(self) -> Option<&'a Message> {
        match self {
            Self::Send => None,
            Self::Reply(source) | Self::ReplyAll(source) | Self::Forward(source) => Some(source),
        }
    }
}

/// An `Idempotency-Key` with the hash of the request that used it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// As sent by the client.
    pub key: String,
    /// See [`request_hash`].
    pub request_hash: String,
}

/// Holds an idempotency key while its send runs on this node.
#[derive(Debug)]
pub struct Running {
    app: App,
    held: (OrganizationId, String),
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(mut sending) = self.app.inner.sending.lock() {
            sending.remove(&self.held);
        }
    }
}

type Members = serde_json::Map<String, serde_json::Value>;

/// Identifies a request: route kind, inbox (the incarnation: what an address held before it was deleted is nobody's
/// now), message or draft, and what the body asks for. Formatting and the order of members do not matter, and members
/// that are null are like absent ones, at the top and in attachments; elsewhere null is refused.
pub fn request_hash(route: &str, inbox: Option<InboxKey>, of: &str, body: &Members) -> String {
    let inbox = inbox.map(|key| key.to_string()).unwrap_or_default();
    let mut text = format!("{route}\n{inbox}\n{of}\n");
    let mut body = body.clone();
    without_nulls(&mut body);
    for item in body.values_mut().filter_map(serde_json::Value::as_array_mut).flatten() {
        if let serde_json::Value::Object(members) = item {
            without_nulls(members);
        }
    }
    canonical(&serde_json::Value::Object(body), &mut text);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    podmail_domain::source::hex(digest.as_ref())
}

fn without_nulls(members: &mut Members) {
    members.retain(|_, value| !value.is_null());
}

fn canonical(value: &serde_json::Value, out: &mut String) {
    match value {
        serde_json::Value::Object(members) => {
            out.push('{');
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            for name in names {
                out.push_str(&serde_json::Value::from(name.as_str()).to_string());
                out.push(':');
                if let Some(member) = members.get(name) {
                    canonical(member, out);
                }
                out.push(',');
            }
            out.push('}');
        }
        serde_json::Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => out.push_str(&value.to_string()),
    }
}

impl App {
    /// Takes an idempotency key for a send, or fails while another send with it runs. `Ok(Err(sent))`: the key made
    /// this already.
    pub async fn begin_idempotent(
        &self,
        caller: &Caller,
        idempotency: &Idempotency,
    ) -> Result<std::result::Result<Running, Sent>> {
        let held = (caller.scope.organization(), idempotency.key.clone());
        let free = match self.inner.sending.lock() {
            Ok(mut sending) => sending.insert(held.clone()),
            Err(_) => return Err(Error::Unavailable),
        };
        if !free {
            return Err(Error::Conflict("A request with this Idempotency-Key is still running".to_owned()));
        }
        let running = Running { app: self.clone(), held };
        let earlier = self
            .store()
            .idempotent(&caller.scope, &idempotency.key, &idempotency.request_hash, self.now())
            .await?;
        match earlier {
            None => Ok(Ok(running)),
            Some(Stored::Replay { message_id, thread_id }) => Ok(Err(Sent { message_id, thread_id })),
            Some(_) => Err(key_reused()),
        }
    }

    /// Sends a checked request from the caller's inbox. Nothing is half done when the future is dropped: bytes that
    /// were stored for a message that never was are removed like all that nothing refers to.
    pub async fn send(
        &self,
        caller: &Caller,
        kind: Kind<'_>,
        draft: Draft,
        idempotency: Option<Idempotency>,
    ) -> Result<Sent> {
        self.submit(caller, kind, draft, idempotency, None).await
    }

    /// Sends a request. `stored`: the draft that it is made of, which goes with it.
    pub(crate) async fn submit(
        &self,
        caller: &Caller,
        kind: Kind<'_>,
        mut draft: Draft,
        idempotency: Option<Idempotency>,
        stored: Option<&DraftClaim>,
    ) -> Result<Sent> {
        let scope = &caller.scope;
        let inbox = self.store().inbox(scope).await?.ok_or(Error::NotFound("Inbox"))?;
        let sending = self.may_send(caller, &inbox).await?;
        self.fetch_attachments("attachments", &mut draft.attachments).await?;
        let now = self.now();
        let own = own_mailbox(&inbox);
        // Whoever made the draft of an answer was allowed to read what it quotes.
        let quote = stored.is_some() || caller.allows(Permission::MessageRead);
        let source = match kind.source() {
            Some(source) => Some(self.source(scope, source).await?),
            None => None,
        };
        let separate = match &source {
            Some(source) => self.inboxes_among(&source.tagged_own(&own)).await?,
            None => HashSet::new(),
        };
        let addressed = compose::recipients(kind, &draft, source.as_ref(), &own, &separate)?;
        compose::attachments_fit(kind, &draft, source.as_ref())?;
        self.may_mail(scope, addressed.all()).await?;
        let quota_since = self.within_quota(scope, addressed.count(), now).await?;
        let message_id = MessageId::mint(self.ids(), now, inbox.inbox_id.domain());
        let key = MessageKey::new(self.ids(), now);
        let seed = self.ids().uuid7(now).simple().to_string();
        let mut outgoing = compose::outgoing(compose::Parts {
            kind,
            draft: &draft,
            source: source.as_ref(),
            own: &own,
            addressed: &addressed,
            quote,
            message_id: &message_id,
            seed,
            now,
        });
        // Mail without HTML goes out untracked; with it, a promise that cannot be kept is refused.
        if draft.track_opens
            && let (Some(html), Some(own)) = (&outgoing.html, scope.inbox())
        {
            let host = self.tracking_host(scope, &inbox).await?;
            outgoing.html = Some(self.with_pixel(html, &host, scope, own.key, &message_id).await?);
        }
        let everybody: Vec<&Mailbox> = addressed.all().collect();
        let unsubscribe = self
            .unsubscribe_headers(scope, &inbox, sending.as_ref(), key, &everybody, &outgoing.headers)
            .await?;
        outgoing.headers.extend(unsubscribe);
        let built =
            crate::messages::heavy(move || compose::Built::of(&podmail_mime::build(&outgoing))).await?;
        if built.size > limits::SENT_MESSAGE_BYTES as u64 {
            return Err(Error::invalid(Issue::too_big([], "file", limits::SENT_MESSAGE_BYTES)));
        }
        let bytes = self.store_bytes(scope, &built.compressed).await?;
        let mut labels = vec!["sent".to_owned()];
        labels.extend(draft.labels.iter().cloned());
        let candidates: Vec<String> = podmail_mime::thread_candidates(&built.parsed)
            .iter()
            .map(|id| crate::receive::name_of(id))
            .collect();
        let attachments = self.attachments(&built.parsed, now);
        let stored = self
            .store()
            .insert_messages(vec![NewMessage {
                scope: scope.clone(),
                key: Some(key),
                direction: Direction::Sent,
                announce: Announce::default(),
                message_id: message_id.clone(),
                substitute: MessageId::mint(self.ids(), now, inbox.inbox_id.domain()),
                aliases: Vec::new(),
                candidates,
                thread: kind
                    .source()
                    .map(|source| source.thread_id)
                    .or_else(|| stored.and_then(|claim| claim.draft.content.thread_id)),
                labels,
                timestamp: now,
                created_at: now,
                size: built.size,
                fingerprint: built.fingerprint,
                sender: own.to_string(),
                to: texts(&addressed.to),
                cc: texts(&addressed.cc),
                bcc: texts(&addressed.bcc),
                subject: built.parsed.subject.clone(),
                preview: built.parsed.text.as_deref().and_then(podmail_mime::preview),
                in_reply_to: built.parsed.in_reply_to.first().map(|id| crate::receive::name_of(id)),
                references: built.parsed.references.clone(),
                extract_texts: crate::texts::any_wanted(&attachments),
                attachments,
                bytes: bytes.clone(),
                deliveries: deliveries(&addressed, now.plus(self.settings().delivery_expire_after)),
                draft: stored.cloned().map(Box::new),
                authentication: None,
                idempotency: idempotency.map(|idempotency| (idempotency.key, idempotency.request_hash)),
                original_id: None,
                headers: built.parsed.headers.into_iter().collect(),
                quota_since,
            }])
            .await?
            .into_iter()
            .next();
        if !matches!(stored, Some(Stored::New { .. }))
            && let podmail_store::StoredBytes::Object(name) = bytes
        {
            self.discard(vec![name]).await;
        }
        match stored {
            Some(Stored::New { message_id, thread_id } | Stored::Replay { message_id, thread_id }) => {
                Ok(Sent { message_id, thread_id })
            }
            Some(Stored::KeyReused) => Err(key_reused()),
            Some(Stored::Gone) => Err(Error::NotFound("Inbox")),
            Some(Stored::Unclaimed) => Err(Error::Conflict("The draft is being sent".to_owned())),
            Some(Stored::OverQuota) => {
                // Others were faster; who waits a moment is told how long.
                self.within_quota(scope, addressed.count(), now).await?;
                Err(Error::RateLimited { retry_after_seconds: 1 })
            }
            Some(Stored::Duplicate | Stored::Paused) | None => Err(Error::RaceCondition),
        }
    }

    /// Which of these addresses are inboxes.
    pub(crate) async fn inboxes_among(&self, addresses: &[String]) -> Result<HashSet<String>> {
        Ok(self.store().routes(addresses).await?.into_iter().map(|(address, _)| address).collect())
    }

    /// Whether this inbox may send at all; the registered domain that it sends from.
    async fn may_send(&self, caller: &Caller, inbox: &Inbox) -> Result<Option<SendingDomain>> {
        if caller.suspended {
            return Err(Error::MessageRejected {
                message: "Message rejected: this organization is suspended".to_owned(),
                fix: Some("Ask the operator of this server".to_owned()),
            });
        }
        if inbox.paused {
            return Err(Error::InboxPaused);
        }
        let Some(domain) = &inbox.governing_domain else { return Ok(None) };
        let sending = self.store().sending_domain(&caller.scope, domain).await?;
        match sending.filter(|sending| sending.may_send) {
            Some(sending) => Ok(Some(sending)),
            None => Err(Error::DomainNotVerified { domain: domain.clone() }),
        }
    }

    /// Whether the organization's daily quota has room for so many recipients; since when they are counted, if it has one.
    async fn within_quota(&self, scope: &Scope, count: usize, now: Timestamp) -> Result<Option<Timestamp>> {
        let day = Duration::from_secs(24 * 3600);
        let since = now.minus(day);
        let Some(usage) = self.store().send_usage(scope, since).await? else { return Ok(None) };
        if usage.sent.saturating_add(count as u64) <= usage.limit {
            return Ok(Some(since));
        }
        if count as u64 > usage.limit {
            // No day will be long enough.
            let limit = usage.limit;
            return Err(Error::MessageRejected {
                message: format!(
                    "Message rejected: {count} recipients are more than the daily quota of {limit}"
                ),
                fix: Some(
                    "Send to fewer recipients at once, or ask the operator for a larger quota".to_owned(),
                ),
            });
        }
        let free_at = usage.oldest.unwrap_or(now).plus(day);
        Err(Error::RateLimited { retry_after_seconds: free_at.since(now).as_secs().max(1) })
    }

    /// The source of an answer or a forward, with what its raw bytes say.
    pub(crate) async fn source(&self, scope: &Scope, message: &Message) -> Result<compose::Source> {
        let raw = self.raw_bytes(scope, message).await?;
        let aliases = match message.direction {
            Direction::Received => self.store().message_aliases(scope, message).await?,
            Direction::Sent => Vec::new(),
        };
        let message = message.clone();
        crate::messages::heavy(move || compose::Source::of(message, raw, &aliases)).await
    }
}

fn key_reused() -> Error {
    Error::Conflict("This Idempotency-Key was used for another request".to_owned())
}

pub(crate) fn own_mailbox(inbox: &Inbox) -> Mailbox {
    Mailbox { name: inbox.display_name.clone(), address: inbox.inbox_id.as_str().to_owned() }
}

pub(crate) fn texts(mailboxes: &[Mailbox]) -> Vec<String> {
    mailboxes.iter().map(ToString::to_string).collect()
}

fn deliveries(addressed: &compose::Addressed, expires_at: Timestamp) -> Vec<NewDelivery> {
    addressed
        .all()
        .map(|mailbox| NewDelivery {
            recipient: mailbox.address.clone(),
            destination: mailbox.address.rsplit_once('@').map_or("", |(_, domain)| domain).to_lowercase(),
            expires_at,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hash(route: &str, body: &serde_json::Value) -> String {
        request_hash(route, None, "", body.as_object().expect("an object"))
    }

    #[test]
    fn member_order_does_not_change_a_request() {
        let a = json!({"to": "x@y.test", "headers": {"A": "1", "B": "2"}});
        let b = json!({"headers": {"B": "2", "A": "1"}, "to": "x@y.test"});
        assert_eq!(hash("send", &a), hash("send", &b));
        assert_ne!(hash("send", &a), hash("reply", &a));
        let c = json!({"to": "x@y.test", "headers": {"A": "1", "B": "3"}});
        assert_ne!(hash("send", &a), hash("send", &c));
    }

    #[test]
    fn null_asks_for_nothing() {
        let a = json!({"to": "x@y.test", "attachments": [{"content": "aGk="}]});
        let b = json!({"to": "x@y.test", "cc": null, "attachments": [{"content": "aGk=", "filename": null}]});
        assert_eq!(hash("send", &a), hash("send", &b));
        // It is refused there: a replay would hide that.
        let (a, b) =
            (json!({"to": "x@y.test", "headers": {}}), json!({"to": "x@y.test", "headers": {"A": null}}));
        assert_ne!(hash("send", &a), hash("send", &b));
    }
}
