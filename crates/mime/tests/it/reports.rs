//! Bounces and complaints as the mail servers of the world write them.

use podmail_mime::{Action, DeliveryStatus, Feedback, FeedbackKind, Report, report};

fn raw(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reports").join(name);
    crate::read(&path).replace('\n', "\r\n").into_bytes()
}

fn delivery(raw: &[u8]) -> DeliveryStatus {
    match report(raw) {
        Some(Report::Delivery(status)) => status,
        other => panic!("{other:?}"),
    }
}

fn feedback(raw: &[u8]) -> Feedback {
    match report(raw) {
        Some(Report::Feedback(feedback)) => feedback,
        other => panic!("{other:?}"),
    }
}

#[test]
fn bounces_name_their_recipients_and_codes() {
    for (name, mta, addresses, status, said) in [
        (
            "postfix.eml",
            "mx.client.example",
            vec!["gone@client.example", "Gone@client.example"],
            "5.1.1",
            "550 5.1.1 <gone@client.example>: Recipient address rejected",
        ),
        (
            "exim.eml",
            "relay.client.example",
            vec!["gone@client.example"],
            "5.2.2",
            "552-5.2.2 The email account that you tried to reach is 552-5.2.2 over quota.",
        ),
        (
            "sendmail.eml",
            "smtp.client.example",
            vec!["staff@other.example", "gone@client.example"],
            "5.7.1",
            "550 Mailbox unavailable",
        ),
        (
            "exchange.eml",
            "AM6PR01MB1234.eurprd01.prod.exchangelabs.example",
            vec!["gone@client.example"],
            "5.1.10",
            "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient",
        ),
        (
            "gmail.eml",
            "googlemail.example",
            vec!["gone@client.example"],
            "5.1.1",
            "550-5.1.1 The email account that you tried to reach does not exist.",
        ),
    ] {
        let report = delivery(&raw(name));
        assert_eq!(report.reporting_mta.as_deref(), Some(mta), "{name}");
        let first = &report.recipients[0];
        assert_eq!(first.addresses, addresses, "{name}");
        assert_eq!((first.action, first.status.as_deref()), (Action::Failed, Some(status)), "{name}");
        let diagnostic = first.diagnostic.as_deref().unwrap_or_default();
        assert!(diagnostic.starts_with(said), "{name}: {diagnostic}");
        assert_eq!(report.recipients.len(), if name == "postfix.eml" { 2 } else { 1 }, "{name}");
    }
    let delayed = &delivery(&raw("postfix.eml")).recipients[1];
    assert_eq!((delayed.action, delayed.status.as_deref()), (Action::Delayed, Some("4.4.1")));
    assert_eq!(delayed.addresses, ["slow@client.example"]);
}

#[test]
fn complaints_name_the_message_and_who_complained() {
    for (name, kind, mta, paths) in [
        (
            "aol.eml",
            FeedbackKind::Abuse,
            Some("mta1.mail.yahoo.example"),
            vec!["bounce@mail.acme.example", "bounce@mail.acme.example"],
        ),
        ("jmrp.eml", FeedbackKind::Abuse, None, vec!["bounce@mail.acme.example"]),
    ] {
        let report = feedback(&raw(name));
        assert_eq!((report.kind, report.reporting_mta.as_deref()), (kind, mta), "{name}");
        assert_eq!(report.return_paths, paths, "{name}");
        assert_eq!(report.recipients, ["ada@client.example"], "{name}");
        assert_eq!(report.from.as_deref(), Some("desk@acme.example"), "{name}");
        assert_eq!(report.message_id.as_deref(), Some("<out1@acme.example>"), "{name}");
    }
    for (word, kind) in [
        ("Fraud", FeedbackKind::Fraud),
        ("virus", FeedbackKind::Virus),
        ("other", FeedbackKind::Other),
        ("not-spam", FeedbackKind::NotSpam),
        ("opt-out", FeedbackKind::OptOut),
        ("auth-failure", FeedbackKind::Unrelated),
        ("", FeedbackKind::Unrelated),
    ] {
        let text = String::from_utf8(raw("aol.eml")).expect("text");
        let text = text.replace("Feedback-Type: abuse", &format!("Feedback-Type: {word}"));
        assert_eq!(feedback(text.as_bytes()).kind, kind, "{word}");
    }
}

#[test]
fn what_is_not_clearly_a_report_is_none() {
    assert_eq!(report(&raw("qmail.eml")), None, "prose");
    let postfix = String::from_utf8(raw("postfix.eml")).expect("text");
    for (from, to) in [
        ("multipart/report; report-type=delivery-status;", "multipart/mixed;"),
        ("Content-Type: message/delivery-status", "Content-Type: text/plain"),
    ] {
        assert!(postfix.contains(from));
        assert_eq!(report(postfix.replace(from, to).as_bytes()), None, "{to}");
    }
    // A report that somebody passes on is a message, and no report.
    let passed_on = format!(
        "Content-Type: multipart/mixed; boundary=fw\r\n\r\n--fw\r\n\r\nSee below\r\n--fw\r\n\
         Content-Type: message/rfc822\r\n\r\n{postfix}\r\n--fw--\r\n"
    );
    assert_eq!(report(passed_on.as_bytes()), None);
    for raw in ["", "x", "Content-Type: multipart/report\r\n\r\n", "Content-Type: text/plain\r\n\r\nx"] {
        assert_eq!(report(raw.as_bytes()), None, "{raw:?}");
    }
}

