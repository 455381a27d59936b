//! What is asked of the store with a new message, and what became of it.

use std::collections::BTreeMap;

use podmail_domain::thread::{Attachment, Direction};
use podmail_domain::{AuthenticationResults, MessageId, MessageKey, ThreadId, Timestamp};

use crate::messages::StoredBytes;
use crate::scope::Scope;

/// A message to store in one inbox.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The inbox; must be an inbox scope.
    pub scope: Scope,
    /// Its key, where the caller has to know it before; one is made otherwise.
    pub key: Option<MessageKey>,
    /// Came or goes.
    pub direction: Direction,
    /// Whether its arrival is announced; of received messages.
    pub announce: Announce,
    /// Its id, unless another mail of the inbox already has it.
    pub message_id: MessageId,
    /// The id it gets then.
    pub substitute: MessageId,
    /// Other names by which answers may call it; also what a second delivery of the same mail is recognised by.
    pub aliases: Vec<String>,
    /// Ids that may name its thread, best first. The first that the inbox holds decides.
    pub candidates: Vec<String>,
    /// The thread, when the caller knows it.
    pub thread: Option<ThreadId>,
    /// In order of attachment.
    pub labels: Vec<String>,
    /// The message's own time.
    pub timestamp: Timestamp,
    /// Now.
    pub created_at: Timestamp,
    /// Raw bytes.
    pub size: u64,
    /// Of Message-ID, From, Date and everything below the header.
    pub fingerprint: String,
    /// `Name <addr>` or `addr`.
    pub sender: String,
    /// As written.
    pub to: Vec<String>,
    /// As written.
    pub cc: Vec<String>,
    /// Of messages sent from the inbox.
    pub bcc: Vec<String>,
    /// Of received messages whose sender was checked.
    pub authentication: Option<AuthenticationResults>,
    /// Decoded.
    pub subject: Option<String>,
    /// Start of the text body.
    pub preview: Option<String>,
    /// As on the wire; shown as the id of the message it names.
    pub in_reply_to: Option<String>,
    /// As on the wire.
    pub references: Vec<String>,
    /// In MIME order.
    pub attachments: Vec<Attachment>,
    /// Whether any of them may have a text that is to be taken out.
    pub extract_texts: bool,
    /// Compressed bytes, or the durable object that holds them.
    pub bytes: StoredBytes,
    /// Mail to send.
    pub deliveries: Vec<NewDelivery>,
    /// The draft that becomes this message: taken out with it, or nothing is stored.
    pub draft: Option<Box<crate::drafts::DraftClaim>>,
    /// Key and request hash of an idempotent send.
    pub idempotency: Option<(String, String)>,
    /// Its own id as it is written, where it has one: shown beside the one that it gets.
    pub original_id: Option<String>,
    /// Headers that have no field of their own.
    pub headers: BTreeMap<String, String>,
    /// Since when recipients count towards the organization's daily quota, if it has one: it is not overrun by sends that
    /// run at once.
    pub quota_since: Option<Timestamp>,
}

/// Whether the arrival of a message is an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Announce {
    /// One of `message.received*`, as the labels say.
    #[default]
    Arrival,
    /// None: nobody shall answer it.
    Nothing,
}

/// One recipient of a send.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// Bare address.
    pub recipient: String,
    /// Its domain: deliveries are leased by destination.
    pub destination: String,
    /// When to give up.
    pub expires_at: Timestamp,
}

/// What became of a [`NewMessage`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is there.
    New {
        /// Its id, possibly the substitute.
        message_id: MessageId,
        /// Its thread.
        thread_id: ThreadId,
    },
    /// The inbox already has this mail; nothing was stored.
    Duplicate,
    /// The inbox is paused; nothing was stored.
    Paused,
    /// The inbox is gone; nothing was stored.
    Gone,
    /// The idempotency key was used for the same request: what it made then. Nothing was stored.
    Replay {
        /// As made then.
        message_id: MessageId,
        /// As made then.
        thread_id: ThreadId,
    },
    /// The idempotency key was used for another request; nothing was stored.
    KeyReused,
    /// The claim of the draft was over; nothing was stored.
    Unclaimed,
    /// The organization's daily quota has no room for its recipients; nothing was stored.
    OverQuota,
}
