//! From a checked request to a mail: who gets it, what it quotes, which headers tie it to its thread. Pure.

use std::collections::HashSet;

use podmail_domain::thread::Direction;
use podmail_domain::{MessageId, Timestamp, limits};
use podmail_mime::{Mailbox, Outgoing, OutgoingPart, Parsed, Quoted};
use podmail_store::Message;

use super::Kind;
use super::check::{Draft, Source as Bytes};
use crate::{Error, Issue, Result};

/// A quote is left out when it would push the bodies of the message over this.
const BODY_BYTES: usize = 5 * 1024 * 1024;
/// Ids longer than this do not fit a header line (RFC 5322 §2.1.1).
const HEADER_ID_BYTES: usize = 900;

/// Final recipients, each address once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Addressed {
    pub(crate) to: Vec<Mailbox>,
    pub(crate) cc: Vec<Mailbox>,
    pub(crate) bcc: Vec<Mailbox>,
}

impl Addressed {
    pub(crate) fn all(&self) -> impl Iterator<Item = &Mailbox> {
        self.to.iter().chain(&self.cc).chain(&self.bcc)
    }
    pub(crate) fn count(&self) -> usize {
        self.to.len() + self.cc.len() + self.bcc.len()
    }

    /// Each address once: the first occurrence stays.
    fn keep_first(&mut self) {
        let mut seen = HashSet::new();
        for list in [&mut self.to, &mut self.cc, &mut self.bcc] {
            list.retain(|mailbox| seen.insert(mailbox.key()));
        }
    }
}

/// The message that is answered or passed on.
#[derive(Debug)]
pub(crate) struct Source {
    message: Message,
    parsed: Parsed,
    raw: Vec<u8>,
    /// Its HTML, sanitised: nobody's script travels on under our name, and no tag of it ends the quote.
    html: Option<String>,
    /// The id that the outside knows it by: the sender's own where ours replaced it.
    outside_id: String,
}

impl Source {
    pub(crate) fn of(message: Message, raw: Vec<u8>, aliases: &[String]) -> Self {
        let parsed = podmail_mime::parse(&raw);
        let original = parsed.message_id.clone().filter(|id| {
            id != message.message_id.as_str()
                && aliases.contains(&crate::receive::name_of(id))
                && fits_header(id)
        });
        let outside_id = original.unwrap_or_else(|| message.message_id.as_str().to_owned());
        let html = parsed.html.as_deref().map(podmail_mime::sanitize_html);
        Self { message, parsed, raw, html, outside_id }
    }

    /// `References` of an answer: the first and the latest, so that both ends of a long thread stay tied.
    pub(crate) fn references(&self) -> Vec<String> {
        let mut ids = self.parsed.references.clone();
        if ids.is_empty() {
            ids.extend(self.parsed.in_reply_to.first().cloned());
        }
        ids.push(self.outside_id.clone());
        ids.retain(|id| fits_header(id));
        let last = ids.pop();
        ids.retain(|id| Some(id) != last.as_ref());
        ids.extend(last);
        if ids.len() > limits::REFERENCES {
            let tail = ids.split_off(ids.len() - (limits::REFERENCES - 1));
            ids.truncate(1);
            ids.extend(tail);
        }
        ids
    }
}

/// Whether an id can stand in a header: what is not ASCII would need an extension of everybody on the way.
fn fits_header(id: &str) -> bool {
    id.len() <= HEADER_ID_BYTES && id.chars().all(|c| c.is_ascii_graphic())
}

/// Those of received mailboxes that can be mailed.
fn sendable(mailboxes: &[Mailbox]) -> Vec<Mailbox> {
    mailboxes.iter().filter_map(|mailbox| mailbox.sendable().ok()).collect()
}

/// Who gets it. Replies derive their recipients from the source. `separate` holds addresses that look like the own
/// one with a plus tag but are inboxes of their own.
pub(crate) fn recipients(
    kind: Kind<'_>,
    draft: &Draft,
    source: Option<&Source>,
    own: &Mailbox,
    separate: &HashSet<String>,
) -> Result<Addressed> {
    let mut given = Addressed { to: draft.to.clone(), cc: draft.cc.clone(), bcc: draft.bcc.clone() };
    if draft.settled {
        // Its lists were changed one by one.
        given.keep_first();
        return Ok(given);
    }
    let all = match kind {
        Kind::Send | Kind::Forward(_) => return Ok(given),
        Kind::Reply(_) => draft.reply_all,
        Kind::ReplyAll(_) => true,
    };
    let Some(source) = source else { return Ok(given) };
    let is_own = |mailbox: &Mailbox| is_own(mailbox, own) && !separate.contains(&mailbox.key());
    let (mut to, mut cc) = derived(source, all, is_own);
    if !given.to.is_empty() {
        to = given.to;
    } else if to.is_empty() && cc.is_empty() {
        // To write to ourselves instead, or to the others alone, would lose the answer.
        let way_out = if all { "" } else { ": give to" };
        return Err(Error::Unprocessable(format!(
            "The message has no address that an answer can be sent to{way_out}"
        )));
    } else if all {
        to.retain(|mailbox| !is_own(mailbox));
        cc.retain(|mailbox| !is_own(mailbox));
    }
    cc.extend(given.cc);
    let mut addressed = Addressed { to, cc, bcc: given.bcc };
    addressed.keep_first();
    if addressed.count() == 0 {
        // Only the own address was there.
        addressed.to.push(Mailbox { name: None, address: own.address.clone() });
    }
    if addressed.count() > limits::SEND_RECIPIENTS {
        return Err(Error::invalid(Issue::too_big(["to".into()], "array", limits::SEND_RECIPIENTS)));
    }
    Ok(addressed)
}

