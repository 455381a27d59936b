//! An outgoing SMTP client (RFC 5321): one message to one destination, an answer per recipient.
//!
//! [`send`] tries the addresses of a [`Target`] in their order until one takes the conversation, encrypts as
//! its [`TlsMode`] says, and reports what the server said about each recipient. It decides nothing about
//! retries and bounces, and never logs addresses or text of the other side.
//!
//! Invariants: everything has a time limit ([`Limits`]); what the server sends is bounded by the reply parser;
//! a recipient is reported as delivered only after the final positive answer; once the message has been
//! transmitted no other address is tried, so that a lost answer does not duplicate it here.

mod connection;
mod outcome;
mod session;
mod tls;
mod transaction;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

pub use outcome::{Outcome, RecipientResult, Stage, relay_message_id};
pub use tls::TlsConfigs;

use outcome::Failure;
use session::{Encryption, Session};
use transaction::Envelope;

/// Most addresses of a target that one attempt tries.
pub const ADDRESSES_MAX: usize = 5;

/// How a conversation is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// For hosts found by MX: STARTTLS when offered, the certificate not verified; when the handshake fails,
    /// once more on a fresh connection without TLS (RFC 7435).
    Opportunistic,
    /// For relays with credentials: STARTTLS, verified against the roots; no mail without it.
    Required,
    /// For relays without credentials: STARTTLS when offered, the certificate not verified, no way back to
    /// plaintext once it was offered. Credentials, if given all the same, are sent even in plaintext.
    WhenOffered,
    /// TLS from the first byte (`smtps://`), verified against the roots.
    Implicit,
}

/// Where to deliver.
#[derive(Clone)]
pub struct Target {
    /// Addresses to try, in this order; those after the first [`ADDRESSES_MAX`] are ignored.
    pub addresses: Vec<SocketAddr>,
    /// The host's name: for SNI and for the certificate.
    pub host: String,
    /// How to encrypt.
    pub tls: TlsMode,
    /// User name and password for AUTH PLAIN or LOGIN; without AUTH on offer nothing is sent.
    pub credentials: Option<(String, String)>,
    /// The name that we give ourselves in EHLO.
    pub helo: String,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("addresses", &self.addresses)
            .field("host", &self.host)
            .field("tls", &self.tls)
            .field("credentials", &self.credentials.is_some())
            .field("helo", &self.helo)
            .finish()
    }
}

/// Time limits of one attempt. The defaults are those of RFC 5321, section 4.5.3.2, or stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until a connection stands, TLS handshakes included, per address.
    pub connect: Duration,
    /// Until the server's greeting.
    pub greeting: Duration,
    /// Until the answer to a command.
    pub command: Duration,
    /// Until the answer to DATA.
    pub data_start: Duration,
    /// Until the network has taken one block of the message.
    pub data_block: Duration,
    /// Until the answer to the end of the message.
    pub data_end: Duration,
    /// The whole attempt, all addresses together.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            greeting: Duration::from_secs(120),
            command: Duration::from_secs(300),
            data_start: Duration::from_secs(120),
            data_block: Duration::from_secs(180),
            data_end: Duration::from_secs(600),
            total: Duration::from_secs(1_800),
        }
    }
}

/// Delivers `data` to `recipients`, from `mail_from` (empty for the null sender of bounces). Line ends of `data`
/// become CR LF and dots are stuffed on the way; the rest is transmitted as it is.
///
/// The results stand in the order of `recipients`. There is no error: what goes wrong is the result of each
/// recipient that it concerns.
pub async fn send(
    target: &Target,
    mail_from: &str,
    recipients: &[String],
    data: &[u8],
    limits: &Limits,
    tls: &TlsConfigs,
) -> Outcome {
    let mut progress = Progress::new(recipients.len());
    let envelope = Envelope::new(mail_from, recipients, data);
    let whole = attempt(target, &envelope, limits, tls, &mut progress);
    if tokio::time::timeout(limits.total, Box::pin(whole)).await.is_err() {
        progress.failure = Some(Failure::timeout(progress.stage));
    }
    progress.finish()
}

/// What is known so far about an attempt.
#[derive(Debug)]
pub(crate) struct Progress {
    /// One per recipient; `None` while nothing is known.
    pub(crate) results: Vec<Option<RecipientResult>>,
    pub(crate) stage: Stage,
    failure: Option<Failure>,
    peer: Option<SocketAddr>,
    encrypted: bool,
}

impl Progress {
    fn new(recipients: usize) -> Self {
        let results = std::iter::repeat_with(|| None).take(recipients).collect();
        Self { results, stage: Stage::Connect, failure: None, peer: None, encrypted: false }
    }

    /// Keeps the failure that is reported in the end: one that may pass hides one that will not.
    fn failed(&mut self, failure: Failure) {
        tracing::debug!(stage = ?failure.stage, smtp.code = failure.code, "SMTP conversation failed");
        if self.failure.as_ref().is_none_or(Failure::is_permanent) {
            self.failure = Some(failure);
        }
    }

    fn finish(self) -> Outcome {
        let rest = self.failure.unwrap_or_else(|| Failure::local(Stage::Connect, "no address to connect to"));
        let recipients =
            self.results.into_iter().map(|result| result.unwrap_or_else(|| rest.result())).collect();
        Outcome { recipients, peer: self.peer, encrypted: self.encrypted }
    }
}

async fn attempt(
    target: &Target,
    envelope: &Envelope<'_>,
    limits: &Limits,
    tls: &TlsConfigs,
    progress: &mut Progress,
) {
    for address in target.addresses.iter().take(ADDRESSES_MAX) {
        progress.peer = Some(*address);
        progress.stage = Stage::Connect;
        let mut opened =
            Session::open(*address, target, limits, tls, Encryption::Wanted, &mut progress.stage).await;
        if target.tls == TlsMode::Opportunistic
            && matches!(&opened, Err(failure) if failure.stage == Stage::Tls)
        {
            tracing::debug!("TLS failed, trying again without it");
            opened = Session::open(*address, target, limits, tls, Encryption::Off, &mut progress.stage).await;
        }
        let mut session = match opened {
            Ok(session) => session,
            Err(failure) => {
                progress.failed(failure);
                continue;
            }
        };
        progress.encrypted = session.encrypted();
        let ended = transaction::run(&mut session, envelope, progress).await;
        match ended {
            Ok(()) => return session.quit().await,
            Err(failure) => {
                let transmitted = failure.stage == Stage::Data;
                progress.failed(failure);
                if transmitted {
                    return;
                }
            }
        }
    }
}
