//! Where mail goes: the questions that a session asks, and their answers.

use std::future::Future;
use std::net::SocketAddr;

use bytes::Bytes;

/// What a session knows about a message besides its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// `local@domain` of `MAIL FROM`; `None` for `<>`, the sender of bounces.
    pub from: Option<String>,
    /// `local@domain` of each recipient that was accepted, none twice; never empty.
    pub recipients: Vec<String>,
    /// What the client called itself: printable ASCII, at most 255 bytes, not verified.
    pub helo: String,
    /// Address of the client.
    pub remote: SocketAddr,
    /// The message came over TLS.
    pub tls: bool,
    /// `SMTPUTF8` was asked for: addresses and headers may hold UTF-8.
    pub smtputf8: bool,
}

/// Answer to `RCPT TO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecipientAnswer {
    /// `250 2.1.5`
    Accept,
    /// `550 5.1.1`: no such mailbox, or it takes no mail
    Unknown,
    /// `451 4.3.0`: cannot tell now
    Unavailable,
}

/// Answer to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliverAnswer {
    /// `250 2.0.0`: the message is ours, and it is on disk.
    Stored,
    /// The message is not wanted.
    Refused {
        /// 400 to 599; anything else is sent as 451.
        code: u16,
        /// As of RFC 3463, such as `5.4.6`; its class is that of `code`.
        enhanced: &'static str,
        /// Text for the sender; line feeds begin further lines.
        text: String,
    },
    /// `451 4.3.0`: cannot store it now, the client shall try again
    Unavailable,
}

/// Takes mail. The application implements it, and tests do.
pub trait MailSink: Send + Sync + 'static {
    /// May mail for `address` (`local@domain`, valid syntax, any case) come in?
    fn recipient(&self, address: &str) -> impl Future<Output = RecipientAnswer> + Send;

    /// Takes the message `raw`: bytes as received, dots unstuffed, lone CR and LF kept. The future bounds
    /// its own time; it may be dropped when a shutdown lasts too long, and then the client tries again.
    fn deliver(&self, envelope: Envelope, raw: Bytes) -> impl Future<Output = DeliverAnswer> + Send;
}
