//! Command lines.

use podmail_smtp_wire::{COMMAND_LINE_MAX_BYTES, LineError, LineSplitter};

use crate::Pseudorandom;

/// All lines of the pieces, read as a session reads them.
fn lines(pieces: &[&[u8]]) -> Vec<Result<Vec<u8>, LineError>> {
    let mut splitter = LineSplitter::new();
    let (mut buffer, mut found) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let split = splitter.next_line(&buffer);
            let consumed = split.consumed;
            let line = split.line.map(|line| line.map(<[u8]>::to_vec));
            buffer.drain(..consumed);
            let Some(line) = line else { break };
            found.push(line);
        }
        assert!(buffer.len() < COMMAND_LINE_MAX_BYTES, "the splitter leaves a bounded rest");
    }
    found
}

#[test]
fn lines_end_with_cr_lf_only() {
    let input = b"NOOP\r\nNOOP\nA\rB\r\n\r\nQUIT\r\nrest";
    assert_eq!(
        lines(&[input]),
        [
            Ok(b"NOOP".to_vec()),
            Err(LineError::BareLineFeed),
            Ok(b"A\rB".to_vec()),
            Ok(Vec::new()),
            Ok(b"QUIT".to_vec())
        ]
    );
}

#[test]
fn the_longest_line_passes_and_one_byte_more_does_not() {
    let longest = [vec![b'x'; COMMAND_LINE_MAX_BYTES - 2], b"\r\n".to_vec()].concat();
    let longer = [vec![b'x'; COMMAND_LINE_MAX_BYTES - 1], b"\r\nNOOP\r\n".to_vec()].concat();
    assert_eq!(lines(&[&longest]), [Ok(vec![b'x'; COMMAND_LINE_MAX_BYTES - 2])]);
    assert_eq!(lines(&[&longer]), [Err(LineError::TooLong), Ok(b"NOOP".to_vec())]);
    let bytes: Vec<&[u8]> = longer.chunks(1).collect();
    assert_eq!(lines(&bytes), [Err(LineError::TooLong), Ok(b"NOOP".to_vec())]);
}

#[test]
fn lines_split_anywhere_are_the_same_lines() {
    let mut random = Pseudorandom(11);
    for _ in 0..2_000 {
        let mut input = random.bytes(b"ab\r\n \r\n", 60);
        if random.below(4) == 0 {
            let long = vec![b'y'; COMMAND_LINE_MAX_BYTES - 20 + random.below(40)];
            input.splice(0..0, long);
        }
        let whole = lines(&[&input]);
        let pieces = random.pieces(&input);
        assert_eq!(lines(&pieces), whole, "{:?}", String::from_utf8_lossy(&input));
    }
}
