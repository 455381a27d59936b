//! Reports about mail that was sent: bounces (RFC 3464) and complaints (RFC 5965). What is not clearly one of them is none:
//! prose in bounces is nobody's data.
//!
//! Bounds: the structure's own, [`MAX_REPORT`] bytes of a part, [`MAX_RECIPIENTS`] groups of a bounce.

use std::borrow::Cow;

use crate::decode::{self, Encoding};
use crate::header::{self, Header};
use crate::structure::{self, Leaf};
use crate::{Mailbox, ids};

/// Bytes of a report's own part, and of the header of the message it carries, that are looked at.
const MAX_REPORT: usize = 256 * 1024;
/// Recipients of one bounce report that are looked at.
const MAX_RECIPIENTS: usize = 200;
/// Recipients that one complaint names.
const MAX_COMPLAINERS: usize = 50;
/// Characters of a diagnostic text that are kept.
const MAX_DIAGNOSTIC: usize = 500;
/// Bytes of an address or a host name in a report.
const MAX_NAME: usize = 320;

/// A report about a sent message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// What became of it at recipients.
    Delivery(DeliveryStatus),
    /// What a recipient thinks of it.
    Feedback(Feedback),
}

/// A delivery status notification.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryStatus {
    /// Host that reports.
    pub reporting_mta: Option<String>,
    /// In the order of the report.
    pub recipients: Vec<RecipientStatus>,
}

/// What a delivery status notification says about one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientStatus {
    /// Final and original recipient, each once; never empty.
    pub addresses: Vec<String>,
    /// What was done.
    pub action: Action,
    /// Enhanced code (RFC 3463) such as `5.1.1`, the more telling of the status and the diagnostic text.
    pub status: Option<String>,
    /// What the server said.
    pub diagnostic: Option<String>,
}

/// `Action` of RFC 3464 §2.3.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Given up.
    Failed,
    /// Not yet.
    Delayed,
    /// In the mailbox.
    Delivered,
    /// Handed to a server that sends no reports.
    Relayed,
    /// Handed to the members of a list.
    Expanded,
}

/// A complaint by way of a feedback loop.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Feedback {
    /// What kind.
    pub kind: FeedbackKind,
    /// Host that reports.
    pub reporting_mta: Option<String>,
    /// Envelope sender of the message, from the report and from the message.
    pub return_paths: Vec<String>,
    /// Who got it, as far as the report says so.
    pub recipients: Vec<String>,
    /// `From` address of the message.
    pub from: Option<String>,
    /// `Message-ID` of the message, with brackets.
    pub message_id: Option<String>,
}

/// `Feedback-Type` (RFC 5965 §7.3, RFC 6430, RFC 6591 and what is in use).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FeedbackKind {
    /// Unwanted.
    #[default]
    Abuse,
    /// Phishing.
    Fraud,
    /// Malware.
    Virus,
    /// Unwanted for another reason.
    Other,
    /// Wanted after all.
    NotSpam,
    /// Asks for no further mail.
    OptOut,
    /// No complaint of a person: authentication failures, and kinds that are not known.
    Unrelated,
}

impl FeedbackKind {
    fn parse(text: &str) -> Self {
        match text.to_ascii_lowercase().as_str() {
            "abuse" => Self::Abuse,
            "fraud" => Self::Fraud,
            "virus" => Self::Virus,
            "other" => Self::Other,
            "not-spam" => Self::NotSpam,
            "opt-out" | "opt-out-list" => Self::OptOut,
            _ => Self::Unrelated,
        }
    }
}

/// Reads a report. Total: whatever the bytes are, something comes back or nothing.
#[must_use]
pub fn report(raw: &[u8]) -> Option<Report> {
    let (header, leaves) = structure::walk(raw);
    let kind =
        header.last("Content-Type").map(|field| header::unfolded(&field.value).to_ascii_lowercase())?;
    let of = |types: &[&str]| {
        leaves.iter().find(|leaf| leaf.content.mime_type.as_deref().is_some_and(|own| types.contains(&own)))
    };
    if kind.starts_with("multipart/report") {
        if let Some(part) = of(&["message/delivery-status", "message/global-delivery-status"]) {
            return Some(Report::Delivery(delivery_status(&content(part))));
        }
        let part = of(&["message/feedback-report"])?;
        return Some(Report::Feedback(feedback(&content(part), of(ORIGINAL).map(content).as_deref())));
    }
    // Complaints of Microsoft's programme are no reports by form: the message lies in an ordinary mail, and a field of it
    // names the recipient.
    let original = kind.starts_with("multipart/").then(|| of(ORIGINAL)).flatten().map(content)?;
    let complaint = feedback(b"Feedback-Type: abuse\n", Some(&original));
    let inner = header::split(&original, 0, false);
    inner.last(MICROSOFT_RECIPIENT).is_some().then_some(Report::Feedback(complaint))
}

/// Types of the part that holds the message or its header.
const ORIGINAL: &[&str] = &[
    "message/rfc822",
    "message/global",
    "text/rfc822-headers",
    "text/rfc822-header",
    "message/rfc822-headers",
    "message/global-headers",
];
/// Field that Microsoft's mail servers add to what they accuse.
const MICROSOFT_RECIPIENT: &str = "X-HmXmrOriginalRecipient";

