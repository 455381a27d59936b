//! Figures of the listener, for `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start of the process. They only grow, except `connections_open`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that were served.
    pub connections: AtomicU64,
    /// Connections that are being served.
    pub connections_open: AtomicU64,
    /// Connections that were turned away at a limit.
    pub connections_refused: AtomicU64,
    /// Connections that went over to TLS.
    pub tls_sessions: AtomicU64,
    /// Messages that were stored.
    pub messages_accepted: AtomicU64,
    /// Messages that were received and refused, for good or for now.
    pub messages_refused: AtomicU64,
    /// Recipients that were refused, for good or for now.
    pub recipients_refused: AtomicU64,
    /// Bytes of messages, whatever became of them.
    pub message_bytes: AtomicU64,
}

/// Relaxed suffices: no figure tells anything about another.
pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}
