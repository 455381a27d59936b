//! From what is known of an arriving mail to one decision. A pure function: everything it looks at is in [`Facts`].

use podmail_domain::limits;
use podmail_sender_auth::{Policy, Verdict, Word};

use super::Refusal;
use crate::settings::InboundAuthentication;

/// What is known of a mail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    /// Its Received headers, our own included.
    pub(super) received_headers: usize,
    /// It carries the text that marks test spam.
    pub(super) is_spam: bool,
    /// `inbound.authentication`.
    pub(super) mode: InboundAuthentication,
    /// What SPF, DKIM, DMARC and ARC say; `None` within the installation and when nothing is looked up.
    pub(super) verdict: Option<&'a Verdict>,
    /// Domain of the envelope sender or of HELO, for the text of a refusal.
    pub(super) sender_domain: &'a str,
}

/// What becomes of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Stored with these labels.
    Accept {
        /// In order of attachment.
        labels: Vec<String>,
    },
    /// Answered with this.
    Refuse(Refusal),
}

/// What authentication asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Deliver,
    Label(&'static str),
    Refuse(Refusal),
}

/// Decides about a mail.
pub(super) fn decide(facts: &Facts<'_>) -> Decision {
    if facts.received_headers > limits::RECEIVED_HEADERS + 1 {
        return Decision::Refuse(Refusal {
            code: 554,
            enhanced: "5.4.6",
            text: format!("Routing loop: more than {} Received headers", limits::RECEIVED_HEADERS),
        });
    }
    let asked = facts.verdict.map_or(Asked::Deliver, |verdict| match facts.mode {
        InboundAuthentication::Off => Asked::Deliver,
        InboundAuthentication::Standard => standard(verdict, facts.sender_domain),
        InboundAuthentication::Strict if verdict.spf == Word::Fail || verdict.dkim == Word::Fail => {
            unconfirmed(facts.sender_domain)
        }
        InboundAuthentication::Strict => standard(verdict, facts.sender_domain),
        InboundAuthentication::Label => match standard(verdict, facts.sender_domain) {
            Asked::Refuse(_) => Asked::Label(UNAUTHENTICATED),
            asked @ (Asked::Deliver | Asked::Label(_)) => asked,
        },
    });
    let mut labels = vec!["received".to_owned(), "unread".to_owned()];
    if facts.is_spam {
        labels.push(SPAM.to_owned());
    }
    match asked {
        Asked::Refuse(refusal) => return Decision::Refuse(refusal),
        Asked::Label(label) if labels.iter().all(|known| known != label) => labels.push(label.to_owned()),
        Asked::Label(_) | Asked::Deliver => {}
    }
    Decision::Accept { labels }
}

const SPAM: &str = "spam";
const UNAUTHENTICATED: &str = "unauthenticated";

/// The table of the setting `standard`: the first line that fits decides.
fn standard(verdict: &Verdict, sender_domain: &str) -> Asked {
    let Verdict { spf, dkim, dmarc, policy, .. } = *verdict;
    if dmarc == Word::Pass || verdict.vouched {
        return Asked::Deliver;
    }
    if dmarc == Word::Fail && policy != Policy::None {
        if verdict.pass_may_be_hidden {
            return Asked::Refuse(Refusal {
                code: 451,
                enhanced: "4.7.0",
                text: format!(
                    "The sender {} cannot be confirmed now, try again later",
                    clean(&verdict.domain)
                ),
            });
        }
        if policy == Policy::Reject {
            return Asked::Refuse(Refusal {
                code: 550,
                enhanced: "5.7.1",
                text: format!(
                    "DMARC: {} asks to refuse mail that it does not confirm",
                    clean(&verdict.domain)
                ),
            });
        }
        return Asked::Label(SPAM);
    }
    if dmarc == Word::TempError {
        return Asked::Label(UNAUTHENTICATED);
    }
    if spf == Word::Fail && dkim != Word::Pass {
        return unconfirmed(sender_domain);
    }
    if spf == Word::Pass || dkim == Word::Pass {
        return Asked::Deliver;
    }
    if dkim == Word::Fail {
        return unconfirmed(sender_domain);
    }
    Asked::Label(UNAUTHENTICATED)
}

fn unconfirmed(domain: &str) -> Asked {
    Asked::Refuse(Refusal {
        code: 550,
        enhanced: "5.7.26",
        text: format!("SPF and DKIM do not confirm the sender {}", clean(domain)),
    })
}

/// A name as it may stand in a reply.
fn clean(domain: &str) -> String {
    domain.chars().filter(|c| c.is_ascii_alphanumeric() || "-._[]:".contains(*c)).take(255).collect()
}

#[cfg(test)]
mod tests;
