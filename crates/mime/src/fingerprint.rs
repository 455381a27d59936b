//! What makes two deliveries the same mail: a digest that trace headers of relays do not change.

use sha2::{Digest, Sha256};

use crate::{
    header::{self, Header},
    ids,
};

/// Hex SHA-256 that tells one mail from another: over Message-ID, From and Date and everything below the header. Without a
/// Message-ID the subject and the recipients count as well, and without a Date either every field that is no trace of the
/// way: programs that name neither repeat themselves with another subject.
#[must_use]
pub fn fingerprint(raw: &[u8]) -> String {
    let header = header::split(raw, 0, false);
    let mut digest = Sha256::new();
    let named =
        header.last("Message-ID").is_some_and(|field| ids::own(&header::unfolded(&field.value)).is_some());
    if named {
        fields(&mut digest, &header, &["Message-ID", "From", "Date"]);
    } else if header.last("Date").is_some_and(|field| !header::unfolded(&field.value).is_empty()) {
        fields(&mut digest, &header, &["From", "Date", "Subject", "To", "Cc"]);
    } else {
        for field in header.fields.iter().filter(|field| !is_trace(field.name)) {
            digest.update(field.name.as_bytes());
            digest.update(b":");
            digest.update(&field.value);
        }
        digest.update(b"\n\n");
    }
    digest.update(raw.get(header.body..).unwrap_or_default());
    hex(&digest.finalize())
}

fn fields(digest: &mut Sha256, header: &Header<'_>, names: &[&str]) {
    for name in names {
        for field in header.all(name) {
            digest.update(header::unfolded(&field.value).as_bytes());
            digest.update(b"\n");
        }
        // Keeps values of one name apart from those of the next.
        digest.update(b"\n\n");
    }
}

/// What servers on the way add, which differs between two deliveries of one mail.
fn is_trace(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("arc-")
        || matches!(
            name.as_str(),
            "received"
                | "x-received"
                | "return-path"
                | "delivered-to"
                | "x-original-to"
                | "received-spf"
                | "authentication-results"
                | "dkim-signature"
        )
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

    #[test]
    fn mails_without_an_id_are_told_apart_by_whatever_they_say() {
        let same = |a: &str, b: &str| fingerprint(a.as_bytes()) == fingerprint(b.as_bytes());
        let dated = "From: a@x\r\nTo: b@y\r\nSubject: one\r\nDate: now\r\n\r\nhi\r\n";
        assert!(!same(dated, &dated.replace("one", "two")));
        assert!(!same(dated, &dated.replace("To: b", "To: c")));
        assert!(!same(dated, &dated.replace("To: b", "Cc: b")));
        assert!(same(dated, &format!("Received: by y\r\nX-Mailer: z\r\n{dated}")));
        let bare = "From: a@x\r\nSubject: one\r\nX-Run: 1\r\n\r\nhi\r\n";
        assert!(!same(bare, &bare.replace("one", "two")));
        assert!(!same(bare, &bare.replace("X-Run: 1", "X-Run: 2")));
        assert!(same(bare, &format!("Received: by y\r\nDelivered-To: b@y\r\n{bare}")));
    }
}
