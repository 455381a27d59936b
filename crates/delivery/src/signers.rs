//! DKIM signatures on what leaves. Keys are read for each message, so that a new one is used at once; what is kept
//! is the parsed form, which takes longer to make than to use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use podmail_app::deliveries::SigningKey;
use podmail_sender_auth::{Error, Signer};
use podmail_smtp_wire::normalize_line_ends;

/// Signers that are kept; one more and the table starts afresh.
const SIGNERS_MAX: usize = 256;

type Key = (String, String);

struct Kept {
    private_pkcs8: Vec<u8>,
    signer: Arc<Signer>,
}

/// Signers by domain and selector.
#[derive(Default)]
pub(crate) struct Signers {
    kept: Mutex<HashMap<Key, Kept>>,
}

impl Signers {
    /// The signer of a key.
    pub(crate) fn signer(&self, key: &SigningKey) -> Result<Arc<Signer>, Error> {
        let name = (key.domain.clone(), key.selector.clone());
        // Nothing panics while the lock is held, and the table is valid between any two statements.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.get(&name).filter(|found| found.private_pkcs8 == key.private_pkcs8) {
            return Ok(Arc::clone(&found.signer));
        }
        let signer = Arc::new(Signer::new(&key.domain, &key.selector, &key.private_pkcs8)?);
        if kept.len() >= SIGNERS_MAX {
            kept.clear();
        }
        kept.insert(name, Kept { private_pkcs8: key.private_pkcs8.clone(), signer: Arc::clone(&signer) });
        Ok(signer)
    }
}

/// The message as it goes on the wire, its signature in front. Computes for a millisecond and more: keep it off the
/// reactor.
pub(crate) fn signed(raw: &[u8], signer: Option<&Signer>, now_unix: u64) -> Result<Vec<u8>, Error> {
    let normal = normalize_line_ends(raw);
    let Some(signer) = signer else { return Ok(normal.into_owned()) };
    let mut message = signer.sign(&normal, now_unix)?.into_bytes();
    message.extend_from_slice(&normal);
    Ok(message)
}
