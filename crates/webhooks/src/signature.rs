//! Signs a delivery: HMAC-SHA256 over `<id>.<timestamp>.<body>` under the key in `whsec_…`, the scheme of Standard
//! Webhooks.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The value of `svix-signature` and `webhook-signature`. `None` when the secret is not `whsec_` and base64.
pub fn sign(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
    let key = STANDARD.decode(secret.strip_prefix("whsec_")?).ok()?;
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
    context.update(id.as_bytes());
    context.update(b".");
    context.update(timestamp.to_string().as_bytes());
    context.update(b".");
    context.update(body);
    Some(format!("v1,{}", STANDARD.encode(context.sign())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_test_vector_is_reproduced() {
        let body = br#"{"type":"event","event_type":"message.sent","event_id":"evt_vector_1"}"#;
        assert_eq!(
            sign("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", "msg_vector_1", 1_767_225_600, body).as_deref(),
            Some("v1,sHkuuI0DxfHFwUQwqoiEoncXvZlYKe8Xbwy1MxLwOk0=")
        );
        assert_eq!(sign("AAEC", "msg_1", 0, b""), None);
        assert_eq!(sign("whsec_!", "msg_1", 0, b""), None);
    }
}
