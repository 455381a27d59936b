//! One attempt at one claim: to inboxes here, then by the route. Values in, an [`Attempt`] out; nothing is recorded
//! here.

use std::sync::Arc;

use bytes::Bytes;
use podmail_app::App;
use podmail_app::deliveries::{Answer, Attempt, DeliveryClaim, OutboundMail, Served};
use podmail_app::receive::InternalOutcome;
use podmail_sender_auth::Signer;
use podmail_smtp_wire::client::write_rcpt_to;

use crate::client::{self, Outcome, RecipientResult, Stage, Target, TlsConfigs};
use crate::mx::{self, NoHost, Unreachable};
use crate::route::{Relay, Route};
use crate::signers::{Signers, signed};
use crate::{Config, relay};

/// What attempts share.
pub(crate) struct Means {
    pub(crate) app: App,
    pub(crate) config: Config,
    pub(crate) tls: TlsConfigs,
    pub(crate) signers: Signers,
}

/// What is known so far about the recipients of a claim.
struct Progress<'a> {
    claim: &'a DeliveryClaim,
    answers: Vec<Option<(Answer, String)>>,
    /// What holds for a recipient when no host says anything better.
    fallback: Vec<Option<(Answer, String)>>,
    hosts: Vec<String>,
    left: bool,
    aliases: Vec<String>,
}

impl Means {
    /// Delivers a claim as far as that is possible now.
    pub(crate) async fn attempt(&self, claim: &DeliveryClaim) -> Attempt {
        let mut progress = Progress::new(claim);
        match self.app.outbound_mail(claim).await {
            Ok(Some(mail)) => self.deliver(&mail, &mut progress).await,
            Ok(None) => {
                progress.rest(&Answer::Rejected { reason: "The message is lost".to_owned() }, "no bytes")
            }
            Err(error) => {
                tracing::warn!(error = %error, message.id = %claim.message_id, "outbound mail could not be read");
                progress.rest(&later(None), "the message could not be read");
            }
        }
        progress.finish()
    }

    async fn deliver(&self, mail: &OutboundMail, progress: &mut Progress<'_>) {
        refuse_malformed(progress);
        self.to_inboxes(mail, progress).await;
        if progress.pending().is_empty() {
            return;
        }
        let served = match self.app.served(&progress.claim.destination).await {
            Ok(served) => served,
            Err(error) => return progress.rest(&later(None), &error.to_string()),
        };
        match (served, &self.config.route) {
            // Where customers keep mailboxes elsewhere beside ours, DNS tells the better host.
            (Served::Elsewhere, _) | (Served::Registered, Route::Mx) => {}
            (Served::Shared, _) | (Served::Registered, Route::Capture | Route::Relay(_)) => {
                return progress.unknown_inbox();
            }
        }
        if self.config.route == Route::Capture {
            progress.left = true;
            progress.hosts.push("capture".to_owned());
            return progress.rest(&Answer::Accepted, "captured");
        }
        let message = match self.on_the_wire(progress.claim, mail).await {
            Ok(message) => message,
            Err(answer) => return progress.rest(&answer.0, &answer.1),
        };
        match &self.config.route {
            Route::Capture => {}
            Route::Relay(relay) => Box::pin(self.through(relay, mail, &message, progress)).await,
            Route::Mx => Box::pin(self.by_dns(served, mail, &message, progress)).await,
        }
    }

