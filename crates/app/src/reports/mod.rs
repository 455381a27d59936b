//! What is learned of a message after it was delivered: bounce reports at its return path, complaints of feedback loops,
//! and mail that asks for no further mail. Such mail is addressed to the server, not to an inbox.
//!
//! `destination` says at RCPT what an address is for, `take` does what a mail there says. The report itself is shown in
//! the sending inbox when the owner of the domain wants it, and is never announced: an agent shall not answer it.

pub(crate) mod address;

use bytes::Bytes;
use podmail_domain::{InboxId, Timestamp};
use podmail_mime::{Action, DeliveryStatus, Feedback, FeedbackKind, Mailbox, Report};
use podmail_store::{
    Announce, BounceReport, Complainer, Complaint, DeliveryOutcome, NewMessage, Reported, ReportedMessage,
    Stored, StoredBytes, Suppression,
};

use crate::receive::{Mail, Refusal};
use crate::{App, Result};
use address::{Purpose, ReportAddress};

/// Users of the shared domain and of the feedback host to whom feedback loops send complaints.
const COMPLAINTS: [&str; 2] = ["abuse", "complaints"];
/// Labels of a report that is shown in the sending inbox.
const NOTICE_LABELS: [&str; 2] = ["received", "feedback"];
/// Characters of a reporting host's name that are kept.
const HOST_CHARS: usize = 255;

/// What mail to an address of the server itself is for.
#[derive(Clone, Debug)]
pub(crate) enum Destination {
    /// Says what became of this message.
    Bounces(Box<ReportedMessage>),
    /// Asks for no further mail from whoever sent this message.
    Unsubscribe(Box<ReportedMessage>),
    /// Complains about any message.
    Complaints,
}

impl Destination {
    /// Whether anybody can write there: what arrives is then checked as mail to an inbox is.
    pub(crate) const fn is_open(&self) -> bool {
        match self {
            Self::Bounces(_) | Self::Unsubscribe(_) => false,
            Self::Complaints => true,
        }
    }
}

impl App {
    /// The host of report addresses of mail from below a registered domain, or from the shared one. `mail.D` has an SPF
    /// record that names us, so that the return path is aligned and the owner's own record stays untouched.
    pub(crate) fn report_host(&self, governing_domain: Option<&str>) -> String {
        match governing_domain {
            Some(domain) => format!("mail.{domain}"),
            None => self.settings().domain.clone(),
        }
    }

    /// What an address of the server itself is for; `None` when it is none, or of a message that there is not.
    pub(crate) async fn destination(&self, address: &str) -> Result<Option<Destination>> {
        let Some((local, domain)) = address.rsplit_once('@') else { return Ok(None) };
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        let settings = self.settings();
        let is_own = domain == settings.domain || domain == settings.feedback_host;
        if is_own && COMPLAINTS.iter().any(|user| local.eq_ignore_ascii_case(user)) {
            return Ok(Some(Destination::Complaints));
        }
        if !is_own && !domain.starts_with("mail.") {
            return Ok(None);
        }
        let Some(named) = ReportAddress::parse(local) else { return Ok(None) };
        let found = self.store().reported_message(named.inbox, named.message).await?.map(Box::new);
        Ok(match named.purpose {
            Purpose::Bounce => found.map(Destination::Bounces),
            // With several recipients nobody can tell who asks, and such a message never offers it.
            Purpose::Unsubscribe => {
                found.filter(|message| message.recipients.len() == 1).map(Destination::Unsubscribe)
            }
        })
    }

    /// Takes a mail to an address of the server itself. When this returns `None`, what it says is durable.
    pub(crate) async fn take(
        &self,
        destination: &Destination,
        mail: &Mail,
        report: Option<&Report>,
    ) -> Result<Option<Refusal>> {
        match destination {
            Destination::Bounces(message) => self.take_about(message, mail, report).await?,
            Destination::Unsubscribe(message) => {
                for recipient in addresses(message) {
                    self.suppress(message, recipient, Suppression::Unsubscribe).await?;
                }
                tracing::info!(message.id = %message.sent.message_id, "unsubscribed by mail");
            }
            Destination::Complaints => {
                let Some(Report::Feedback(feedback)) = report else { return Ok(Some(no_complaint())) };
                let Some(message) = self.accused(feedback).await? else { return Ok(Some(no_complaint())) };
                self.take_about(&message, mail, report).await?;
            }
        }
        Ok(None)
    }

    /// The report that a mail is.
    pub(crate) async fn read_report(&self, raw: &Bytes) -> Result<Option<Report>> {
        let raw = raw.clone();
        crate::receive::inline_or_heavy(raw.len(), move || podmail_mime::report(&raw)).await
    }

    async fn take_about(
        &self,
        message: &ReportedMessage,
        mail: &Mail,
        report: Option<&Report>,
    ) -> Result<()> {
        let now = self.now();
        let (kind, recipients) = match report {
            Some(Report::Delivery(status)) => ("bounce", self.bounced(message, status, now).await?),
            Some(Report::Feedback(feedback)) => ("complaint", self.complained(message, feedback, now).await?),
            // Prose, an automatic answer: for people, if for anybody.
            None => ("unread", 0),
        };
        tracing::info!(
            organization.id = %message.sent.scope.organization(),
            message.id = %message.sent.message_id,
            report.kind = kind,
            recipients,
            "a report was taken"
        );
        if message.feedback {
            self.show(message, mail, now).await?;
        }
        Ok(())
    }