/// A bounce with these lines as its recipients.
fn bounce(groups: &str) -> Vec<u8> {
    format!(
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\
         Content-Type: message/delivery-status\n\n{groups}\n--b--\n"
    )
    .into_bytes()
}

#[test]
fn the_code_of_a_bounce_is_the_more_telling_one() {
    for (fields, want) in [
        ("Status: 5.1.1", Some("5.1.1")),
        ("Status: 5.0.0\nDiagnostic-Code: smtp; 550 5.7.1 no", Some("5.7.1")),
        ("Status: 5.0.0\nDiagnostic-Code: smtp; 450 4.7.1 no", Some("5.0.0")),
        ("Status: 5.0.0\nDiagnostic-Code: smtp; 550 no", Some("5.0.0")),
        ("Diagnostic-Code: smtp; 550 5.2.2 full", Some("5.2.2")),
        ("Diagnostic-Code: smtp; 450 busy", Some("4.0.0")),
        ("Diagnostic-Code: 550 busy", Some("5.0.0")),
        ("Diagnostic-Code: x-unix; 1 of 550 files is missing", None),
        ("Status: five", None),
        ("Status: 5.1.1.1", None),
        ("Status: 3.1.1", None),
        ("Status:", None),
        ("X: y", None),
    ] {
        let raw = bounce(&format!("Final-Recipient: rfc822; a@x.test\nAction: failed\n{fields}\n"));
        assert_eq!(delivery(&raw).recipients[0].status.as_deref(), want, "{fields}");
    }
}

#[test]
fn odd_recipients_and_actions_are_left_out() {
    for (fields, want) in [
        ("Final-Recipient: rfc822; <a@x.test>\nAction: FAILED", vec!["a@x.test"]),
        ("Final-Recipient: a@x.test\nAction: failed", vec!["a@x.test"]),
        ("Final-Recipient: utf-8; \u{e4}@x.test\nAction: failed", vec!["\u{e4}@x.test"]),
        ("Final-Recipient: rfc822; nobody\nAction: failed", vec![]),
        ("Final-Recipient: rfc822; a@x.test", vec![]),
        ("Final-Recipient: rfc822; a@x.test\nAction: exploded", vec![]),
        ("Action: failed\nStatus: 5.1.1", vec![]),
    ] {
        let found: Vec<String> =
            delivery(&bounce(fields)).recipients.into_iter().flat_map(|r| r.addresses).collect();
        assert_eq!(found, want, "{fields}");
    }
}

#[test]
fn hostile_reports_are_bounded() {
    let group = "Final-Recipient: rfc822; a@x.test\nAction: failed\nStatus: 5.1.1\n\n";
    assert_eq!(delivery(&bounce(&group.repeat(5_000))).recipients.len(), 200);
    assert_eq!(delivery(&bounce(&"no field here\n".repeat(50_000))).recipients.len(), 0);
    assert_eq!(delivery(&bounce(&"\n".repeat(200_000))).recipients.len(), 0);
    let long = format!("Final-Recipient: rfc822; {}@x.test\nAction: failed\n", "a".repeat(100_000));
    assert_eq!(delivery(&bounce(&long)).recipients.len(), 0);
    let said =
        format!("Final-Recipient: a@x.test\nAction: failed\nDiagnostic-Code: smtp; {}\n", "x ".repeat(9_000));
    assert_eq!(delivery(&bounce(&said)).recipients[0].diagnostic.as_ref().map(String::len), Some(500));
    let complainers = format!(
        "Content-Type: multipart/report; boundary=b\n\n--b\nContent-Type: message/feedback-report\n\n\
         Feedback-Type: abuse\n{}\n--b--\n",
        "Original-Rcpt-To: a@x.test\n".repeat(900)
    );
    assert_eq!(feedback(complainers.as_bytes()).recipients.len(), 50);
    let nested = format!(
        "Content-Type: multipart/report; boundary=b\n\n{}",
        "--b\nContent-Type: multipart/report; boundary=c\n\n".repeat(20_000)
    );
    assert_eq!(report(nested.as_bytes()), None);
    for path in crate::files("reports", "eml") {
        let whole = crate::read(&path);
        for end in (0..whole.len()).filter(|end| whole.is_char_boundary(*end)) {
            drop(report(&whole.as_bytes()[..end]));
        }
    }
}
