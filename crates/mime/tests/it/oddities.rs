//! Headers and parts that are not written as they should be, and what is made of them.

use podmail_mime::parse;

fn with(header: &str) -> podmail_mime::Parsed {
    parse(format!("{}\r\n\r\nbody\r\n", header.replace('\n', "\r\n")).as_bytes())
}

#[test]
fn subjects_are_decoded_to_one_line() {
    for (subject, want) in [
        ("=?utf-8?Q?a=0D=0AX-Injected:_b?=", "a X-Injected: b"),
        ("bell =?utf-8?Q?=07?= rings", "bell rings"),
        ("=?utf-8?B?SGVsbG8?=", "Hello"),
        ("=?utf-8?Q?=E4=BD?= =?utf-8?Q?=A0=E5=A5=BD?=", "你好"),
        ("(=?utf-8?q?=C3=BC?=)", "(ü)"),
        ("plain", "plain"),
    ] {
        assert_eq!(with(&format!("Subject: {subject}")).subject.as_deref(), Some(want), "{subject}");
    }
}

#[test]
fn senders_are_found_behind_commas_and_routes() {
    for (from, want) in [
        ("Smith, John J. <js@x.test>", "John J. <js@x.test>"),
        ("X <@relay.test:q@x.test>", "X <q@x.test>"),
        ("\"Smith, John\" <js@x.test>", "Smith, John <js@x.test>"),
        ("\"a b\"@x.test", "\"a b\"@x.test"),
        ("=?utf-8?B?SGVsbG8?= <h@x.test>", "Hello <h@x.test>"),
    ] {
        let parsed = with(&format!("From: {from}"));
        assert_eq!(parsed.from.map(|from| from.to_string()).as_deref(), Some(want), "{from}");
    }
}

#[test]
fn a_line_that_is_no_field_hides_none_of_those_below_it() {
    for stray in ["no colon here", "From ann@x.test Thu Jan  1 00:00:00 2026", ">From ann@x.test Thu Jan  1"]
    {
        let parsed = with(&format!("Message-ID: <a@x.test>\n{stray}\nSubject: s\nFrom: a@x.test"));
        assert_eq!(parsed.subject.as_deref(), Some("s"), "{stray}");
        assert_eq!(parsed.from.map(|from| from.address).as_deref(), Some("a@x.test"), "{stray}");
        assert_eq!(parsed.text.as_deref(), Some("body\n"), "{stray}");
    }
    // The mark of a mailbox file.
    assert_eq!(with("From ann@x.test Thu Jan  1\nSubject: s").subject.as_deref(), Some("s"));
    // Below the last field a text begins, with or without an empty line.
    let text = parse(b"Subject: s\r\nFrom here on it is text\r\nand more\r\n").text;
    assert_eq!(text.as_deref(), Some("From here on it is text\nand more\n"));
}

#[test]
fn a_part_keeps_its_whole_type_for_being_passed_on() {
    let header = "MIME-Version: 1.0\nContent-Type: text/calendar; method=REQUEST; charset=utf-8\n\
                  Content-Disposition: attachment; filename=i.ics";
    let parsed = with(header);
    let part = &parsed.attachments[0];
    assert_eq!(part.content_type.as_deref(), Some("text/calendar"));
    assert_eq!(part.declared_type.as_deref(), Some("text/calendar; method=REQUEST; charset=utf-8"));
}

#[test]
fn bytes_without_a_named_character_set_are_what_they_look_like() {
    for (charset, body, want) in [
        ("", &b"Gr\xfc\xdfe"[..], "Grüße\n"),
        ("; charset=us-ascii", &b"Gr\xfc\xdfe"[..], "Grüße\n"),
        ("; charset=utf-8", &b"Gr\xfc"[..], "Gr\u{fffd}\n"),
        ("", "Größe".as_bytes(), "Größe\n"),
    ] {
        let mut raw = format!("Content-Type: text/plain{charset}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
            .into_bytes();
        raw.extend_from_slice(body);
        raw.extend_from_slice(b"\r\n");
        assert_eq!(parse(&raw).text.as_deref(), Some(want), "{charset}");
    }
    let html =
        b"Content-Type: text/html\r\n\r\n<meta charset=windows-1251><p>\xcf\xf0\xe8\xe2\xe5\xf2</p>\r\n";
    assert!(parse(html).html.unwrap().contains("Привет"));
}
