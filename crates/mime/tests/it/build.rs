//! Messages that are built read back as they were meant.

use podmail_mime::{Disposition, Mailbox, Outgoing, OutgoingPart, build, parse, part_bytes};

fn mailbox(s: &str) -> Mailbox {
    Mailbox::parse(s).expect("a valid mailbox")
}

fn message() -> Outgoing {
    Outgoing {
        message_id: "<1@pod.test>".to_owned(),
        date: 1_772_616_600,
        from: mailbox("Jörg Müller <agent@pod.test>"),
        to: vec![mailbox("\"Smith, J\" <j@x.test>"), mailbox("日本語の名前 <n@x.test>")],
        cc: vec![mailbox("c@x.test")],
        reply_to: vec![mailbox("r@x.test")],
        subject: Some("Hi".to_owned()),
        text: None,
        html: None,
        in_reply_to: None,
        references: Vec::new(),
        headers: Vec::new(),
        attachments: Vec::new(),
        boundary_seed: "seed".to_owned(),
    }
}

fn file(name: Option<&str>, content_type: &str, bytes: &[u8]) -> OutgoingPart {
    OutgoingPart {
        filename: name.map(str::to_owned),
        content_type: content_type.to_owned(),
        disposition: Disposition::Attachment,
        content_id: None,
        bytes: bytes.to_vec(),
    }
}

/// Builds twice (equal), checks the lines, parses.
fn sent(m: &Outgoing) -> (Vec<u8>, podmail_mime::Parsed) {
    let raw = build(m);
    assert_eq!(raw, build(m), "building is deterministic");
    for line in raw.split_inclusive(|&b| b == b'\n') {
        let content = line.strip_suffix(b"\r\n").expect("every line ends with CRLF");
        assert!(content.len() <= 998, "{}", content.len());
        assert!(content.is_ascii() && !content.contains(&b'\r'), "{}", String::from_utf8_lossy(content));
    }
    let parsed = parse(&raw);
    (raw, parsed)
}

#[test]
fn the_header_of_a_text_message_is_exact() {
    let m = Outgoing { text: Some("Hello".to_owned()), ..message() };
    let (raw, _) = sent(&m);
    let text = String::from_utf8(raw).expect("ASCII");
    assert_eq!(
        text,
        "From: =?utf-8?B?SsO2cmcgTcO8bGxlcg==?= <agent@pod.test>\r\n\
         To: \"Smith, J\" <j@x.test>, =?utf-8?B?5pel5pys6Kqe44Gu5ZCN5YmN?= <n@x.test>\r\n\
         Cc: <c@x.test>\r\n\
         Reply-To: <r@x.test>\r\n\
         Subject: Hi\r\n\
         Date: Wed, 4 Mar 2026 09:30:00 +0000\r\n\
         Message-ID: <1@pod.test>\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=\"utf-8\"\r\n\
         Content-Transfer-Encoding: 7bit\r\n\r\nHello\r\n"
    );
}

