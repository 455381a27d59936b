//! Where mail goes. The server's configuration reads `--outbound` into this.

use std::fmt;

use crate::client::TlsMode;

/// How mail to other servers leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// It does not: kept, never sent, and reported as delivered.
    Capture,
    /// To the hosts that DNS names for each destination.
    Mx,
    /// All of it to one server.
    Relay(Relay),
}

/// A server that takes mail for everybody. The operator configured it: its address may be private.
#[derive(Clone, PartialEq, Eq)]
pub struct Relay {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How to encrypt.
    pub tls: TlsMode,
    /// User name and password.
    pub credentials: Option<(String, String)>,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("tls", &self.tls)
            .field("credentials", &self.credentials.is_some())
            .finish()
    }
}
