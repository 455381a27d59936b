//! Why something was not sent out, and how the HTTP client's errors become that.

use std::error::Error;

/// Why a request or connection did not happen or did not end well. Texts name no URL and no header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The policy forbids it; trying again will not help until the target changes.
    #[error("refused: {0}")]
    Refused(&'static str),
    /// The host has no address, or the DNS did not answer.
    #[error("DNS look-up failed: {0}")]
    Dns(String),
    /// No connection could be made to any address of the host.
    #[error("connection failed: {0}")]
    Connect(String),
    /// The TLS handshake failed, for example because the certificate is not trusted.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// No answer within the time allowed.
    #[error("timed out")]
    Timeout,
    /// The body is larger than the caller allows.
    #[error("the answer is too large")]
    TooLarge,
    /// Anything else: a broken answer, a connection closed half-way, an invalid header.
    #[error("request failed: {0}")]
    Other(String),
}

impl From<reqwest::Error> for EgressError {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let (is_timeout, is_connect) = (error.is_timeout(), error.is_connect());
        let mut deepest = error.to_string();
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(current) = cause {
            // What our own resolver hook said comes back wrapped by the client.
            if let Some(own) = current.downcast_ref::<Self>() {
                return own.clone();
            }
            if let Some(tls) = tls_error(current) {
                return Self::Tls(tls.to_string());
            }
            deepest = current.to_string();
            cause = current.source();
        }
        match (is_timeout, is_connect) {
            (true, _) => Self::Timeout,
            (false, true) => Self::Connect(deepest),
            (false, false) => Self::Other(deepest),
        }
    }
}

/// A TLS error, also when it travels inside of I/O errors (whose `source` skips what they wrap).
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    error.downcast_ref().or_else(|| tls_error(error.downcast_ref::<std::io::Error>()?.get_ref()?))
}
