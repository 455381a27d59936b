//! Outbound mail: the queue worker and the SMTP client that it speaks with.

pub mod client;