    /// Mail to inboxes of this installation does not leave it.
    async fn to_inboxes(&self, mail: &OutboundMail, progress: &mut Progress<'_>) {
        let recipients = progress.addresses(&progress.pending());
        if recipients.is_empty() {
            return;
        }
        let from = Some(mail.envelope_from.as_str());
        let outcomes = match self.app.deliver_internally(from, &recipients, mail.raw.clone()).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                tracing::warn!(error = %error, "mail within the installation could not be stored");
                return progress.rest(&later(None), "could not be stored");
            }
        };
        for (address, outcome) in outcomes {
            let answer = match outcome {
                InternalOutcome::NotLocal => continue,
                InternalOutcome::Stored => (Answer::Accepted, "stored".to_owned()),
                InternalOutcome::Refused { code, enhanced, text } => {
                    let said = format!("{code} {enhanced} {text}");
                    (Answer::Refused { enhanced: Some(enhanced) }, said)
                }
            };
            progress.left = true;
            progress.settle(&address, &answer);
        }
        if progress.left {
            progress.hosts.push("local".to_owned());
        }
    }

    /// The signed message.
    async fn on_the_wire(
        &self,
        claim: &DeliveryClaim,
        mail: &OutboundMail,
    ) -> Result<Bytes, (Answer, String)> {
        let key = self.app.signing_key(claim, &mail.signing_domain).await;
        let key = key.map_err(|error| (later(None), error.to_string()))?;
        let signer: Option<Arc<Signer>> = match &key {
            Some(key) => {
                Some(self.signers.signer(key).map_err(|error| (later(None), format!("DKIM: {error}")))?)
            }
            None => None,
        };
        let (raw, now) = (mail.raw.clone(), u64::try_from(self.app.now().seconds()).unwrap_or(0));
        let work = tokio::task::spawn_blocking(move || signed(&raw, signer.as_deref(), now));
        match work.await {
            Ok(Ok(message)) => Ok(message.into()),
            Ok(Err(error)) => {
                let reason = "The message cannot be signed".to_owned();
                Err((Answer::Rejected { reason }, format!("DKIM: {error}")))
            }
            Err(error) => Err((later(None), error.to_string())),
        }
    }

    async fn through(&self, relay: &Relay, mail: &OutboundMail, message: &[u8], progress: &mut Progress<'_>) {
        let target = match relay::target(&self.app, relay, &self.config.helo).await {
            Ok(target) => target,
            Err(reason) => return progress.rest(&later(Some("4.4.3")), &reason),
        };
        let pending = progress.pending();
        let outcome = self.send(&target, mail, &pending, message, progress).await;
        for (index, result) in pending.into_iter().zip(outcome.recipients) {
            if let RecipientResult::Delivered { relay_message_id: Some(id), .. } = &result {
                progress.add_aliases(relay::aliases(id, &relay.host));
            }
            let answer = match (stage(&result), answer(&result)) {
                // The operator's relay does not want us: his to mend, and no reason to bounce mail.
                (Stage::Greeting | Stage::Hello, (Answer::Refused { enhanced }, text)) => {
                    (Answer::Later { enhanced }, text)
                }
                (_, answer) => answer,
            };
            progress.set(index, answer);
        }
    }

    async fn by_dns(&self, served: Served, mail: &OutboundMail, message: &[u8], progress: &mut Progress<'_>) {
        let hosts = match mx::hosts(&self.app, &progress.claim.destination, &self.config.helo).await {
            Ok(hosts) if hosts.implicit && served == Served::Registered => return progress.unknown_inbox(),
            Ok(hosts) => hosts,
            Err(NoHost::Ourselves) => return progress.unknown_inbox(),
            Err(NoHost::Permanent { enhanced, text }) => {
                return progress.rest(&Answer::Refused { enhanced: Some(enhanced.to_owned()) }, text);
            }
            Err(NoHost::Later(reason)) => return progress.rest(&later(Some("4.4.3")), &reason),
        };
        let mut private = 0;
        for host in &hosts.names {
            let pending = progress.pending();
            if pending.is_empty() {
                return;
            }
            let target = match mx::target(&self.app, host, self.config.mx_port, &self.config.helo).await {
                Ok(target) => target,
                Err(Unreachable::Refused) => {
                    private += 1;
                    continue;
                }
                Err(Unreachable::Nowhere) if hosts.implicit => {
                    let answer = Answer::Refused { enhanced: Some("5.1.2".to_owned()) };
                    return progress.rest(&answer, "the domain has neither mail hosts nor an address");
                }
                Err(Unreachable::Nowhere) => {
                    progress.fall_back(
                        &pending,
                        &(later(Some("4.4.4")), "a mail host has no address".to_owned()),
                    );
                    continue;
                }
                Err(Unreachable::Later(reason)) => {
                    progress.fall_back(&pending, &(later(Some("4.4.3")), reason));
                    continue;
                }
            };
            let outcome = self.send(&target, mail, &pending, message, progress).await;
            for (index, result) in pending.into_iter().zip(outcome.recipients) {
                if is_final(&result) {
                    progress.set(index, answer(&result));
                } else {
                    progress.fall_back(&[index], &answer(&result));
                }
            }
        }
        if private == hosts.names.len() {
            let reason = "The destination's mail hosts have no public address".to_owned();
            progress.rest(&Answer::Rejected { reason: reason.clone() }, &reason);
        }
    }

    async fn send(
        &self,
        target: &Target,
        mail: &OutboundMail,
        pending: &[usize],
        message: &[u8],
        progress: &mut Progress<'_>,
    ) -> Outcome {
        let recipients = progress.addresses(pending);
        let limits = &self.config.limits;
        let from = mail.envelope_from.as_str();
        let outcome = Box::pin(client::send(target, from, &recipients, message, limits, &self.tls)).await;
        progress.hosts.push(match outcome.peer {
            Some(peer) => format!("{} [{peer}]", target.host),
            None => target.host.clone(),
        });
        progress.left |= outcome.recipients.iter().any(was_offered);
        outcome
    }
}

