//! A thread's aggregates, computed from the messages that a reader may see. Pure: the store keeps one aggregate per
//! combination of restricted labels and derives the rest from the messages.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::{AttachmentId, MessageId, MessageKey, Timestamp};

/// Metadata of one attachment, as lists and aggregates show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// Stable id.
    pub attachment_id: AttachmentId,
    /// Position of the MIME part in the raw message, for reading its bytes.
    #[serde(rename = "part")]
    pub part: u32,
    /// Decoded bytes.
    pub size: u64,
    /// Decoded file name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Media type without parameters, lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// `inline` or `attachment`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_disposition: Option<String>,
    /// Content id without brackets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_id: Option<String>,
}

/// Whether a message came from outside or was sent from its inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Arrived.
    Received,
    /// Sent from this inbox.
    Sent,
}

impl Direction {
    /// Stored form.
    pub const fn code(self) -> i64 {
        match self {
            Self::Received => 0,
            Self::Sent => 1,
        }
    }
    /// From the stored form.
    pub const fn from_code(code: i64) -> Self {
        if code == 1 { Self::Sent } else { Self::Received }
    }
}

/// What an aggregate takes from one message.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Storage order.
    pub key: MessageKey,
    /// Id shown to clients.
    pub message_id: &'a MessageId,
    /// Came or went.
    pub direction: Direction,
    /// The message's own time.
    pub timestamp: Timestamp,
    /// `Name <addr>` or `addr`.
    pub from: &'a str,
    /// To, cc and bcc in that order.
    pub recipients: [&'a [String]; 3],
    /// In order of attachment.
    pub labels: &'a [String],
    /// Of this message.
    pub subject: Option<&'a str>,
    /// Of this message.
    pub preview: Option<&'a str>,
    /// In MIME order.
    pub attachments: &'a [Attachment],
    /// Raw bytes.
    pub size: u64,
    /// When it was stored.
    pub created_at: Timestamp,
    /// Its last change.
    pub updated_at: Timestamp,
}

/// The aggregate fields of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// Union in order of first appearance.
    pub labels: Vec<String>,
    /// Newest timestamp.
    pub timestamp: Timestamp,
    /// Newest among received messages.
    pub received_timestamp: Option<Timestamp>,
    /// Newest among sent messages.
    pub sent_timestamp: Option<Timestamp>,
    /// Distinct `from` values, first appearance first.
    pub senders: Vec<String>,
    /// Distinct to, cc and bcc values, likewise.
    pub recipients: Vec<String>,
    /// Of the first message.
    pub subject: Option<String>,
    /// Of the last message.
    pub preview: Option<String>,
    /// All attachments in message order.
    pub attachments: Vec<Attachment>,
    /// Newest message.
    pub last_message_id: MessageId,
    /// Newest message's storage key.
    pub last_message_key: MessageKey,
    /// Number of messages.
    pub message_count: u64,
    /// Sum of the messages' sizes.
    pub size: u64,
    /// Last change of any message.
    pub updated_at: Timestamp,
    /// Storage time of the earliest-stored message.
    pub created_at: Timestamp,
}

impl Aggregate {
    /// The aggregate of one message.
    pub fn of(first: &Piece<'_>) -> Self {
        let mut aggregate = Self {
            labels: Vec::new(),
            timestamp: first.timestamp,
            received_timestamp: None,
            sent_timestamp: None,
            senders: Vec::new(),
            recipients: Vec::new(),
            subject: first.subject.map(str::to_owned),
            preview: None,
            attachments: Vec::new(),
            last_message_id: first.message_id.clone(),
            last_message_key: first.key,
            message_count: 0,
            size: 0,
            updated_at: first.updated_at,
            created_at: first.created_at,
        };
        aggregate.append(first);
        aggregate
    }

