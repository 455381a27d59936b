//! A message arrives, from the internet or from another inbox of the installation. A list of named steps:
//! `route` finds inboxes, `policy` returns one `Decision`, `arrival` describes the mail, and the
//! store picks the thread and writes message, labels, thread and event in one transaction. Only then is the sender
//! told "250". Mail to addresses of the server itself goes to `reports`.

mod authenticate;
mod policy;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use podmail_blob::INLINE_BYTES;
use podmail_domain::thread::{Attachment, Direction};
use podmail_domain::{AttachmentId, AuthenticationResults, EmailAddress, InboxKey, MessageId, Timestamp};
use podmail_mime::Parsed;
use podmail_store::{Announce, NewMessage, Route, Scope, Stored, StoredBytes};

use crate::reports::Destination;
use crate::{App, Result};
use policy::{Decision, Facts, decide};

pub use authenticate::AuthenticationCounters;

/// Mail above this is parsed and compressed off the reactor.
const INLINE_WORK_BYTES: usize = 64 * 1024;
/// A Date further ahead of arrival is not believed.
const DATE_AHEAD: Duration = Duration::from_secs(5 * 60);
/// A Date further behind arrival is not believed.
const DATE_BEHIND: Duration = Duration::from_secs(7 * 24 * 3600);
/// Names of messages are stored whole up to this many bytes (RFC 5322 §2.1.1), longer ones by their hash.
const NAME_BYTES: usize = 998;
/// The text that marks test spam.
const GTUBE: &[u8] = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

/// How a mail came in.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Envelope sender; `None` for `<>`.
    pub from: Option<String>,
    /// Envelope recipients.
    pub recipients: Vec<String>,
    /// What the client called itself.
    pub helo: String,
    /// Where it came from; `None` within the installation.
    pub remote: Option<SocketAddr>,
    /// Whether the connection was encrypted.
    pub tls: bool,
}

/// What became of an incoming mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// Durable, or deliberately discarded (paused inbox, duplicate).
    Accepted,
    /// Not taken; the sender is told so.
    Refused(Refusal),
}

/// An SMTP reply that refuses a mail for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// RFC 5321 reply code.
    pub code: u16,
    /// RFC 3463 enhanced code.
    pub enhanced: &'static str,
    /// Text.
    pub text: String,
}

/// What became of mail to one recipient within the installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InternalOutcome {
    /// Stored, or discarded as the inbox asks.
    Stored,
    /// No inbox of this installation.
    NotLocal,
    /// Refused for good.
    Refused {
        /// RFC 5321 reply code.
        code: u16,
        /// RFC 3463 enhanced code.
        enhanced: String,
        /// Text.
        text: String,
    },
}

/// What is the same for every inbox that gets a mail.
#[derive(Debug)]
pub(crate) struct Mail {
    parsed: Parsed,
    fingerprint: String,
    compressed: Vec<u8>,
    size: u64,
}

/// A mail that is let in.
struct Judged {
    labels: Vec<String>,
    authentication: Option<AuthenticationResults>,
}

impl Refusal {
    fn internal(self) -> InternalOutcome {
        InternalOutcome::Refused { code: self.code, enhanced: self.enhanced.to_owned(), text: self.text }
    }
}

impl App {
    /// Whether mail to this address is taken, by an inbox or by the server itself: asked at RCPT.
    pub async fn takes_mail(&self, address: &str) -> Result<bool> {
        Ok(self.destination(address).await?.is_some()
            || !self.route(std::slice::from_ref(&address.to_owned())).await?.is_empty())
    }