/// An address that cannot stand in a command is nobody's.
fn refuse_malformed(progress: &mut Progress<'_>) {
    for index in progress.pending() {
        let valid = progress.claim.recipients.get(index).is_some_and(|recipient| {
            recipient.address.contains('@') && write_rcpt_to(&mut Vec::new(), &recipient.address).is_ok()
        });
        if !valid {
            let reason = "Invalid recipient address".to_owned();
            progress.set(index, (Answer::Rejected { reason }, "not an address".to_owned()));
        }
    }
}

fn later(enhanced: Option<&str>) -> Answer {
    Answer::Later { enhanced: enhanced.map(str::to_owned) }
}

/// At which point the answer came.
fn stage(result: &RecipientResult) -> Stage {
    match result {
        RecipientResult::Delivered { .. } => Stage::Data,
        RecipientResult::Permanent { stage, .. } | RecipientResult::Transient { stage, .. } => *stage,
    }
}

/// Whether the server heard of the message.
fn was_offered(result: &RecipientResult) -> bool {
    match result {
        RecipientResult::Delivered { .. } => true,
        RecipientResult::Permanent { stage, .. }
        | RecipientResult::Transient { stage, code: Some(_), .. } => {
            matches!(stage, Stage::Sender | Stage::Recipient | Stage::Data)
        }
        RecipientResult::Transient { stage, code: None, .. } => *stage == Stage::Data,
    }
}

/// Whether another host of the destination could not say anything else: the answer is about the recipient or the
/// message, or the message may have arrived.
fn is_final(result: &RecipientResult) -> bool {
    match result {
        RecipientResult::Delivered { .. } => true,
        RecipientResult::Permanent { stage, .. } => matches!(stage, Stage::Recipient | Stage::Data),
        RecipientResult::Transient { stage: Stage::Data, .. } => true,
        RecipientResult::Transient { stage, code, .. } => *stage == Stage::Recipient && code.is_some(),
    }
}