    /// The aggregate of many messages in any order; `None` when there are none.
    pub fn over(pieces: &mut [Piece<'_>]) -> Option<Self> {
        pieces.sort_by_key(|piece| (piece.timestamp, piece.key));
        let (first, rest) = pieces.split_first()?;
        let mut aggregate = Self::of(first);
        for piece in rest {
            aggregate.append(piece);
        }
        Some(aggregate)
    }

    /// Whether `piece` belongs behind everything that is already counted, so that [`Self::append`] is right for it.
    pub fn takes(&self, piece: &Piece<'_>) -> bool {
        (piece.timestamp, piece.key) >= (self.timestamp, self.last_message_key)
    }

    /// Adds a message that is newer than all others.
    pub fn append(&mut self, piece: &Piece<'_>) {
        for label in piece.labels {
            if !self.labels.contains(label) {
                self.labels.push(label.clone());
            }
        }
        self.timestamp = piece.timestamp;
        match piece.direction {
            Direction::Received => {
                self.received_timestamp = self.received_timestamp.max(Some(piece.timestamp))
            }
            Direction::Sent => self.sent_timestamp = self.sent_timestamp.max(Some(piece.timestamp)),
        }
        add_distinct(&mut self.senders, [piece.from]);
        add_distinct(&mut self.recipients, piece.recipients.into_iter().flatten().map(String::as_str));
        self.preview = piece.preview.map(str::to_owned);
        self.attachments.extend_from_slice(piece.attachments);
        self.last_message_id = piece.message_id.clone();
        self.last_message_key = piece.key;
        self.message_count += 1;
        self.size += piece.size;
        self.updated_at = self.updated_at.max(piece.updated_at);
        self.created_at = self.created_at.min(piece.created_at);
    }
}

/// The bare address inside `Name <addr>`, folded for comparison.
pub fn bare_address(text: &str) -> String {
    let inner = text.rsplit_once('<').map_or(text, |(_, rest)| rest.trim_end().trim_end_matches('>'));
    inner.trim().to_lowercase()
}

fn add_distinct<'a>(list: &mut Vec<String>, new: impl IntoIterator<Item = &'a str>) {
    let mut seen: HashSet<String> = list.iter().map(|text| bare_address(text)).collect();
    for text in new {
        if !text.is_empty() && seen.insert(bare_address(text)) {
            list.push(text.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u128) -> MessageKey {
        MessageKey::from_uuid(uuid::Uuid::from_u128(n))
    }

    #[test]
    fn aggregates_do_not_depend_on_the_order_of_arrival() {
        let ids = [MessageId::new("a@x"), MessageId::new("b@x"), MessageId::new("c@x")];
        let (to, none) = (vec!["Bob <b@X.test>".to_owned()], Vec::new());
        let labels =
            [vec!["received".to_owned(), "unread".to_owned()], vec!["sent".to_owned()], vec!["x".to_owned()]];
        let piece = |n: usize, seconds: i64, direction, from| Piece {
            key: key(n as u128),
            message_id: &ids[n],
            direction,
            timestamp: Timestamp::from_seconds(seconds),
            from,
            recipients: [&to, &none, &none],
            labels: &labels[n],
            subject: Some("S"),
            preview: Some(["p0", "p1", "p2"][n]),
            attachments: &[],
            size: 10,
            created_at: Timestamp::from_seconds(100),
            updated_at: Timestamp::from_seconds(100),
        };
        let mut forward = [
            piece(0, 10, Direction::Received, "Al <al@x.test>"),
            piece(1, 20, Direction::Sent, "b@x.test"),
            piece(2, 30, Direction::Received, "AL@x.test"),
        ];
        let want = Aggregate::over(&mut forward).expect("three pieces");
        let mut backward = [forward[2], forward[0], forward[1]];
        assert_eq!(Aggregate::over(&mut backward), Some(want.clone()));
        assert_eq!(want.labels, ["received", "unread", "sent", "x"]);
        assert_eq!(want.senders, ["Al <al@x.test>", "b@x.test"]);
        assert_eq!(want.recipients, ["Bob <b@X.test>"]);
        assert_eq!(want.message_count, 3);
        assert_eq!(want.size, 30);
        assert_eq!(want.preview.as_deref(), Some("p2"));
        assert_eq!(want.last_message_id.as_str(), "<c@x>");
        assert_eq!(want.received_timestamp, Some(Timestamp::from_seconds(30)));
        assert_eq!(want.sent_timestamp, Some(Timestamp::from_seconds(20)));
    }
}