    /// Takes a mail from the internet. When this returns [`Received::Accepted`], it is durable.
    pub async fn receive(&self, incoming: &Incoming, raw: Bytes) -> Result<Received> {
        let routes = self.route(&incoming.recipients).await?;
        let mut destinations = Vec::new();
        for recipient in &incoming.recipients {
            destinations.extend(self.destination(recipient).await?);
        }
        if routes.is_empty() && destinations.is_empty() {
            return Ok(Received::Refused(unknown_recipient()));
        }
        let traced = self.traced(incoming, &raw);
        let mail = self.read(&traced).await?;
        // Who knows a return path need not prove more; everybody else is checked once for all.
        let open = !routes.is_empty() || destinations.iter().any(Destination::is_open);
        let judged = if open { Some(self.judge(incoming, &mail, &raw, &traced).await?) } else { None };
        let refused = judged.as_ref().and_then(|judged| judged.as_ref().err());
        let mut answer = Received::Accepted;
        if !destinations.is_empty() {
            let report = self.read_report(&traced).await?;
            for destination in &destinations {
                let taken = match refused {
                    Some(refusal) if destination.is_open() => Some(refusal.clone()),
                    _ => self.take(destination, &mail, report.as_ref()).await?,
                };
                if let Some(refusal) = taken {
                    answer = Received::Refused(refusal);
                }
            }
        }
        // An inbox's answer counts before the server's own: what is repeated to the server changes nothing.
        match judged {
            Some(Err(refusal)) => Ok(Received::Refused(refusal)),
            Some(Ok(judged)) if !routes.is_empty() => {
                let stored = self.deliver(&routes, &mail, &judged).await?;
                let gone = stored.iter().all(|stored| *stored == Stored::Gone);
                Ok(if gone { Received::Refused(unknown_recipient()) } else { Received::Accepted })
            }
            Some(Ok(_)) | None => Ok(answer),
        }
    }

    /// Delivers a mail that an inbox sent to others of this installation; the same path without leaving it.
    pub async fn deliver_internally(
        &self,
        from: Option<&str>,
        recipients: &[String],
        raw: Bytes,
    ) -> Result<Vec<(String, InternalOutcome)>> {
        let (mut local, mut destinations) = (Vec::new(), Vec::new());
        let mut outcomes = Vec::with_capacity(recipients.len());
        for recipient in recipients {
            match self.route(std::slice::from_ref(recipient)).await?.into_iter().next() {
                Some(route) => local.push((recipient.clone(), route)),
                None => match self.destination(recipient).await? {
                    Some(destination) => destinations.push((recipient.clone(), destination)),
                    None => outcomes.push((recipient.clone(), InternalOutcome::NotLocal)),
                },
            }
        }
        if local.is_empty() && destinations.is_empty() {
            return Ok(outcomes);
        }
        let incoming = Incoming {
            from: from.map(str::to_owned),
            recipients: recipients.to_vec(),
            helo: self.settings().hostname.clone(),
            remote: None,
            tls: false,
        };
        let traced = self.traced(&incoming, &raw);
        let mail = self.read(&traced).await?;
        if !destinations.is_empty() {
            let report = self.read_report(&traced).await?;
            for (recipient, destination) in destinations {
                let refused = self.take(&destination, &mail, report.as_ref()).await?;
                outcomes
                    .push((recipient, refused.map_or(InternalOutcome::Stored, |refusal| refusal.internal())));
            }
        }
        if local.is_empty() {
            return Ok(outcomes);
        }
        let mut routes: Vec<Route> = Vec::new();
        for (_, route) in &local {
            if !routes.iter().any(|known| known.scope == route.scope) {
                routes.push(route.clone());
            }
        }
        let result = match self.judge(&incoming, &mail, &raw, &traced).await? {
            Ok(judged) => Ok(self.deliver(&routes, &mail, &judged).await?),
            Err(refusal) => Err(refusal),
        };
        for (recipient, route) in local {
            let outcome = match &result {
                Err(refusal) => refusal.clone().internal(),
                Ok(stored) => match routes.iter().zip(stored).find(|(known, _)| known.scope == route.scope) {
                    Some((_, Stored::Gone)) => InternalOutcome::NotLocal,
                    _ => InternalOutcome::Stored,
                },
            };
            outcomes.push((recipient, outcome));
        }
        Ok(outcomes)
    }

