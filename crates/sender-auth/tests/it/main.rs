//! Signatures, checked by an independent verifier that finds the key in a cached TXT record.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests; a panic is a failed test"
)]

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::LazyLock;
use std::time::Instant;

use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::hickory_resolver::config::{ResolverConfig, ResolverOpts};
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt};
use podmail_sender_auth::{DkimKey, Error, Signer, generate_rsa_2048};

mod verify;

const NOW: u64 = 1_767_225_600;

static KEY: LazyLock<DkimKey> = LazyLock::new(|| generate_rsa_2048().unwrap());

/// DNS as the verifier sees it.
struct Records(HashMap<Box<str>, Txt>);

impl ResolverCache<Box<str>, Txt> for Records {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(name).cloned()
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

fn signer() -> Signer {
    Signer::new("acme.example", "pod1", &KEY.private_pkcs8).unwrap()
}

/// Whether the verifier accepts the one signature of a message.
async fn verifies(message: &[u8]) -> bool {
    let record = DomainKey::parse(KEY.record().as_bytes()).unwrap();
    let name = "pod1._domainkey.acme.example.".to_owned().into_boxed_str();
    let records = Records(HashMap::from([(name, Txt::from(record))]));
    let verifier = MessageAuthenticator::new(ResolverConfig::default(), ResolverOpts::default()).unwrap();
    let parsed = AuthenticatedMessage::parse(message).unwrap();
    let outputs = verifier.verify_dkim(Parameters::new(&parsed).with_txt_cache(&records)).await;
    assert_eq!(outputs.len(), 1);
    *outputs[0].result() == DkimResult::Pass
}

/// The message with the signature of `original` in front.
fn with_signature(original: &str, message: &str) -> Vec<u8> {
    let mut bytes = signer().sign(original.as_bytes(), NOW).unwrap().into_bytes();
    bytes.extend_from_slice(message.as_bytes());
    bytes
}

const FULL: &str = concat!(
    "Received: from a by b; Thu, 1 Jan 2026 00:00:00 +0000\r\n",
    "From: \"Agent  One\" <one@acme.example>\r\n",
    "To: a@x.example,\r\n b@x.example,\r\n\tc@x.example\r\n",
    "CC:d@x.example\r\n",
    "Subject:   A  folded\r\n   subject \t \r\n",
    "Date: Thu, 1 Jan 2026 00:00:00 +0000\r\n",
    "Message-ID: <1@acme.example>\r\n",
    "MIME-Version: 1.0\r\n",
    "Content-Type: text/plain; charset=utf-8\r\n",
    "Content-Transfer-Encoding: 8bit\r\n",
    "Reply-To: r@acme.example\r\n",
    "In-Reply-To: <0@x.example>\r\n",
    "References: <a@x.example>\r\n <0@x.example>\r\n",
    "List-Unsubscribe: <mailto:u@acme.example>\r\n",
    "\r\n",
    "Hello  there \t \r\n",
    "\r\n",
    ".dot \u{fc} and a long gap\t\t\tend\r\n",
);

#[tokio::test]
async fn signatures_verify_whatever_the_message_looks_like() {
    let table = [
        ("full", FULL.to_owned()),
        ("empty body", "From: a@acme.example\r\nSubject: x\r\n\r\n".to_owned()),
        ("no blank line", "From: a@acme.example\r\nSubject: x\r\n".to_owned()),
        ("only empty lines", "From: a@acme.example\r\n\r\n\r\n\r\n".to_owned()),
        ("empty lines at the end", "From: a@acme.example\r\n\r\nHi\r\n\r\n\r\n".to_owned()),
        ("no line end at the end", "From: a@acme.example\r\n\r\nHi".to_owned()),
        // White space alone on the last lines is left out here: the verifier keeps such lines, against section 3.4.4.
        (
            "trailing spaces",
            "From: a@acme.example  \r\nSubject: \t x \t\r\n\r\nHi \t\r\n \r\nx  \r\n".to_owned(),
        ),
        ("empty line first", "From: a@acme.example\r\n\r\n\r\nHi\r\n".to_owned()),
        (
            "repeated headers",
            "To: a@x.example\r\nFrom: a@acme.example\r\nTo: b@x.example\r\n\r\nHi\r\n".to_owned(),
        ),
        (
            "many recipients",
            format!(
                "From: a@acme.example\r\nTo: {}\r\n\r\nHi\r\n",
                "a@x.example,\r\n ".repeat(500) + "z@x.example"
            ),
        ),
    ];
    for (name, message) in table {
        assert!(verifies(&with_signature(&message, &message)).await, "{name}");
    }
}

#[tokio::test]
async fn a_message_changed_on_the_way_fails_and_white_space_may_change() {
    let table = [
        ("body", FULL.replace("there", "theirs"), false),
        ("a line added", format!("{FULL}more\r\n"), false),
        ("subject", FULL.replace("subject", "object"), false),
        ("a second From", format!("From: evil@x.example\r\n{FULL}"), false),
        ("recipient", FULL.replace("c@x.example", "e@x.example"), false),
        ("unsigned header", format!("X-New: 1\r\n{FULL}"), true),
        ("other folding", FULL.replace(",\r\n b@", ", b@"), true),
        ("empty lines at the end", format!("{FULL}\r\n\r\n"), true),
        ("spaces", FULL.replace("Hello  there \t \r\n", "Hello there\r\n"), true),
        ("case of a name", FULL.replace("Subject:", "SUBJECT:"), true),
    ];
    for (name, message, want) in table {
        assert_eq!(verifies(&with_signature(FULL, &message)).await, want, "{name}");
    }
}

#[tokio::test]
async fn bare_line_ends_are_signed_as_they_will_be_transmitted() {
    let stored = FULL.replace("\r\n", "\n");
    assert!(verifies(&with_signature(&stored, FULL)).await);
}

#[test]
fn the_header_is_folded_and_names_what_it_covers() {
    let header = signer().sign(FULL.as_bytes(), NOW).unwrap();
    assert!(header.starts_with(
        "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=acme.example;\r\n\ts=pod1; t=1767225600;\r\n\th=From:From:To:Cc:Subject:Date:Message-ID:"
    ), "{header}");
    assert!(header.ends_with("\r\n"));
    for line in header.trim_end().split("\r\n").skip(1) {
        assert!(line.starts_with('\t') && line.len() <= 100, "{line}");
    }
    assert_eq!(header, signer().sign(FULL.as_bytes(), NOW).unwrap());
}

#[test]
fn keys_and_names_are_checked() {
    assert_eq!(Signer::new("acme.example", "s", b"nonsense").unwrap_err(), Error::Key);
    assert_eq!(Signer::new("acme.example;\r\n", "s", &KEY.private_pkcs8).unwrap_err(), Error::Name);
    assert_eq!(Signer::new("acme.example", "", &KEY.private_pkcs8).unwrap_err(), Error::Name);
    assert_eq!(signer().sign(b"To: a@x.example\r\n\r\n", NOW).unwrap_err(), Error::NoFrom);
    assert_eq!(signer().sign(b"", NOW).unwrap_err(), Error::NoFrom);
    let many = format!("From: a@acme.example\r\n{}\r\n", "To: a@x.example\r\n".repeat(200));
    assert_eq!(signer().sign(many.as_bytes(), NOW).unwrap_err(), Error::TooManyFields);
    let record = KEY.record();
    assert!(record.starts_with("v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"), "{record}");
    assert!(!format!("{:?} {:?}", *KEY, signer()).contains("private"));
}