    async fn bounced(
        &self,
        message: &ReportedMessage,
        status: &DeliveryStatus,
        now: Timestamp,
    ) -> Result<usize> {
        let results = status.recipients.iter().filter_map(|recipient| {
            let outcome = match recipient.action {
                Action::Failed => crate::deliveries::reported(recipient.status.as_deref()),
                Action::Delayed => DeliveryOutcome::Deferred { due_at: now },
                Action::Delivered | Action::Relayed | Action::Expanded => return None,
            };
            let said = recipient.diagnostic.clone().or_else(|| recipient.status.clone()).unwrap_or_default();
            Some(Reported { addresses: recipient.addresses.clone(), outcome, said })
        });
        let report = BounceReport {
            sent: message.sent.clone(),
            now,
            host: host(status.reporting_mta.as_deref()),
            results: results.collect(),
            suppress_in_organization: self.settings().suppress_in_organization,
        };
        let done = self.store().report_bounce(report).await?;
        self.discard(done.objects).await;
        Ok(done.recipients)
    }

    async fn complained(
        &self,
        message: &ReportedMessage,
        feedback: &Feedback,
        now: Timestamp,
    ) -> Result<usize> {
        let (kind, sub_type) = match feedback.kind {
            FeedbackKind::Abuse => ("abuse", "spam"),
            FeedbackKind::Fraud => ("fraud", "phishing"),
            FeedbackKind::Virus => ("virus", "malware"),
            FeedbackKind::Other => ("other", "other"),
            FeedbackKind::OptOut => {
                let Complainer::Named(all) = complainer(message, feedback) else { return Ok(0) };
                let count = all.len();
                for recipient in all {
                    self.suppress(message, recipient, Suppression::Unsubscribe).await?;
                }
                return Ok(count);
            }
            FeedbackKind::NotSpam | FeedbackKind::Unrelated => return Ok(0),
        };
        let complaint = Complaint {
            sent: message.sent.clone(),
            now,
            host: host(feedback.reporting_mta.as_deref()),
            kind,
            sub_type,
            by: complainer(message, feedback),
            suppress_in_organization: self.settings().suppress_in_organization,
        };
        Ok(self.store().report_complaint(complaint).await?.recipients)
    }

    async fn suppress(&self, message: &ReportedMessage, address: String, cause: Suppression) -> Result<()> {
        let whole = self.settings().suppress_in_organization;
        Ok(self.store().suppress(&message.sent.scope, address, cause, whole, self.now()).await?)
    }

    /// The message that a complaint is about: by its return path, else by its sender and id, because loops redact. Those
    /// two a stranger may know (from a list's archive): the worst that he does is to keep somebody from being mailed.
    async fn accused(&self, feedback: &Feedback) -> Result<Option<ReportedMessage>> {
        for path in &feedback.return_paths {
            let local = path.rsplit_once('@').map_or(path.as_str(), |(local, _)| local);
            let Some(named) = ReportAddress::parse(local) else { continue };
            if let Some(found) = self.store().reported_message(named.inbox, named.message).await? {
                return Ok(Some(found));
            }
        }
        let (Some(from), Some(id)) = (&feedback.from, &feedback.message_id) else { return Ok(None) };
        let Some(inbox) = InboxId::parse(from) else { return Ok(None) };
        let Some(scope) = self.store().inbox_scope_by_address(&inbox).await? else { return Ok(None) };
        let name = crate::receive::name_of(id);
        let Some(message) = self.store().sent_message_named(&scope, &name).await? else { return Ok(None) };
        match scope.inbox() {
            Some(inbox) => Ok(self.store().reported_message(inbox.key, message).await?),
            None => Ok(None),
        }
    }

    /// Shows a report in the inbox that sent the message, beside the message.
    async fn show(&self, message: &ReportedMessage, mail: &Mail, now: Timestamp) -> Result<()> {
        let scope = &message.sent.scope;
        let bytes = self.store_bytes(scope, mail.compressed()).await?;
        let object = match &bytes {
            StoredBytes::Object(name) => Some(name.clone()),
            StoredBytes::Inline(_) => None,
        };
        let labels = NOTICE_LABELS.map(str::to_owned);
        let notice = NewMessage {
            announce: Announce::Nothing,
            thread: Some(message.sent.thread_id),
            ..self.arrival(scope, mail, &labels, bytes, now)
        };
        let stored = self.store().insert_messages(vec![notice]).await?;
        if !matches!(stored.as_slice(), [Stored::New { .. }]) {
            self.discard(object.into_iter().collect()).await;
        }
        Ok(())
    }
}

/// Who complained: whom the report names, else the only recipient, else one of all.
fn complainer(message: &ReportedMessage, feedback: &Feedback) -> Complainer {
    let all = addresses(message);
    let is_named = |address: &String| feedback.recipients.iter().any(|r| r.eq_ignore_ascii_case(address));
    let named: Vec<String> = all.iter().filter(|address| is_named(address)).cloned().collect();
    if !named.is_empty() {
        Complainer::Named(named)
    } else if all.len() == 1 {
        Complainer::Named(all)
    } else {
        Complainer::OneOf(all)
    }
}

/// Bare addresses of the recipients.
fn addresses(message: &ReportedMessage) -> Vec<String> {
    message
        .recipients
        .iter()
        .filter_map(|text| Mailbox::parse(text).ok())
        .map(|mailbox| mailbox.address)
        .collect()
}

fn host(name: Option<&str>) -> Option<String> {
    name.map(|name| name.chars().take(HOST_CHARS).collect())
}

fn no_complaint() -> Refusal {
    Refusal {
        code: 550,
        enhanced: "5.6.0",
        text: "Only feedback reports (RFC 5965) about mail of this server are taken here".to_owned(),
    }
}