    /// The inboxes of these addresses, each once. `user+tag@d` goes to the inbox of exactly that name if there is
    /// one, else to `user@d`.
    async fn route(&self, recipients: &[String]) -> Result<Vec<Route>> {
        let mut wanted = Vec::with_capacity(recipients.len() * 2);
        let mut pairs = Vec::with_capacity(recipients.len());
        for recipient in recipients {
            let Some(address) = EmailAddress::parse(recipient) else { continue };
            let exact = address.as_str().to_ascii_lowercase();
            let base = address.without_tag().map(|base| base.as_str().to_ascii_lowercase());
            wanted.push(exact.clone());
            wanted.extend(base.clone());
            pairs.push((exact, base));
        }
        wanted.sort();
        wanted.dedup();
        let found: std::collections::HashMap<String, Route> =
            self.store().routes(&wanted).await?.into_iter().collect();
        let mut seen: Vec<InboxKey> = Vec::new();
        let mut routes = Vec::new();
        for (exact, base) in pairs {
            let route = found.get(&exact).or_else(|| base.and_then(|base| found.get(&base)));
            if let Some(route) = route
                && let Some(inbox) = route.scope.inbox()
                && !seen.contains(&inbox.key)
            {
                seen.push(inbox.key);
                routes.push(route.clone());
            }
        }
        Ok(routes)
    }

    /// The mail with our trace line in front (RFC 5321 §4.4); everything else stays as it came.
    fn traced(&self, incoming: &Incoming, raw: &[u8]) -> Bytes {
        let settings = self.settings();
        let clean = |text: &str| -> String {
            text.chars().filter(|c| c.is_ascii_graphic() && !"()<>;\\\"".contains(*c)).take(255).collect()
        };
        let from = incoming.remote.map_or_else(
            || "localhost".to_owned(),
            |remote| match remote.ip() {
                std::net::IpAddr::V4(ip) => format!("{} ([{ip}])", clean(&incoming.helo)),
                std::net::IpAddr::V6(ip) => format!("{} ([IPv6:{ip}])", clean(&incoming.helo)),
            },
        );
        let with = match (incoming.remote, incoming.tls) {
            (None, _) => "LMTP",
            (Some(_), true) => "ESMTPS",
            (Some(_), false) => "ESMTP",
        };
        let line = format!(
            "Received: from {from}\r\n\tby {} (Podmail) with {with} id {};\r\n\t{}\r\n",
            settings.hostname,
            self.ids().uuid7(self.now()).simple(),
            podmail_mime::format_date(self.now().seconds()),
        );
        let mut traced = Vec::with_capacity(line.len() + raw.len());
        traced.extend_from_slice(line.as_bytes());
        traced.extend_from_slice(raw);
        traced.into()
    }

    /// Everything about a mail that does not depend on who gets it. `traced` is what is stored.
    async fn read(&self, traced: &Bytes) -> Result<Mail> {
        let raw = traced.clone();
        inline_or_heavy(raw.len(), move || Mail::of(&raw)).await
    }

    /// Whether a mail is let in. `original` came in, `traced` is what is stored.
    async fn judge(
        &self,
        incoming: &Incoming,
        mail: &Mail,
        original: &Bytes,
        traced: &Bytes,
    ) -> Result<std::result::Result<Judged, Refusal>> {
        let verdict = self.check_sender(incoming, mail, original).await?;
        let decision = decide(&Facts {
            received_headers: mail.parsed.received_count,
            is_spam: memchr::memmem::find(traced, GTUBE).is_some(),
            mode: self.settings().inbound_authentication,
            verdict: verdict.as_ref(),
            sender_domain: authenticate::sender_domain(incoming),
        });
        if let Some(verdict) = &verdict {
            self.report(incoming, verdict, &decision);
        }
        let authentication = match (&verdict, incoming.remote) {
            (Some(verdict), _) => Some(authenticate::results_of(verdict)),
            (None, Some(_)) => None,
            (None, None) => Some(authenticate::passed()),
        };
        Ok(match decision {
            Decision::Accept { labels } => Ok(Judged { labels, authentication }),
            Decision::Refuse(refusal) => Err(refusal),
        })
    }

