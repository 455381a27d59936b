//! Messages on their way out.

use std::borrow::Cow;

use podmail_smtp_wire::{DotStuffer, normalize_line_ends};

use crate::Pseudorandom;

fn stuffed(pieces: &[&[u8]]) -> Vec<u8> {
    let (mut stuffer, mut out) = (DotStuffer::new(), Vec::new());
    for piece in pieces {
        stuffer.push(piece, &mut out);
    }
    stuffer.finish(&mut out);
    out
}

#[test]
fn messages_are_stuffed_and_their_line_ends_made_whole() {
    for (message, want) in [
        (&b""[..], &b".\r\n"[..]),
        (b"a", b"a\r\n.\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b"a\r\n.\r\nb\r\n", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a.b\r\n..c\r\n", b"a.b\r\n...c\r\n.\r\n"),
        (b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r.\rb\r", b"a\r\n..\r\nb\r\n.\r\n"),
        (b"a\r\n.\r", b"a\r\n..\r\n.\r\n"),
        (b"a\r\r\nb", b"a\r\n\r\nb\r\n.\r\n"),
        (b"a\n\rb", b"a\r\n\r\nb\r\n.\r\n"),
    ] {
        assert_eq!(stuffed(&[message]), want, "{:?}", String::from_utf8_lossy(message));
    }
}

#[test]
fn pieces_are_stuffed_like_the_whole() {
    let mut random = Pseudorandom(13);
    for _ in 0..10_000 {
        let message = random.bytes(b"\r\n..ab", 40);
        let pieces = random.pieces(&message);
        assert_eq!(stuffed(&pieces), stuffed(&[&message]), "{:?}", String::from_utf8_lossy(&message));
    }
}

#[test]
fn whole_line_ends_are_borrowed() {
    assert!(matches!(normalize_line_ends(b"a\r\n\r\nb\r\n"), Cow::Borrowed(_)));
    assert!(matches!(normalize_line_ends(b""), Cow::Borrowed(_)));
    assert_eq!(normalize_line_ends(b"a\nb\r\r\nc").as_ref(), b"a\r\nb\r\n\r\nc\r\n");
}
