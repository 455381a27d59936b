//! The message after `DATA`.

use podmail_smtp_wire::{DataReader, DotStuffer};

use crate::Pseudorandom;

const MAX: usize = 1_000_000;

/// Content and number of bytes consumed, if the message ended.
fn read(pieces: &[&[u8]]) -> Option<(Vec<u8>, usize)> {
    let mut reader = DataReader::new(MAX, 0);
    let mut total = 0;
    for piece in pieces {
        let progress = reader.feed(piece);
        total += progress.consumed;
        if progress.done {
            return Some((reader.into_content().unwrap(), total));
        }
        assert_eq!(progress.consumed, piece.len(), "everything before the end is consumed");
    }
    None
}

#[test]
fn messages_end_at_the_dot_line_and_lose_their_stuffing() {
    for (input, content, rest) in [
        (&b".\r\n"[..], &b""[..], &b""[..]),
        (b"\r\n.\r\n", b"\r\n", b""),
        (b"a\r\n.\r\nQUIT\r\n", b"a\r\n", b"QUIT\r\n"),
        (b"..\r\n.\r\n", b".\r\n", b""),
        (b"a\r\n..b\r\n.\r\n", b"a\r\n.b\r\n", b""),
        (b"...\r\n.\r\n", b"..\r\n", b""),
        (b".a\r\n.\r\n", b"a\r\n", b""),
        (b"a.\r\n.\r\n.\r\n", b"a.\r\n", b".\r\n"),
        (b"\0\xff\r\n.\r\n", b"\0\xff\r\n", b""),
    ] {
        let (got, consumed) = read(&[input]).expect("the message ends");
        assert_eq!(got, content, "{:?}", String::from_utf8_lossy(input));
        assert_eq!(&input[consumed..], rest, "{:?}", String::from_utf8_lossy(input));
    }
}

/// What other servers have taken for the end of a message, and what it is here.
const FALSE_ENDS: [(&[u8], &[u8]); 14] = [
    (b"\n.\n", b"\n.\n"),
    (b"\n.\r\n", b"\n.\r\n"),
    (b"\r.\r", b"\r.\r"),
    (b"\r.\r\n", b"\r.\r\n"),
    (b"\r\n.\n", b"\r\n\n"),
    (b"\r\n.\r", b"\r\n\r"),
    (b"\r\n.\r\r\n", b"\r\n\r\r\n"),
    (b"\r\n\0.\r\n", b"\r\n\0.\r\n"),
    (b"\r\n.\0\r\n", b"\r\n\0\r\n"),
    (b"\n\n.\r\n", b"\n\n.\r\n"),
    (b"\r\r.\r\n", b"\r\r.\r\n"),
    (b"\n\r.\r\n", b"\n\r.\r\n"),
    (b"\r\n .\r\n", b"\r\n .\r\n"),
    (b"\r\n. \r\n", b"\r\n \r\n"),
];

#[test]
fn lone_line_ends_never_end_a_message() {
    for (end, kept) in FALSE_ENDS {
        let input = [b"a", end, b"MAIL FROM:<evil@b.example>\r\n.\r\nQUIT\r\n"].concat();
        let (content, consumed) = read(&[&input]).expect("the message ends");
        let want = [b"a", kept, b"MAIL FROM:<evil@b.example>\r\n"].concat();
        assert_eq!(content, want, "{:?}", String::from_utf8_lossy(end));
        assert_eq!(&input[consumed..], b"QUIT\r\n");
    }
}

#[test]
fn messages_split_anywhere_are_the_same_messages() {
    let mut random = Pseudorandom(7);
    for _ in 0..20_000 {
        let input = [random.bytes(b"\r\n..a\r\n", 40), b"\r\n.\r\nNOOP".to_vec()].concat();
        let whole = read(&[&input]).expect("the message ends");
        let pieces = random.pieces(&input);
        assert_eq!(read(&pieces).as_ref(), Some(&whole), "{:?}", String::from_utf8_lossy(&input));
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(read(&bytes), Some(whole), "{:?}", String::from_utf8_lossy(&input));
    }
}

#[test]
fn what_the_stuffer_writes_the_reader_reads() {
    let mut random = Pseudorandom(3);
    for _ in 0..5_000 {
        let message = random.bytes(b"\r\n..ab", 60);
        let (mut stuffer, mut wire) = (DotStuffer::new(), Vec::new());
        stuffer.push(&message, &mut wire);
        stuffer.finish(&mut wire);
        let (content, consumed) = read(&[&wire]).expect("the message ends");
        assert_eq!(consumed, wire.len());
        assert_eq!(content, podmail_smtp_wire::normalize_line_ends(&message).as_ref());
    }
}

#[test]
fn content_beyond_the_limit_is_counted_and_not_stored() {
    let mut reader = DataReader::new(10, 1_000_000);
    assert!(!reader.feed(b"12345678\r\n").done);
    assert_eq!((reader.stored_bytes(), reader.is_too_large()), (10, false));
    assert!(!reader.feed(b"x").done);
    assert_eq!((reader.stored_bytes(), reader.seen_bytes(), reader.is_too_large()), (0, 11, true));
    let progress = reader.feed(b"yz\r\n.\r\nQUIT");
    assert_eq!((progress.done, progress.consumed, reader.seen_bytes()), (true, 7, 15));
    assert_eq!(reader.into_content(), None);
}

#[test]
fn content_of_exactly_the_limit_is_stored() {
    let mut reader = DataReader::new(10, 0);
    assert!(reader.feed(b"12345678\r\n.\r\n").done);
    assert_eq!(reader.into_content(), Some(b"12345678\r\n".to_vec()));
}

#[test]
fn discarded_content_stays_discarded() {
    let mut reader = DataReader::new(10, 0);
    reader.feed(b"1");
    reader.discard();
    assert!(reader.feed(b"\r\n.\r\n").done);
    assert!(!reader.is_too_large());
    assert_eq!(reader.into_content(), None);
}
