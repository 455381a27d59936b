//! Reads what `strace -f -y -s N` writes: one call a line, except that a call which another thread overtakes is split in
//! an `<unfinished ...>` and a `<... resumed>` line.

use std::collections::HashMap;

/// One system call that returned.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// What the descriptor in the first argument stands for: a path, or `socket:[…]`.
    pub(crate) target: String,
    /// The first string argument, unescaped, as far as it was recorded.
    pub(crate) data: Vec<u8>,
    /// The returned number, negative for an error.
    pub(crate) result: i64,
    /// Line in which the call began, and line in which it had returned.
    pub(crate) lines: (usize, usize),
}

/// All calls that returned, in the order of their begin.
pub(crate) fn parse(text: &[u8]) -> Vec<Call> {
    let text = String::from_utf8_lossy(text);
    let mut open: HashMap<&str, (usize, String)> = HashMap::new();
    let mut calls = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        // `-ttt` puts the time before the call.
        let rest = rest.trim_start();
        let rest = rest
            .split_once(' ')
            .filter(|(time, _)| time.parse::<f64>().is_ok())
            .map_or(rest, |(_, rest)| rest);
        if let Some(begin) = rest.strip_suffix("<unfinished ...>") {
            open.insert(thread, (number, begin.trim_end().to_owned()));
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some((begun, begin)) = open.remove(thread) else { continue };
            let end = resumed.split_once("resumed>").map_or("", |(_, end)| end);
            calls.extend(call(&format!("{begin}{end}"), (begun, number)));
        } else {
            calls.extend(call(rest, (number, number)));
        }
    }
    calls.sort_by_key(|call| call.lines.0);
    calls
}

fn call(text: &str, lines: (usize, usize)) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(") = ")?;
    let result = result.split_ascii_whitespace().next()?.split('<').next()?.parse().ok()?;
    let target = arguments.split_once('<').map_or("", |(_, target)| target);
    let target = target.split_once(">").map_or("", |(target, _)| target);
    let data = arguments.split_once('"').map(|(_, data)| unescape(data)).unwrap_or_default();
    Some(Call { name: name.to_owned(), target: target.to_owned(), data, result, lines })
}

/// Undoes C's escapes up to the closing quote.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => break,
            b'\\' => match bytes.next() {
                Some(first @ b'0'..=b'7') => {
                    let mut value = u32::from(first - b'0');
                    for _ in 0..2 {
                        let Some(digit) = bytes.next_if(|byte| (b'0'..=b'7').contains(byte)) else { break };
                        value = value * 8 + u32::from(digit - b'0');
                    }
                    out.push(u8::try_from(value).unwrap());
                }
                Some(letter) => out.push(match letter {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'v' => 0x0b,
                    b'f' => 0x0c,
                    other => other,
                }),
                None => break,
            },
            other => out.push(other),
        }
    }
    out
}

#[test]
fn calls_are_read_whole_and_split() {
    let text = br#"11 1795501102.014359 pwrite64(13</d/podmail.db-wal>, "\n\0\0\00189\"\\\377", 24, 32) = 24
12 1795501102.014400 fsync(13</d/podmail.db-wal> <unfinished ...>
11 1795501102.014500 sendto(9<socket:[77]>, "250 2.0.0 Ok\r\n", 14, MSG_NOSIGNAL, NULL, 0) = 14
12 1795501102.014600 <... fsync resumed>) = 0
13 1795501102.014700 recvfrom(9<socket:[77]>, 0x7f, 8192, 0, NULL, NULL) = -1 EAGAIN (Resource temporarily unavailable)
14 1795501102.014800 +++ exited with 0 +++
"#;
    let calls = parse(text);
    let brief: Vec<_> = calls
        .iter()
        .map(|call| (call.name.as_str(), call.target.as_str(), call.result, call.lines))
        .collect();
    assert_eq!(
        brief,
        [
            ("pwrite64", "/d/podmail.db-wal", 24, (0, 0)),
            ("fsync", "/d/podmail.db-wal", 0, (1, 3)),
            ("sendto", "socket:[77]", 14, (2, 2)),
            ("recvfrom", "socket:[77]", -1, (4, 4)),
        ]
    );
    assert_eq!(calls[0].data, b"\n\0\0\x0189\"\\\xff");
    assert_eq!(calls[2].data, b"250 2.0.0 Ok\r\n");
}