fn content<'x>(leaf: &Leaf<'x>) -> Cow<'x, [u8]> {
    let start = leaf.body.get(..leaf.body.len().min(MAX_REPORT)).unwrap_or(leaf.body);
    match leaf.content.encoding {
        Encoding::Identity => Cow::Borrowed(start),
        Encoding::Base64 | Encoding::QuotedPrintable => decode::bytes(leaf.content.encoding, start),
    }
}

fn delivery_status(body: &[u8]) -> DeliveryStatus {
    let mut out = DeliveryStatus::default();
    let mut at = 0;
    while at < body.len() && out.recipients.len() < MAX_RECIPIENTS {
        let group = header::split(body, at, false);
        // A line that is no field ends a group as an empty one does.
        at = if group.body > at { group.body } else { header::line_end(body, at) };
        if out.reporting_mta.is_none() {
            out.reporting_mta = typed(&group, "Reporting-MTA");
        }
        out.recipients.extend(recipient(&group));
    }
    out
}

fn recipient(group: &Header<'_>) -> Option<RecipientStatus> {
    let mut addresses: Vec<String> = Vec::new();
    for name in ["Final-Recipient", "Original-Recipient"] {
        if let Some(address) = typed(group, name).and_then(|text| address(&text))
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    }
    let action = match text(group, "Action")?.split([' ', '(', ';']).next()?.to_ascii_lowercase().as_str() {
        "failed" => Action::Failed,
        "delayed" => Action::Delayed,
        "delivered" => Action::Delivered,
        "relayed" => Action::Relayed,
        "expanded" => Action::Expanded,
        _ => return None,
    };
    let diagnostic: Option<String> = typed(group, "Diagnostic-Code").map(|said| {
        said.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_DIAGNOSTIC).collect()
    });
    let status = text(group, "Status").and_then(|status| codes(&status).next());
    let said = diagnostic.as_deref().and_then(|said| codes(said).next());
    let status = match (status, said) {
        // `5.0.0` says nothing; what the other server said may be more.
        (Some(status), Some(said)) if status.ends_with(".0.0") && status.get(..2) == said.get(..2) => {
            Some(said)
        }
        (Some(status), _) => Some(status),
        (None, Some(said)) => Some(said),
        (None, None) => diagnostic.as_deref().and_then(basic),
    };
    (!addresses.is_empty()).then_some(RecipientStatus { addresses, action, status, diagnostic })
}

/// Enhanced codes in a text.
fn codes(text: &str) -> impl Iterator<Item = String> + '_ {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.'));
    words.map(|word| word.trim_matches('.')).filter(|word| is_code(word)).map(str::to_owned)
}

fn is_code(word: &str) -> bool {
    let mut parts = word.split('.');
    let class = parts.next().unwrap_or_default();
    let number = |part: Option<&str>| {
        part.is_some_and(|part| {
            (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    matches!(class, "2" | "4" | "5") && number(parts.next()) && number(parts.next()) && parts.next().is_none()
}

/// The class of a reply without an enhanced code: `550 no such user` is `5.0.0`.
fn basic(said: &str) -> Option<String> {
    let reply = said.split(|c: char| !c.is_ascii_digit()).find(|word| !word.is_empty())?;
    let class = reply.chars().next().filter(|class| matches!(class, '4' | '5') && reply.len() == 3)?;
    Some(format!("{class}.0.0"))
}

fn feedback(body: &[u8], original: Option<&[u8]>) -> Feedback {
    let header = header::split(body, 0, false);
    let mut out = Feedback {
        kind: text(&header, "Feedback-Type").as_deref().map_or(FeedbackKind::Unrelated, FeedbackKind::parse),
        reporting_mta: typed(&header, "Reporting-MTA"),
        return_paths: text(&header, "Original-Mail-From")
            .and_then(|sender| address(&sender))
            .into_iter()
            .collect(),
        ..Feedback::default()
    };
    for field in header.all("Original-Rcpt-To").take(MAX_COMPLAINERS) {
        out.recipients.extend(address(&header::unfolded(&field.value)));
    }
    if let Some(original) = original {
        let inner = header::split(original, 0, false);
        out.return_paths.extend(text(&inner, "Return-Path").and_then(|path| address(&path)));
        out.recipients.extend(text(&inner, MICROSOFT_RECIPIENT).and_then(|text| address(&text)));
        out.from = inner.mailbox("From").map(|Mailbox { address, .. }| address);
        out.message_id = inner.last("Message-ID").and_then(|field| ids::own(&header::unfolded(&field.value)));
    }
    out
}

/// A field as it is, without its folding.
fn text(header: &Header<'_>, name: &str) -> Option<String> {
    header.last(name).map(|field| header::unfolded(&field.value)).filter(|text| !text.is_empty())
}

/// A field of the form `type; value`; the value alone where the type is missing.
fn typed(header: &Header<'_>, name: &str) -> Option<String> {
    let all = text(header, name)?;
    let value = match all.split_once(';') {
        Some((kind, value))
            if kind.trim().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) =>
        {
            value.trim()
        }
        _ => all.as_str(),
    };
    (!value.is_empty()).then(|| value.to_owned())
}

/// The address of a field: in angle brackets, or its first word with an `@`.
fn address(text: &str) -> Option<String> {
    let inner = text.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(inner, _)| inner);
    let word = inner.or_else(|| text.split_whitespace().find(|word| word.contains('@')))?;
    let word = word.trim().trim_matches([',', ';', '"']);
    let fits = word.contains('@') && word.len() <= MAX_NAME && !word.chars().any(char::is_control);
    fits.then(|| word.to_owned())
}