    /// Stores a mail in inboxes; the outcomes are in the order of `routes`.
    async fn deliver(&self, routes: &[Route], mail: &Mail, judged: &Judged) -> Result<Vec<Stored>> {
        let now = self.now();
        let mut arrivals = Vec::with_capacity(routes.len());
        let mut objects = Vec::new();
        for route in routes {
            let bytes = self.store_bytes(&route.scope, &mail.compressed).await?;
            objects.push(match &bytes {
                StoredBytes::Object(name) => Some(name.clone()),
                StoredBytes::Inline(_) => None,
            });
            let mut labels = judged.labels.clone();
            if route.listed && self.is_blocked(&route.scope, &mail.parsed).await? {
                labels.push("blocked".to_owned());
            }
            let arrival = self.arrival(&route.scope, mail, &labels, bytes, now);
            arrivals.push(NewMessage { authentication: judged.authentication.clone(), ..arrival });
        }
        let stored = self.store().insert_messages(arrivals).await?;
        let unused = objects
            .into_iter()
            .zip(&stored)
            .filter(|(_, stored)| !matches!(stored, Stored::New { .. }))
            .filter_map(|(object, _)| object)
            .collect();
        self.discard(unused).await;
        Ok(stored)
    }

    /// Puts large bytes into the blob store, before the row that refers to them is written.
    pub(crate) async fn store_bytes(&self, scope: &Scope, compressed: &[u8]) -> Result<StoredBytes> {
        if compressed.len() <= INLINE_BYTES {
            return Ok(StoredBytes::Inline(compressed.to_vec()));
        }
        let id = self.ids().uuid7(self.now());
        let name = crate::objects::name(scope.organization(), id);
        self.blobs().put(&name, Bytes::copy_from_slice(compressed)).await?;
        Ok(StoredBytes::Object(name))
    }

    /// A mail as it is stored in an inbox.
    pub(crate) fn arrival(
        &self,
        scope: &Scope,
        mail: &Mail,
        labels: &[String],
        bytes: StoredBytes,
        now: Timestamp,
    ) -> NewMessage {
        let parsed = &mail.parsed;
        let domain = scope.inbox().map_or("", |inbox| inbox.id.domain());
        let substitute = MessageId::mint(self.ids(), now, domain);
        let usable = parsed.message_id.as_deref().filter(|id| podmail_mime::usable_message_id(id));
        // What cannot be an id here is still a name by which answers call the mail; a mail without any is
        // recognised by what it says.
        let aliases = match (&parsed.message_id, usable) {
            (_, Some(_)) => Vec::new(),
            (Some(original), None) => vec![name_of(original)],
            (None, None) => vec![format!("fingerprint:{}", mail.fingerprint)],
        };
        let texts = |list: &[podmail_mime::Mailbox]| list.iter().map(ToString::to_string).collect();
        let attachments = self.attachments(parsed, now);
        NewMessage {
            scope: scope.clone(),
            key: None,
            direction: Direction::Received,
            announce: Announce::default(),
            message_id: usable.map_or_else(|| substitute.clone(), MessageId::new),
            substitute,
            aliases,
            candidates: podmail_mime::thread_candidates(parsed).iter().map(|id| name_of(id)).collect(),
            thread: None,
            labels: labels.to_vec(),
            timestamp: believed_date(parsed.date, now),
            created_at: now,
            size: mail.size,
            fingerprint: mail.fingerprint.clone(),
            sender: parsed.from.as_ref().map(ToString::to_string).unwrap_or_default(),
            to: texts(&parsed.to),
            cc: texts(&parsed.cc),
            bcc: Vec::new(),
            authentication: None,
            subject: parsed.subject.clone(),
            preview: parsed.text.as_deref().and_then(podmail_mime::preview),
            in_reply_to: parsed.in_reply_to.first().map(|id| name_of(id)),
            references: parsed.references.clone(),
            extract_texts: crate::texts::any_wanted(&attachments),
            attachments,
            bytes,
            deliveries: Vec::new(),
            draft: None,
            idempotency: None,
            original_id: parsed.message_id.clone(),
            headers: parsed.headers.iter().cloned().collect(),
            quota_since: None,
        }
    }

