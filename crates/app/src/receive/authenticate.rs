//! Checks who an arriving mail is from: the network's part waits, the computing part leaves the reactor when it is
//! large, and what comes out is counted.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use podmail_domain::AuthenticationResults;
use podmail_sender_auth::{Envelope, Question, Verdict, Word};

use super::policy::Decision;
use super::{Incoming, Mail, inline_or_heavy};
use crate::settings::InboundAuthentication;
use crate::{App, Result};

/// What became of mail from the internet that was checked. Counts since the start of the process.
#[derive(Debug, Default)]
pub struct AuthenticationCounters {
    words: [[AtomicU64; Word::ALL.len()]; CHECKS.len()],
    outcomes: [AtomicU64; OUTCOMES.len()],
}

const CHECKS: [&str; 3] = ["spf", "dkim", "dmarc"];
const OUTCOMES: [&str; 5] = ["delivered", "unauthenticated", "spam", "refused", "put_off"];

impl AuthenticationCounters {
    fn count(&self, verdict: &Verdict, outcome: &str) {
        for (counters, word) in self.words.iter().zip([verdict.spf, verdict.dkim, verdict.dmarc]) {
            let at = Word::ALL.iter().position(|known| *known == word);
            add(at.and_then(|at| counters.get(at)));
        }
        let at = OUTCOMES.iter().position(|known| *known == outcome);
        add(at.and_then(|at| self.outcomes.get(at)));
    }

    /// Results by check and word.
    pub fn results(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        CHECKS.iter().zip(&self.words).flat_map(|(check, counters)| {
            Word::ALL
                .iter()
                .zip(counters)
                .map(|(word, counter)| (*check, word.as_str(), counter.load(Ordering::Relaxed)))
        })
    }

    /// Mails by what became of them.
    pub fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        OUTCOMES.iter().zip(&self.outcomes).map(|(name, counter)| (*name, counter.load(Ordering::Relaxed)))
    }
}

fn add(counter: Option<&AtomicU64>) {
    if let Some(counter) = counter {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is recorded with a message.
pub(super) fn results_of(verdict: &Verdict) -> AuthenticationResults {
    let [spf, dkim, dmarc] = [verdict.spf, verdict.dkim, verdict.dmarc].map(|word| word.as_str().to_owned());
    AuthenticationResults { spf, dkim, dmarc }
}

/// What is recorded with a message from another inbox of the installation.
pub(super) fn passed() -> AuthenticationResults {
    let [spf, dkim, dmarc] = [Word::Pass.as_str(); 3].map(str::to_owned);
    AuthenticationResults { spf, dkim, dmarc }
}

impl App {
    /// Figures of the checks of arriving mail, for `/metrics`.
    pub fn authentication_counters(&self) -> &AuthenticationCounters {
        &self.inner.authentication
    }

    /// What SPF, DKIM, DMARC and ARC say of a mail; `None` within the installation, and when nothing is to be looked up.
    pub(super) async fn check_sender(
        &self,
        incoming: &Incoming,
        mail: &Mail,
        raw: &Bytes,
    ) -> Result<Option<Verdict>> {
        let Some(remote) = incoming.remote else { return Ok(None) };
        if self.settings().inbound_authentication == InboundAuthentication::Off {
            return Ok(None);
        }
        let shown = mail
            .parsed
            .from
            .as_ref()
            .and_then(|from| from.address.rsplit_once('@'))
            .map(|at| at.1.to_owned());
        let question = {
            let (raw, sealers) = (raw.clone(), self.settings().trusted_arc_sealers.clone());
            inline_or_heavy(raw.len(), move || Question::of(&raw, shown.as_deref(), &sealers)).await?
        };
        let envelope =
            Envelope { ip: remote.ip(), helo: &incoming.helo, mail_from: incoming.from.as_deref() };
        let answers = question.ask(self.resolver(), envelope).await;
        let now = u64::try_from(self.now().seconds()).unwrap_or(0);
        let raw = raw.clone();
        Ok(Some(inline_or_heavy(raw.len(), move || answers.judge(&raw, now)).await?))
    }

    /// Counts what became of a checked mail and says it in the log.
    pub(super) fn report(&self, incoming: &Incoming, verdict: &Verdict, decision: &Decision) {
        let (outcome, reply) = match decision {
            Decision::Refuse(refusal) if refusal.code < 500 => ("put_off", refusal.code),
            Decision::Refuse(refusal) => ("refused", refusal.code),
            Decision::Accept { labels } => {
                let has = |name: &str| labels.iter().any(|label| label == name);
                let outcome = [OUTCOMES[2], OUTCOMES[1]].into_iter().find(|name| has(name));
                (outcome.unwrap_or(OUTCOMES[0]), 250)
            }
        };
        self.inner.authentication.count(verdict, outcome);
        tracing::info!(
            remote.ip = incoming.remote.map(|remote| remote.ip().to_string()),
            sender.domain = sender_domain(incoming),
            from.domain = verdict.domain,
            spf = verdict.spf.as_str(),
            dkim = verdict.dkim.as_str(),
            dmarc = verdict.dmarc.as_str(),
            dmarc.policy = ?verdict.policy,
            arc.vouched = verdict.vouched,
            reply.code = reply,
            "inbound authentication: {outcome}",
        );
    }
}

/// The domain of the envelope sender, of HELO when that is empty.
pub(super) fn sender_domain(incoming: &Incoming) -> &str {
    incoming
        .from
        .as_deref()
        .and_then(|from| from.rsplit_once('@'))
        .map_or(&incoming.helo, |(_, domain)| domain)
}
