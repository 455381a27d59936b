//! The DKIM key of the shared domain: made once per installation, kept in its database.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use podmail_domain::source;
use serde::{Deserialize, Serialize};

use super::new_key;
use crate::App;
use crate::error::{Error, Result};

/// Where the key is kept.
const KEY: &str = "shared_dkim_key";

/// What signs mail of the shared domain. Holds a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedSignerKey {
    /// The shared domain, the `d=` of signatures.
    pub domain: String,
    /// The `s=` of signatures.
    pub selector: String,
    /// Private key, PKCS#8 in DER.
    pub private_pkcs8: Vec<u8>,
    /// Public key, base64, for the DNS.
    pub public_base64: String,
}

impl std::fmt::Debug for SharedSignerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedSignerKey")
            .field("domain", &self.domain)
            .field("selector", &self.selector)
            .finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    selector: String,
    private: String,
    public: String,
}

impl App {
    /// The installation's own signing key. The first call ever makes it, which takes some tenths of a second.
    pub async fn shared_signer_key(&self) -> Result<SharedSignerKey> {
        let stored = match self.store().installation_value(KEY).await? {
            Some(stored) => stored,
            None => {
                let key = new_key().await?;
                let candidate = Stored {
                    selector: format!("podmail{}", source::hex(&source::random::<3>(self.ids()))),
                    private: STANDARD.encode(&key.private_pkcs8),
                    public: key.public_base64,
                };
                let candidate = serde_json::to_string(&candidate).map_err(Error::internal)?;
                self.store().installation_value_or_insert(KEY, &candidate).await?
            }
        };
        let stored: Stored = serde_json::from_str(&stored).map_err(Error::internal)?;
        Ok(SharedSignerKey {
            domain: self.settings().domain.clone(),
            selector: stored.selector,
            private_pkcs8: STANDARD.decode(&stored.private).map_err(Error::internal)?,
            public_base64: stored.public,
        })
    }
}
