//! Tokens that name something and are signed (HMAC-SHA256) with a key that the installation makes once and keeps in its
//! database: every node honours every token, and nobody makes one of his own. A subject begins with what it is for, or
//! with an organization's id, so that no kind of token is taken for another.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use podmail_domain::source;

use crate::{App, Result};

/// Setting of the installation that holds the signing key, in hexadecimal.
const KEY: &str = "link_key";
/// Longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 2_048;

impl App {
    /// Makes the key that signs unless the installation has one.
    async fn link_key(&self) -> Result<hmac::Key> {
        let key = match self.inner.link_key.get() {
            Some(key) => key.clone(),
            None => {
                let candidate = source::hex(&source::random::<32>(self.ids()));
                let stored = self.store().installation_value_or_insert(KEY, &candidate).await?;
                self.inner.link_key.get_or_init(|| stored).clone()
            }
        };
        Ok(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()))
    }

    /// The token of a subject: readable, and signed. Fit for a segment of a path.
    pub(crate) async fn token_of(&self, subject: &str) -> Result<String> {
        let signature = hmac::sign(&self.link_key().await?, subject.as_bytes());
        Ok(format!("{}.{}", URL_SAFE_NO_PAD.encode(subject), URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The subject of a token; `None` when it is none of ours.
    pub(crate) async fn subject_of(&self, token: &str) -> Result<Option<String>> {
        let Some((subject, signature)) = token.split_once('.').filter(|_| token.len() <= TOKEN_BYTES_MAX)
        else {
            return Ok(None);
        };
        let (Ok(subject), Ok(signature)) =
            (URL_SAFE_NO_PAD.decode(subject), URL_SAFE_NO_PAD.decode(signature))
        else {
            return Ok(None);
        };
        if hmac::verify(&self.link_key().await?, &subject, &signature).is_err() {
            return Ok(None);
        }
        Ok(String::from_utf8(subject).ok())
    }
}
