//! Bytes from strangers: no parser panics, loops for ever or grows past its bound.

use podmail_smtp_wire::{
    COMMAND_LINE_MAX_BYTES, Capabilities, Command, DataReader, DotStuffer, LineSplitter, ReplyParser, client,
};

use crate::Pseudorandom;

const ROUNDS: usize = 20_000;
/// Pieces of real commands and replies, so that the noise gets past the first byte.
const WORDS: [&[u8]; 22] = [
    b"MAIL FROM:",
    b"RCPT TO:",
    b"EHLO ",
    b"<",
    b">",
    b"@",
    b"\"",
    b"\\",
    b":",
    b"[IPv6:",
    b"]",
    b" SIZE=",
    b"BODY=",
    b" SMTPUTF8",
    b"\r\n",
    b"250-",
    b"250 ",
    b"5.1.1",
    b".",
    b"\xc3\xa9",
    b"example",
    b"\0",
];

fn noise(random: &mut Pseudorandom) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.below(30) {
        if random.below(3) == 0 {
            bytes.push(u8::try_from(random.next() & 0xff).unwrap());
        } else {
            bytes.extend_from_slice(WORDS[random.below(WORDS.len())]);
        }
    }
    bytes
}

#[test]
fn noise_never_panics() {
    let mut random = Pseudorandom(0x5eed);
    let mut splitter = LineSplitter::new();
    let mut replies = ReplyParser::new();
    let mut buffer = Vec::new();
    for _ in 0..ROUNDS {
        let bytes = noise(&mut random);
        if let Ok(Command::Mail(mail)) = Command::parse(&bytes)
            && let Some(address) = mail.address
        {
            client::write_rcpt_to(&mut Vec::new(), &address).expect("what we take, we can send");
        }
        buffer.extend_from_slice(&bytes);
        loop {
            let split = splitter.next_line(&buffer);
            let (consumed, more) = (split.consumed, split.line.is_some());
            buffer.drain(..consumed);
            if !more {
                break;
            }
        }
        assert!(buffer.len() < COMMAND_LINE_MAX_BYTES);
        match replies.feed(&bytes) {
            Ok((_, Some(reply))) => drop(Capabilities::parse(&reply)),
            Ok((_, None)) => {}
            Err(_) => replies = ReplyParser::new(),
        }
    }
}

#[test]
fn noise_after_data_stays_within_the_limit() {
    const MAX: usize = 500;
    let mut random = Pseudorandom(0xda7a);
    let mut reader = DataReader::new(MAX, MAX);
    for _ in 0..ROUNDS {
        let bytes = noise(&mut random);
        let progress = reader.feed(&bytes);
        assert!(progress.consumed <= bytes.len() && reader.stored_bytes() <= MAX);
        assert!(progress.done || progress.consumed == bytes.len());
        if progress.done {
            reader = DataReader::new(MAX, MAX);
        }
        let (mut stuffer, mut out) = (DotStuffer::new(), Vec::new());
        stuffer.push(&bytes, &mut out);
        stuffer.finish(&mut out);
        assert!(out.len() <= 2 * bytes.len() + 5);
    }
}
