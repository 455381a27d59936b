//! The JSON of the HTTP API and of webhook payloads, one file per noun. Optional members without a value are left out;
//! times show milliseconds. Field order is the order in which members appear on the wire.

pub mod auth;
pub mod domains;
pub mod drafts;
pub mod history;
pub mod inboxes;
pub mod keys;
pub mod lists;
pub mod messages;
pub mod organizations;
pub mod pods;
pub mod search;
pub mod threads;
pub mod webhooks;
