//! What makes two deliveries the same mail: a digest that trace headers of relays do not change.

use sha2::{Digest, Sha256};

use crate::header;

/// Hex SHA-256 over the Message-ID, From and Date values and everything below the header.
#[must_use]
pub fn fingerprint(raw: &[u8]) -> String {
    let header = header::split(raw, 0, false);
    let mut digest = Sha256::new();
    for name in ["Message-ID", "From", "Date"] {
        for field in header.all(name) {
            digest.update(header::unfolded(&field.value).as_bytes());
            digest.update(b"\n");
        }
        // Keeps values of one name apart from those of the next.
        digest.update(b"\n\n");
    }
    digest.update(raw.get(header.body..).unwrap_or_default());
    hex(&digest.finalize())
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).filter_map(|n| char::from_digit(u32::from(n), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::fingerprint;

    #[test]
    fn trace_headers_do_not_count_and_bodies_do() {
        let a = fingerprint(b"Message-ID: <a@x>\r\nFrom: a@x\r\nDate: now\r\n\r\nhi\r\n");
        let relayed =
            fingerprint(b"Received: by y\r\nDate: now\r\nMessage-ID: <a@x>\r\nFrom: a@x\r\n\r\nhi\r\n");
        let other = fingerprint(b"Message-ID: <a@x>\r\nFrom: a@x\r\nDate: now\r\n\r\nho\r\n");
        assert_eq!(a, relayed);
        assert_ne!(a, other);
        assert_eq!(a.len(), 64);
    }
}
