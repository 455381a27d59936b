//! The vocabulary of Podmail: ids, addresses, labels, permissions, events, limits, and the sources of time, ids and
//! randomness that everything else is handed. No I/O happens here.

pub mod address;
pub mod authentication;
pub mod event;
pub mod id;
pub mod label;
pub mod limits;
pub mod list;
pub mod permission;
mod schema;
pub mod source;
pub mod thread;
pub mod time;

pub use address::{DomainName, EmailAddress};
pub use authentication::AuthenticationResults;
pub use event::EventType;
pub use id::{
    ApiKeyId, AttachmentId, DeliveryId, DraftId, EventId, InboxId, InboxKey, MessageId, MessageKey,
    OrganizationId, PodId, ThreadId, WebhookDeliveryId, WebhookId,
};
pub use permission::{Permission, Permissions};
pub use source::{Clock, IdSource};
pub use time::Timestamp;