/// To and cc of an answer before the own address is taken out.
fn derived(source: &Source, all: bool, is_own: impl Fn(&Mailbox) -> bool) -> (Vec<Mailbox>, Vec<Mailbox>) {
    let parsed = &source.parsed;
    let cc = if all { sendable(&parsed.cc) } else { Vec::new() };
    if source.message.direction == Direction::Sent {
        // Answering oneself means writing to the same people again.
        return (sendable(&parsed.to), cc);
    }
    let from = sendable(parsed.from.as_slice());
    let mut to = sendable(&parsed.reply_to);
    // A list that points answers at ourselves would have us answer ourselves.
    if to.is_empty() || (to.iter().all(&is_own) && !from.iter().all(&is_own)) {
        to = from;
    }
    if all {
        to.extend(sendable(&parsed.to));
    }
    (to, cc)
}

/// The own address, also with a plus tag.
pub(crate) fn is_own(mailbox: &Mailbox, own: &Mailbox) -> bool {
    let (key, own) = (mailbox.key(), own.key());
    let (Some((local, domain)), Some((own_local, own_domain))) = (key.rsplit_once('@'), own.rsplit_once('@'))
    else {
        return false;
    };
    let base = local.split_once('+').map_or(local, |(base, _)| base);
    domain == own_domain && (local == own_local || base == own_local)
}

impl Source {
    /// Addresses of the source that look like the own address with a plus tag.
    pub(crate) fn tagged_own(&self, own: &Mailbox) -> Vec<String> {
        let Parsed { from, reply_to, to, cc, .. } = &self.parsed;
        let all = from.iter().chain(reply_to).chain(to).chain(cc);
        all.map(Mailbox::key)
            .filter(|key| *key != own.key())
            .filter(|key| is_own(&Mailbox { name: None, address: key.clone() }, own))
            .collect()
    }

    fn quoted<'a>(&'a self) -> Quoted<'a> {
        Quoted {
            from: &self.message.sender,
            date: self.message.timestamp.seconds(),
            subject: self.message.subject.as_deref(),
            to: &self.message.to,
            cc: &self.message.cc,
            text: self.parsed.text.as_deref(),
            html: self.html.as_deref(),
        }
    }

    /// Every attachment with its bytes, for a forward.
    fn attachments(&self) -> Vec<OutgoingPart> {
        self.parsed
            .attachments
            .iter()
            .filter_map(|part| {
                Some(OutgoingPart {
                    filename: part.filename.clone(),
                    content_type: part
                        .declared_type
                        .clone()
                        .or_else(|| part.content_type.clone())
                        .unwrap_or_else(|| "application/octet-stream".to_owned()),
                    disposition: part.disposition,
                    content_id: part.content_id.clone(),
                    bytes: podmail_mime::part_bytes(&self.raw, part.index)?,
                })
            })
            .collect()
    }
}

/// Whether what goes out is within bounds: a forward passes on all that its source has, besides its own.
pub(crate) fn attachments_fit(kind: Kind<'_>, draft: &Draft, source: Option<&Source>) -> Result<()> {
    let passed_on = match (kind, source) {
        (Kind::Forward(_), Some(source)) => source.parsed.attachments.as_slice(),
        _ => &[],
    };
    let own = draft.attachments.iter().map(super::check::Attachment::bytes);
    let bytes: u64 = passed_on.iter().map(|part| part.size).chain(own).sum();
    let too_big = |origin, most| Err(Error::invalid(Issue::too_big(["attachments".into()], origin, most)));
    if passed_on.len() + draft.attachments.len() > limits::SEND_ATTACHMENTS {
        return too_big("array", limits::SEND_ATTACHMENTS);
    }
    if bytes > limits::SEND_ATTACHMENT_BYTES {
        return too_big("file", usize::try_from(limits::SEND_ATTACHMENT_BYTES).unwrap_or(usize::MAX));
    }
    Ok(())
}