    /// Metadata of a parsed mail's attachments, with ids of their own.
    pub(crate) fn attachments(&self, parsed: &Parsed, now: Timestamp) -> Vec<Attachment> {
        parsed
            .attachments
            .iter()
            .map(|part| Attachment {
                attachment_id: AttachmentId::new(self.ids(), now),
                part: part.index,
                size: part.size,
                filename: part.filename.as_deref().map(podmail_mime::clean_filename),
                content_type: part.content_type.clone(),
                content_disposition: Some(part.disposition.as_str().to_owned()),
                content_id: part.content_id.clone(),
            })
            .collect()
    }
}

/// Runs work on the bytes of a mail: off the reactor when there are many.
pub(crate) async fn inline_or_heavy<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    if bytes <= INLINE_WORK_BYTES { Ok(work()) } else { crate::messages::heavy(work).await }
}

impl Mail {
    /// The bytes as they are stored.
    pub(crate) fn compressed(&self) -> &[u8] {
        &self.compressed
    }

    fn of(raw: &[u8]) -> Self {
        Self {
            parsed: podmail_mime::parse(raw),
            fingerprint: podmail_mime::fingerprint(raw),
            compressed: podmail_blob::compress(raw),
            size: raw.len() as u64,
        }
    }
}

/// The name under which a message id is looked up: itself, or its hash when it is absurdly long.
pub(crate) fn name_of(id: &str) -> String {
    if id.len() <= NAME_BYTES {
        return id.to_owned();
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, id.as_bytes());
    format!("sha256:{}", podmail_domain::source::hex(digest.as_ref()))
}

fn unknown_recipient() -> Refusal {
    Refusal { code: 550, enhanced: "5.1.1", text: "No such mailbox here".to_owned() }
}

/// The Date header, unless it would pin the mail to the top or the bottom of every list.
fn believed_date(date: Option<i64>, arrival: Timestamp) -> Timestamp {
    let Some(date) = date.map(Timestamp::from_seconds) else { return arrival };
    let absurd = date > arrival.plus(DATE_AHEAD) || date < arrival.minus(DATE_BEHIND);
    if absurd { arrival } else { date }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_dates_give_way_to_the_time_of_arrival() {
        let now = Timestamp::from_seconds(1_000_000);
        for (date, want) in [
            (None, 1_000_000),
            (Some(999_000), 999_000),
            (Some(1_000_300), 1_000_300),
            (Some(1_000_301), 1_000_000),
            (Some(1_000_000 - 7 * 24 * 3600), 1_000_000 - 7 * 24 * 3600),
            (Some(1_000_000 - 7 * 24 * 3600 - 1), 1_000_000),
            (Some(i64::MAX), 1_000_000),
            (Some(i64::MIN), 1_000_000),
        ] {
            assert_eq!(believed_date(date, now), Timestamp::from_seconds(want), "{date:?}");
        }
    }

    #[test]
    fn long_ids_are_named_by_their_hash() {
        assert_eq!(name_of("<a@x>"), "<a@x>");
        assert!(name_of(&"x".repeat(999)).starts_with("sha256:"));
    }
}
