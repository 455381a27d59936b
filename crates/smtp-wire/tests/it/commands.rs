//! Commands.

use podmail_smtp_wire::{Body, Command, CommandError, MailFrom, RcptTo};

fn mail(address: Option<&str>) -> MailFrom<'_> {
    MailFrom { address: address.map(Into::into), size: None, body: None, smtputf8: false }
}

#[test]
fn commands_parse_in_any_case() {
    for (line, want) in [
        ("EHLO mx.example", Command::Ehlo("mx.example")),
        ("helo [192.0.2.1]", Command::Helo("[192.0.2.1]")),
        ("EHLO under_score", Command::Ehlo("under_score")),
        ("MAIL FROM:<a@b.example>", Command::Mail(mail(Some("a@b.example")))),
        ("Mail From: <a@b.example> ", Command::Mail(mail(Some("a@b.example")))),
        ("MAIL FROM:<>", Command::Mail(mail(None))),
        (
            "MAIL FROM:<a@b.example> SIZE=1024 BODY=8bitmime SMTPUTF8",
            Command::Mail(MailFrom {
                size: Some(1024),
                body: Some(Body::EightBitMime),
                smtputf8: true,
                ..mail(Some("a@b.example"))
            }),
        ),
        (
            "MAIL FROM:<é@b.example> smtputf8 body=7BIT size=99999999999999999999",
            Command::Mail(MailFrom {
                size: Some(u64::MAX),
                body: Some(Body::SevenBit),
                smtputf8: true,
                ..mail(Some("é@b.example"))
            }),
        ),
        ("RCPT TO:<a@b.example>", Command::Rcpt(RcptTo::Address("a@b.example".into()))),
        ("RCPT TO:<@r.example:a@b.example>", Command::Rcpt(RcptTo::Address("a@b.example".into()))),
        ("rcpt to:<é@b.example>", Command::Rcpt(RcptTo::Address("é@b.example".into()))),
        ("RCPT TO:<PostMaster>", Command::Rcpt(RcptTo::Postmaster)),
        ("data", Command::Data),
        ("DATA ", Command::Data),
        ("RSET", Command::Rset),
        ("NOOP anything at all", Command::Noop),
        ("QUIT", Command::Quit),
        ("VRFY someone", Command::Vrfy),
        ("HELP", Command::Help),
        ("StartTLS", Command::StartTls),
        ("AUTH PLAIN AAAA", Command::NotOffered),
        ("BDAT 10 LAST", Command::NotOffered),
        ("EXPN list", Command::NotOffered),
    ] {
        assert_eq!(Command::parse(line.as_bytes()), Ok(want), "{line}");
    }
}

#[test]
fn wrong_commands_are_refused_with_the_right_codes() {
    for (line, want, codes) in [
        (&b""[..], CommandError::Unknown, (500, "5.5.2")),
        (b"GET / HTTP/1.1", CommandError::Unknown, (500, "5.5.2")),
        (b"NOOPE", CommandError::Unknown, (500, "5.5.2")),
        (b"NOOP \xff", CommandError::Bytes, (500, "5.5.2")),
        (b"NOOP\rQUIT", CommandError::Bytes, (500, "5.5.2")),
        (b"NOOP \0", CommandError::Bytes, (500, "5.5.2")),
        (b"EHLO", CommandError::Arguments, (501, "5.5.4")),
        (b"EHLO two words", CommandError::Arguments, (501, "5.5.4")),
        (b"DATA now", CommandError::Arguments, (501, "5.5.4")),
        (b"STARTTLS now", CommandError::Arguments, (501, "5.5.4")),
        (b"MAIL", CommandError::Arguments, (501, "5.5.4")),
        (b"MAIL TO:<a@b.example>", CommandError::Arguments, (501, "5.5.4")),
        (b"MAIL FROM:a@b.example", CommandError::Sender, (501, "5.1.7")),
        (b"MAIL FROM:<a>", CommandError::Sender, (501, "5.1.7")),
        (b"MAIL FROM:<a@b.example>SIZE=1", CommandError::Arguments, (501, "5.5.4")),
        (b"MAIL FROM:<a@b.example> SIZE=-1", CommandError::Arguments, (501, "5.5.4")),
        (b"MAIL FROM:<a@b.example> SIZE", CommandError::Arguments, (501, "5.5.4")),
        (b"MAIL FROM:<a@b.example> SIZE=1 SIZE=1", CommandError::Arguments, (501, "5.5.4")),
        (b"MAIL FROM:<a@b.example> BODY=BINARYMIME", CommandError::Arguments, (501, "5.5.4")),
        (b"MAIL FROM:<a@b.example> RET=FULL", CommandError::Parameter, (555, "5.5.4")),
        (b"MAIL FROM:<a@b.example> AUTH=<>", CommandError::Parameter, (555, "5.5.4")),
        (b"MAIL FROM:<a@b.example> SMTPUTF8=1", CommandError::Parameter, (555, "5.5.4")),
        (b"MAIL FROM:<\xc3\xa9@b.example>", CommandError::NeedsSmtpUtf8, (553, "5.6.7")),
        (b"RCPT TO:<>", CommandError::Recipient, (501, "5.1.3")),
        (b"RCPT TO:<abuse>", CommandError::Recipient, (501, "5.1.3")),
        (b"RCPT TO:<a@b.example> NOTIFY=NEVER", CommandError::Parameter, (555, "5.5.4")),
    ] {
        assert_eq!(Command::parse(line), Err(want), "{:?}", String::from_utf8_lossy(line));
        assert_eq!(want.codes(), codes);
    }
}