#[test]
fn a_full_message_survives_the_round_trip() {
    let long_line = "x".repeat(2_000);
    let m = Outgoing {
        subject: Some(format!("Über {} Ende", "lange Betreffzeilen ".repeat(60))),
        text: Some(format!("Grüße\n\n.\nFrom here\n{long_line}\ntrailing \n")),
        html: Some("<p>Grüße <img src=\"cid:logo\"></p>".to_owned()),
        in_reply_to: Some("<0@x.test>".to_owned()),
        references: (0..60).map(|n| format!("<{n}.{}@x.test>", "r".repeat(40))).collect(),
        headers: vec![
            ("X-A".to_owned(), "1".to_owned()),
            ("X-Long".to_owned(), format!("ä {}", "y".repeat(3_000))),
            ("X-Ascii".to_owned(), "y".repeat(3_000)),
            ("List-Unsubscribe".to_owned(), format!("<https://x.test/?{}>", "a=b&".repeat(120))),
            ("X-Literal".to_owned(), "not =?utf-8?q?a?= word".to_owned()),
        ],
        attachments: vec![
            OutgoingPart {
                disposition: Disposition::Inline,
                content_id: Some("logo".to_owned()),
                ..file(Some("logo.png"), "image/png", &[0x89, b'P', 0, 255])
            },
            file(Some("Größe übersicht – 2026.pdf"), "application/pdf", &[7; 5_000]),
            file(Some("a.txt"), "text/plain; charset=utf-8", b"hello\nworld"),
            file(None, "message/rfc822", b"Subject: inner\r\n\r\ninner body\r\n"),
            file(Some("empty"), "nonsense", b""),
            file(Some("m"), "multipart/mixed; boundary=x", b"--x--"),
        ],
        ..message()
    };
    let (raw, p) = sent(&m);
    assert_eq!(p.message_id.as_deref(), Some("<1@pod.test>"));
    assert_eq!(p.date, Some(1_772_616_600));
    assert_eq!(p.from, Some(m.from.clone()));
    assert_eq!((&p.to, &p.cc, &p.reply_to), (&m.to, &m.cc, &m.reply_to));
    assert!(p.bcc.is_empty());
    assert_eq!(p.subject, m.subject);
    assert_eq!(p.text, m.text);
    assert_eq!(p.html, m.html);
    assert_eq!(p.in_reply_to, ["<0@x.test>"]);
    assert_eq!(p.references, m.references);
    let visible: Vec<_> = p
        .headers
        .iter()
        .filter(|(name, _)| name.starts_with('X') || name.starts_with("List"))
        .cloned()
        .collect();
    assert_eq!(visible, m.headers);
    let names: Vec<_> = p.attachments.iter().map(|a| a.filename.as_deref()).collect();
    assert_eq!(
        names,
        [
            Some("logo.png"),
            Some("Größe übersicht – 2026.pdf"),
            Some("a.txt"),
            Some("inner.eml"),
            Some("empty"),
            Some("m")
        ]
    );
    let types: Vec<_> = p.attachments.iter().filter_map(|a| a.content_type.as_deref()).collect();
    assert_eq!(
        types,
        [
            "image/png",
            "application/pdf",
            "text/plain",
            "message/rfc822",
            "application/octet-stream",
            "application/octet-stream"
        ]
    );
    assert_eq!(p.attachments[0].disposition, Disposition::Inline);
    assert_eq!(p.attachments[0].content_id.as_deref(), Some("logo"));
    for (part, given) in p.attachments.iter().zip(&m.attachments) {
        assert_eq!(part_bytes(&raw, part.index).as_ref(), Some(&given.bytes));
    }
    let text = String::from_utf8(raw).expect("ASCII");
    let order: Vec<_> = [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
    ]
    .iter()
    .map(|kind| text.find(kind).expect("present"))
    .collect();
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn structures_are_no_deeper_than_needed() {
    for (text, html, files, want) in [
        (Some("a"), None, 0, "text/plain"),
        (None, Some("a"), 0, "text/html"),
        (Some("a"), Some("a"), 0, "multipart/alternative"),
        (Some("a"), None, 1, "multipart/mixed"),
        (None, None, 1, "multipart/mixed"),
        (None, None, 0, "text/plain"),
    ] {
        let m = Outgoing {
            text: text.map(str::to_owned),
            html: html.map(str::to_owned),
            attachments: vec![file(Some("a.bin"), "application/octet-stream", b"x"); files],
            ..message()
        };
        let (raw, p) = sent(&m);
        let raw = String::from_utf8(raw).expect("ASCII");
        assert!(raw.contains(&format!("MIME-Version: 1.0\r\nContent-Type: {want};")), "{want}: {raw}");
        assert_eq!((p.text.is_some(), p.html.is_some()), (text.is_some(), html.is_some()));
        assert_eq!(p.attachments.len(), files);
    }
}

#[test]
fn a_body_comes_back_exactly_as_it_was_given_but_for_the_line_end_that_is_marked() {
    for body in
        ["Hello", "Hello\n", "two\nlines", "é\n\n", "é", " leading and trailing ", "-- \nsignature", "日本\n"]
    {
        let body = Some(body.to_owned());
        for (text, html) in [(body.clone(), None), (None, body.clone()), (body.clone(), body.clone())] {
            let (raw, mut p) = sent(&Outgoing { text: text.clone(), html: html.clone(), ..message() });
            assert!(raw.ends_with(b"\r\n"));
            if p.last_line_end_added {
                assert!(text.is_none() || html.is_none());
                for body in [&mut p.text, &mut p.html].into_iter().flatten() {
                    assert_eq!(body.pop(), Some('\n'));
                }
            }
            assert_eq!((p.text, p.html), (text, html));
        }
    }
}

#[test]
fn nothing_a_caller_gives_can_add_a_header_line() {
    let m = Outgoing {
        subject: Some("a\r\nBcc: e@x.test".to_owned()),
        from: Mailbox { name: Some("a\r\nBcc: e@x.test".to_owned()), address: "a@pod.test".to_owned() },
        headers: vec![("X-A".to_owned(), "1\r\nBcc: e@x.test".to_owned())],
        in_reply_to: Some("<a@x>\r\nBcc: e@x.test".to_owned()),
        references: vec![format!("<{}@x>", "a".repeat(1_200)), "<b@x>".to_owned()],
        attachments: vec![OutgoingPart {
            content_id: Some("a>\r\nBcc: e@x.test".to_owned()),
            ..file(Some("a\r\nBcc: e@x.test"), "text/plain;\r\nBcc: e@x.test", b"x")
        }],
        text: Some("hi".to_owned()),
        ..message()
    };
    let (raw, p) = sent(&m);
    let raw = String::from_utf8(raw).expect("ASCII");
    assert!(!raw.contains("\r\nBcc:"), "{raw}");
    assert!(p.bcc.is_empty() && p.in_reply_to.is_empty());
    assert_eq!(p.references, ["<b@x>"]);
    assert_eq!(p.subject.as_deref(), Some("a Bcc: e@x.test"));
}

#[test]
fn hidden_recipients_only_leave_a_lawful_header() {
    let (raw, p) = sent(&Outgoing { to: vec![], cc: vec![], text: Some("hi".to_owned()), ..message() });
    assert!(String::from_utf8_lossy(&raw).contains("To: undisclosed-recipients:;\r\n"));
    assert!(p.to.is_empty());
}
