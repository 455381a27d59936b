//! Replies and what servers offer.

use podmail_smtp_wire::client::{self, MailParameters, UnsafeArgument};
use podmail_smtp_wire::{
    Capabilities, EnhancedCode, REPLY_LINE_MAX_BYTES, REPLY_LINES_MAX, Reply, ReplyError, ReplyParser,
    write_lines, write_reply,
};

use crate::Pseudorandom;

fn parse(pieces: &[&[u8]]) -> Result<Vec<Reply>, ReplyError> {
    let (mut parser, mut replies) = (ReplyParser::new(), Vec::new());
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let (consumed, reply) = parser.feed(rest)?;
            rest = &rest[consumed..];
            replies.extend(reply);
        }
    }
    Ok(replies)
}

fn one(input: &str) -> Reply {
    parse(&[input.as_bytes()]).unwrap().remove(0)
}

#[test]
fn replies_are_written_line_by_line() {
    let mut out = Vec::new();
    write_reply(&mut out, 250, "2.0.0", "Ok");
    write_reply(&mut out, 554, "5.7.1", "first\nsecond\r\n250 é");
    write_lines(&mut out, 250, &["mx.example", "PIPELINING"]);
    write_reply(&mut out, 354, "", "Go on");
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "250 2.0.0 Ok\r\n554-5.7.1 first\r\n554-5.7.1 second?\r\n554 5.7.1 250 ??\r\n\
         250-mx.example\r\n250 PIPELINING\r\n354 Go on\r\n"
    );
}

#[test]
fn long_texts_are_broken_into_lines_of_at_most_512_bytes() {
    let mut out = Vec::new();
    write_reply(&mut out, 550, "5.1.1", &"x".repeat(2_000));
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.matches('x').count(), 2_000);
    assert!(text.split_inclusive("\r\n").all(|line| line.len() <= 512));
    assert_eq!(one(&text).lines.len(), 5);
}

#[test]
fn replies_parse() {
    for (input, code, enhanced, lines) in [
        ("250 Ok\r\n", 250, None, vec!["Ok"]),
        ("250\r\n", 250, None, vec![""]),
        ("250 2.1.0 Ok\n", 250, Some((2, 1, 0)), vec!["2.1.0 Ok"]),
        (
            "550-5.1.1 No\r\n550 5.1.1 such user\r\n",
            550,
            Some((5, 1, 1)),
            vec!["5.1.1 No", "5.1.1 such user"],
        ),
        ("550 2.1.1 class differs\r\n", 550, None, vec!["2.1.1 class differs"]),
        ("250 1.2.3.4 is you\r\n", 250, None, vec!["1.2.3.4 is you"]),
        ("250-a\r\n451 b\r\n", 451, None, vec!["a", "b"]),
        ("220 \u{e9}\r\n", 220, None, vec!["\u{e9}"]),
    ] {
        let enhanced = enhanced.map(|(class, subject, detail)| EnhancedCode { class, subject, detail });
        let lines = lines.into_iter().map(str::to_owned).collect();
        assert_eq!(one(input), Reply { code, enhanced, lines }, "{input}");
    }
}

#[test]
fn what_is_no_reply_is_an_error() {
    for input in ["HTTP/1.1 400\r\n", "25\r\n", "\r\n", "199 x\r\n", "600 x\r\n", "250_x\r\n", "25é x\r\n"] {
        assert_eq!(parse(&[input.as_bytes()]), Err(ReplyError::Syntax), "{input}");
    }
}

#[test]
fn replies_are_bounded() {
    let longest = format!("250 {}\r\n", "x".repeat(REPLY_LINE_MAX_BYTES - 6));
    assert_eq!(parse(&[longest.as_bytes()]).unwrap().len(), 1);
    assert_eq!(parse(&[b"2", longest.as_bytes()]), Err(ReplyError::LineTooLong));
    let endless = vec![b'2'; REPLY_LINE_MAX_BYTES + 1];
    assert_eq!(parse(&[&endless]), Err(ReplyError::LineTooLong));
    let most = "250-x\r\n".repeat(REPLY_LINES_MAX - 1) + "250 x\r\n";
    assert_eq!(one(&most).lines.len(), REPLY_LINES_MAX);
    let more = "250-x\r\n".repeat(REPLY_LINES_MAX + 1);
    assert_eq!(parse(&[more.as_bytes()]), Err(ReplyError::TooManyLines));
}

#[test]
fn replies_split_anywhere_are_the_same_replies() {
    let input = b"220 mx\r\n250-mx\r\n250-SIZE 5\r\n250 HELP\r\n354 go\n550 5.1.1 no\r\n";
    let whole = parse(&[input]).unwrap();
    assert_eq!(whole.len(), 4);
    let mut random = Pseudorandom(5);
    for _ in 0..1_000 {
        let pieces = random.pieces(input);
        assert_eq!(parse(&pieces).unwrap(), whole);
    }
}

#[test]
fn capabilities_parse_in_any_case() {
    let reply = one(
        "250-mx.example STARTTLS\r\n250-size 1000\r\n250-Pipelining\r\n250-8BITMIME\r\n250-AUTH PLAIN login\r\n\
         250-AUTH=LOGIN\r\n250-X-UNKNOWN 1\r\n250 SMTPUTF8\r\n",
    );
    let want = Capabilities {
        size: true,
        size_max: Some(1000),
        pipelining: true,
        eight_bit_mime: true,
        smtputf8: true,
        auth: vec!["PLAIN".into(), "LOGIN".into()],
        ..Capabilities::default()
    };
    assert_eq!(Capabilities::parse(&reply), want);
    let unlimited =
        Capabilities::parse(&one("250-mx\r\n250-SIZE 0\r\n250-DSN\r\n250-CHUNKING\r\n250 STARTTLS\r\n"));
    assert_eq!((unlimited.size, unlimited.size_max), (true, None));
    assert!(unlimited.dsn && unlimited.chunking && unlimited.starttls && !unlimited.pipelining);
}

#[test]
fn client_commands_are_written_and_checked() {
    let mut out = Vec::new();
    client::write_ehlo(&mut out, "mx.example").unwrap();
    client::write_mail_from(&mut out, None, MailParameters::default()).unwrap();
    let parameters = MailParameters { size: Some(9), eight_bit_mime: true, smtputf8: true };
    client::write_mail_from(&mut out, Some("é@b.example"), parameters).unwrap();
    client::write_rcpt_to(&mut out, "\"a b\"@b.example").unwrap();
    let written = "EHLO mx.example\r\nMAIL FROM:<>\r\n\
                   MAIL FROM:<é@b.example> SIZE=9 BODY=8BITMIME SMTPUTF8\r\nRCPT TO:<\"a b\"@b.example>\r\n";
    assert_eq!(String::from_utf8_lossy(&out), written);
    for address in
        ["a@b.example>\r\nRCPT TO:<c@d.example", "a\r\n@b.example", "a@b.example> SIZE=1", "", "a", "a b@c"]
    {
        assert_eq!(client::write_rcpt_to(&mut out, address), Err(UnsafeArgument), "{address:?}");
    }
    assert_eq!(client::write_ehlo(&mut out, "a\r\nQUIT"), Err(UnsafeArgument));
    assert_eq!(String::from_utf8_lossy(&out), written);
}