/// What a mail is made of.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) kind: Kind<'a>,
    pub(crate) draft: &'a Draft,
    pub(crate) source: Option<&'a Source>,
    pub(crate) own: &'a Mailbox,
    pub(crate) addressed: &'a Addressed,
    /// Whether the caller may read what would be quoted.
    pub(crate) quote: bool,
    pub(crate) message_id: &'a MessageId,
    pub(crate) seed: String,
    pub(crate) now: Timestamp,
}

/// The mail, ready to be built.
pub(crate) fn outgoing(parts: Parts<'_>) -> Outgoing {
    let Parts { kind, draft, source, own, addressed, quote, message_id, seed, now } = parts;
    let (subject, text, html) = match (kind, source) {
        (Kind::Send, _) | (_, None) => (draft.subject.clone(), draft.text.clone(), draft.html.clone()),
        (Kind::Reply(_) | Kind::ReplyAll(_), Some(source)) => {
            let (text, html) = reply_bodies(draft, source, quote);
            (reply_subject(draft, source), text, html)
        }
        (Kind::Forward(_), Some(source)) => {
            let (text, html) = forward_bodies(draft, source);
            (forward_subject(draft, source), text, html)
        }
    };
    let mut attachments = match (kind, source) {
        (Kind::Forward(_), Some(source)) => source.attachments(),
        _ => Vec::new(),
    };
    attachments.extend(draft.attachments.iter().map(part));
    Outgoing {
        message_id: message_id.as_str().to_owned(),
        date: now.seconds(),
        from: own.clone(),
        to: addressed.to.clone(),
        cc: addressed.cc.clone(),
        reply_to: draft.reply_to.clone(),
        subject,
        text,
        html,
        in_reply_to: source.map(|source| source.outside_id.clone()).filter(|id| fits_header(id)),
        references: source.map(Source::references).unwrap_or_default(),
        headers: draft.headers.clone(),
        attachments,
        boundary_seed: seed,
    }
}

/// Answers have no subject of their own, but for a stored draft, which shows the one that it goes out with.
pub(crate) fn reply_subject(draft: &Draft, source: &Source) -> Option<String> {
    if draft.settled {
        return draft.subject.clone();
    }
    Some(podmail_mime::reply_subject(source.message.subject.as_deref()))
}

pub(crate) fn forward_subject(draft: &Draft, source: &Source) -> Option<String> {
    if draft.settled || draft.subject.is_some() {
        return draft.subject.clone();
    }
    Some(podmail_mime::forward_subject(source.message.subject.as_deref()))
}

fn reply_bodies(draft: &Draft, source: &Source, quote: bool) -> (Option<String>, Option<String>) {
    let quoted = source.quoted();
    let size = |text: Option<&str>| text.map_or(0, str::len);
    let large =
        size(quoted.text) + size(quoted.html) + size(draft.text.as_deref()) + size(draft.html.as_deref())
            > BODY_BYTES;
    if !quote || large {
        return (draft.text.clone(), draft.html.clone());
    }
    (
        draft.text.as_deref().map(|new| podmail_mime::reply_text(new, &quoted)),
        draft.html.as_deref().map(|new| podmail_mime::reply_html(new, &quoted)),
    )
}

fn forward_bodies(draft: &Draft, source: &Source) -> (Option<String>, Option<String>) {
    let quoted = source.quoted();
    let none_given = draft.text.is_none() && draft.html.is_none();
    let (mut with_text, with_html) = if none_given {
        (quoted.text.is_some(), quoted.html.is_some())
    } else {
        (draft.text.is_some(), draft.html.is_some())
    };
    // A source without any body still has its heading to pass on.
    with_text |= !with_html;
    (
        with_text.then(|| podmail_mime::forward_text(draft.text.as_deref(), &quoted)),
        with_html.then(|| podmail_mime::forward_html(draft.html.as_deref(), &quoted)),
    )
}

pub(crate) fn part(attachment: &super::check::Attachment) -> OutgoingPart {
    let guessed = || {
        attachment
            .filename
            .as_deref()
            .and_then(|name| mime_guess::from_path(name).first_raw())
            .unwrap_or("application/octet-stream")
            .to_owned()
    };
    OutgoingPart {
        filename: attachment.filename.clone(),
        content_type: attachment.content_type.clone().unwrap_or_else(guessed),
        disposition: attachment.disposition,
        content_id: attachment.content_id.clone(),
        bytes: match &attachment.source {
            Bytes::Bytes(bytes) => bytes.clone(),
            Bytes::Url(_) => Vec::new(),
        },
    }
}

/// A built mail with everything that is stored beside its bytes.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) parsed: Parsed,
    pub(crate) fingerprint: String,
    pub(crate) compressed: Vec<u8>,
    pub(crate) size: u64,
}

impl Built {
    pub(crate) fn of(raw: &[u8]) -> Self {
        Self {
            parsed: podmail_mime::parse(raw),
            fingerprint: podmail_mime::fingerprint(raw),
            compressed: podmail_blob::compress(raw),
            size: raw.len() as u64,
        }
    }
}
