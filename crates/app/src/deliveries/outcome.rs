//! What an answer means to one recipient, as pure functions.

use podmail_domain::Timestamp;
use podmail_jobs::RetrySchedule;
use podmail_store::{ClaimedRecipient, DeliveryOutcome};

/// What was said about one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Somebody took responsibility.
    Accepted,
    /// Refused for good.
    Refused {
        /// Enhanced code (RFC 3463), for example `5.1.1`.
        enhanced: Option<String>,
    },
    /// Not now.
    Later {
        /// Enhanced code (RFC 3463), for example `4.2.2`.
        enhanced: Option<String>,
    },
    /// We refuse to send it; the reason is shown to the sender.
    Rejected {
        /// A sentence without its full stop.
        reason: String,
    },
}

/// One attempt at a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// Whom we spoke with, for the log.
    pub host: Option<String>,
    /// Whether the message was offered to somebody, whatever the answer.
    pub left: bool,
    /// In the order of the claim's recipients, each with what was said, for the log.
    pub answers: Vec<(Answer, String)>,
    /// Names that a relay gave the message, in angle brackets.
    pub aliases: Vec<String>,
}

/// Recipients of an attempt by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Taken.
    pub delivered: usize,
    /// Given up.
    pub bounced: usize,
    /// To be tried again.
    pub deferred: usize,
    /// Refused here.
    pub rejected: usize,
    /// The lease was lost: nothing was recorded.
    pub lost: bool,
}

/// The outcome for a recipient; `random` in `0.0..=1.0` places a retry within its jitter.
pub(super) fn decide(
    answer: &Answer,
    recipient: &ClaimedRecipient,
    schedule: &RetrySchedule,
    random: f64,
    now: Timestamp,
) -> DeliveryOutcome {
    match answer {
        Answer::Accepted => DeliveryOutcome::Delivered,
        Answer::Rejected { reason } => DeliveryOutcome::Rejected { reason: reason.clone() },
        Answer::Refused { enhanced } => {
            DeliveryOutcome::Bounced { kind: "Permanent", sub_type: sub_type(5, enhanced.as_deref()) }
        }
        Answer::Later { enhanced } => {
            let delay = schedule.delay(recipient.attempts.saturating_add(1), random);
            match delay {
                // The last attempt is made when the time is up, not before.
                Some(delay) if now < recipient.expires_at => {
                    DeliveryOutcome::Deferred { due_at: now.plus(delay).min(recipient.expires_at) }
                }
                _ => {
                    DeliveryOutcome::Bounced { kind: "Transient", sub_type: sub_type(4, enhanced.as_deref()) }
                }
            }
        }
    }
}

/// What a bounce report says about a recipient whose delivery it calls failed, from the enhanced code that it gives.
pub(crate) fn reported(status: Option<&str>) -> DeliveryOutcome {
    let (kind, sub_type) = match status.and_then(|status| status.chars().next()) {
        Some('5') => ("Permanent", sub_type(5, status)),
        Some('4') => ("Transient", sub_type(4, status)),
        Some(_) | None => ("Undetermined", "Undetermined"),
    };
    DeliveryOutcome::Bounced { kind, sub_type }
}

/// The event's `sub_type` from the class of the answer and its enhanced code (events and webhooks, section 2).
fn sub_type(class: u8, enhanced: Option<&str>) -> &'static str {
    let mut parts = enhanced.unwrap_or_default().split('.').skip(1);
    match (class, parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) {
        (5, "1", "0" | "1" | "2" | "10") => "NoEmail",
        (_, "2", "2") => "MailboxFull",
        (_, "3", "4") | (_, "2", "3") => "MessageTooLarge",
        (5, "6" | "7", _) => "ContentRejected",
        _ => "General",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use podmail_domain::DeliveryId;
    use podmail_jobs::AfterLast;

    use super::*;

    #[test]
    fn enhanced_codes_become_types_of_bounces() {
        for (class, code, want) in [
            (5, Some("5.1.1"), "NoEmail"),
            (5, Some("5.1.0"), "NoEmail"),
            (5, Some("5.1.2"), "NoEmail"),
            (5, Some("5.1.10"), "NoEmail"),
            (5, Some("5.1.3"), "General"),
            (5, Some("5.2.2"), "MailboxFull"),
            (4, Some("4.2.2"), "MailboxFull"),
            (5, Some("5.3.4"), "MessageTooLarge"),
            (5, Some("5.2.3"), "MessageTooLarge"),
            (5, Some("5.6.0"), "ContentRejected"),
            (5, Some("5.7.1"), "ContentRejected"),
            (4, Some("4.7.1"), "General"),
            (4, Some("4.1.1"), "General"),
            (5, Some("5.4.4"), "General"),
            (5, None, "General"),
            (4, None, "General"),
            (5, Some("5"), "General"),
        ] {
            assert_eq!(sub_type(class, code), want, "{class} {code:?}");
        }
    }

    #[test]
    fn a_reported_failure_is_as_permanent_as_its_code() {
        for (status, kind, sub_type) in [
            (Some("5.1.1"), "Permanent", "NoEmail"),
            (Some("5.0.0"), "Permanent", "General"),
            (Some("4.4.7"), "Transient", "General"),
            (Some("4.2.2"), "Transient", "MailboxFull"),
            (Some("2.0.0"), "Undetermined", "Undetermined"),
            (None, "Undetermined", "Undetermined"),
        ] {
            assert_eq!(reported(status), DeliveryOutcome::Bounced { kind, sub_type }, "{status:?}");
        }
    }

    #[test]
    fn mail_is_retried_until_its_time_is_up_and_then_bounces_once() {
        let schedule =
            RetrySchedule::new(vec![Duration::from_secs(60), Duration::from_secs(300)], AfterLast::Repeat);
        let at = Timestamp::from_seconds;
        let later = Answer::Later { enhanced: Some("4.2.2".to_owned()) };
        let bounced = DeliveryOutcome::Bounced { kind: "Transient", sub_type: "MailboxFull" };
        for (attempts, now, want) in [
            (0, 0, DeliveryOutcome::Deferred { due_at: at(60) }),
            (1, 60, DeliveryOutcome::Deferred { due_at: at(360) }),
            (2, 360, DeliveryOutcome::Deferred { due_at: at(660) }),
            (3, 900, DeliveryOutcome::Deferred { due_at: at(1000) }),
            (4, 1000, bounced),
        ] {
            let recipient = ClaimedRecipient {
                delivery_id: DeliveryId::from_uuid(Default::default()),
                address: "a@x.test".to_owned(),
                attempts,
                expires_at: at(1000),
            };
            assert_eq!(decide(&later, &recipient, &schedule, 0.0, at(now)), want, "{attempts} attempts");
        }
    }
}