/// What a server's words mean, with a line for the log that says when they are about us.
fn answer(result: &RecipientResult) -> (Answer, String) {
    let said = |code: Option<u16>, enhanced: Option<&str>, text: &str, stage: Stage| {
        let about = match stage {
            Stage::Greeting | Stage::Hello | Stage::Sender => format!("refused us at {stage:?}: "),
            Stage::Recipient => String::new(),
            Stage::Connect | Stage::Tls | Stage::Authentication | Stage::Data => format!("at {stage:?}: "),
        };
        let code = code.map_or_else(String::new, |code| format!("{code} "));
        let enhanced = enhanced.map_or_else(String::new, |enhanced| format!("{enhanced} "));
        format!("{about}{code}{enhanced}{text}")
    };
    match result {
        RecipientResult::Delivered { reply, .. } => (Answer::Accepted, reply.clone()),
        RecipientResult::Permanent { code, enhanced, text, stage } => (
            Answer::Refused { enhanced: enhanced.clone() },
            said(Some(*code), enhanced.as_deref(), text, *stage),
        ),
        RecipientResult::Transient { code, enhanced, text, stage } => {
            (Answer::Later { enhanced: enhanced.clone() }, said(*code, enhanced.as_deref(), text, *stage))
        }
    }
}

impl<'a> Progress<'a> {
    fn new(claim: &'a DeliveryClaim) -> Self {
        let unknown = vec![None; claim.recipients.len()];
        Self {
            claim,
            answers: unknown.clone(),
            fallback: unknown,
            hosts: Vec::new(),
            left: false,
            aliases: Vec::new(),
        }
    }

    /// Recipients without a final answer.
    fn pending(&self) -> Vec<usize> {
        self.answers
            .iter()
            .enumerate()
            .filter(|(_, answer)| answer.is_none())
            .map(|(index, _)| index)
            .collect()
    }

    fn addresses(&self, of: &[usize]) -> Vec<String> {
        of.iter()
            .filter_map(|index| self.claim.recipients.get(*index))
            .map(|recipient| recipient.address.clone())
            .collect()
    }

    fn set(&mut self, index: usize, answer: (Answer, String)) {
        if let Some(slot) = self.answers.get_mut(index) {
            *slot = Some(answer);
        }
    }

    fn settle(&mut self, address: &str, answer: &(Answer, String)) {
        for (slot, recipient) in self.answers.iter_mut().zip(&self.claim.recipients) {
            if slot.is_none() && recipient.address == address {
                *slot = Some(answer.clone());
            }
        }
    }

    /// Keeps what holds unless another host says better: what may pass hides what will not.
    fn fall_back(&mut self, recipients: &[usize], answer: &(Answer, String)) {
        for index in recipients {
            if let Some(slot) = self.fallback.get_mut(*index)
                && (matches!(answer.0, Answer::Later { .. })
                    || !matches!(slot, Some((Answer::Later { .. }, _))))
            {
                *slot = Some(answer.clone());
            }
        }
    }

    /// Settles everybody that is left.
    fn rest(&mut self, answer: &Answer, text: &str) {
        for slot in self.answers.iter_mut().filter(|slot| slot.is_none()) {
            *slot = Some((answer.clone(), text.to_owned()));
        }
    }

    fn unknown_inbox(&mut self) {
        self.left = true;
        self.hosts.push("local".to_owned());
        self.rest(&Answer::Refused { enhanced: Some("5.1.1".to_owned()) }, "550 5.1.1 No such inbox here");
    }

    fn add_aliases(&mut self, names: Vec<String>) {
        for name in names {
            if !self.aliases.contains(&name) {
                self.aliases.push(name);
            }
        }
    }

    fn finish(self) -> Attempt {
        let nobody = || (later(Some("4.4.1")), "no host could be reached".to_owned());
        let answers = self.answers.into_iter().zip(self.fallback);
        let answers = answers.map(|(answer, fallback)| answer.or(fallback).unwrap_or_else(nobody)).collect();
        let mut hosts = self.hosts;
        hosts.dedup();
        let host = (!hosts.is_empty()).then(|| hosts.join(", "));
        Attempt { host, left: self.left, answers, aliases: self.aliases }
    }
}
