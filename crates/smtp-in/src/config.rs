//! Settings of the listener, each with the bound that it sets.

use std::time::Duration;

/// Settings of the listener.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name in the greeting and in the answer to `EHLO`, and domain of a bare `postmaster`.
    pub hostname: String,
    /// Most bytes of a message, encoding included: `552 5.3.4` beyond, a closed connection beyond twice that.
    pub max_message_bytes: usize,
    /// Most bytes of messages in memory, over all sessions: `452 4.3.1` beyond.
    pub max_buffered_bytes: usize,
    /// Most recipients of a message: `452 4.5.3` beyond (RFC 5321 §4.5.3.1.8 wants at least 100).
    pub max_recipients: usize,
    /// Most connections: `421 4.3.2` beyond.
    pub max_connections: usize,
    /// Most connections of one IPv4 address or one IPv6 /64: `421 4.7.0` beyond.
    pub max_connections_per_ip: usize,
    /// How long a client may take for a command, for its part of a TLS handshake, and to read our replies
    /// (RFC 5321 §4.5.3.2.7 wants at least five minutes): `421 4.4.2` beyond.
    pub command_timeout: Duration,
    /// How long a client may pause within a message (RFC 5321 §4.5.3.2.5): `421 4.4.2` beyond.
    pub data_timeout: Duration,
    /// How long a connection may last, checked while waiting for the client: `421 4.4.2` beyond.
    pub session_timeout: Duration,
    /// Most commands of a session that make no sense: `421 4.7.0` at that many.
    pub max_errors: usize,
    /// Most recipients of a session that do not exist, against address harvesting: `421 4.7.0` at that many.
    pub max_unknown_recipients: usize,
    /// Most messages of a session: `421 4.7.0` at the next `MAIL`.
    pub max_messages_per_session: usize,
    /// How long a shutdown waits for messages that are on their way.
    pub shutdown_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            hostname: "localhost".to_owned(),
            max_message_bytes: 31_457_280,
            max_buffered_bytes: 536_870_912,
            max_recipients: 100,
            max_connections: 1_000,
            max_connections_per_ip: 100,
            command_timeout: Duration::from_secs(5 * 60),
            data_timeout: Duration::from_secs(3 * 60),
            session_timeout: Duration::from_secs(60 * 60),
            max_errors: 20,
            max_unknown_recipients: 100,
            max_messages_per_session: 10_000,
            shutdown_timeout: Duration::from_secs(20),
        }
    }
}
