//! The `relaxed` canonical form of headers and bodies (RFC 6376, section 3.4).
//!
//! Every CR LF, lone CR and lone LF ends a line here, because that is how a message is transmitted: what is
//! hashed is then what arrives, whatever line ends the stored bytes have.

/// One header field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// The name without the white space that may stand before the colon.
    pub(crate) name: &'a [u8],
    /// Everything behind the colon, folds included, the last line end too.
    pub(crate) value: &'a [u8],
}

/// Splits off the first line. The line comes without its end.
fn next_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
    let (line, rest) = bytes.split_at(end);
    let rest = rest.strip_prefix(b"\r\n").or_else(|| rest.get(1..)).unwrap_or_default();
    (line, rest)
}

/// The header fields, at most `max` of them, and the body. Lines that are no header field are left out.
pub(crate) fn split(message: &[u8], max: usize) -> (Vec<Field<'_>>, &[u8]) {
    let mut fields: Vec<Field<'_>> = Vec::new();
    let mut rest = message;
    loop {
        let (line, mut after) = next_line(rest);
        if line.is_empty() {
            return (fields, after);
        }
        // A line that begins with white space continues the field.
        while matches!(after.first(), Some(b' ' | b'\t')) {
            (_, after) = next_line(after);
        }
        let field = rest.get(..rest.len() - after.len()).unwrap_or_default();
        if let Some(colon) = line.iter().position(|byte| *byte == b':')
            && let (Some(name), Some(value)) = (field.get(..colon), field.get(colon + 1..))
            && fields.len() < max
        {
            fields.push(Field { name: name.trim_ascii_end(), value });
        }
        rest = after;
    }
}

/// Appends the field in relaxed form (section 3.4.2), without a line end.
pub(crate) fn relaxed_field(field: Field<'_>, out: &mut Vec<u8>) {
    out.extend(field.name.iter().map(u8::to_ascii_lowercase));
    out.push(b':');
    let start = out.len();
    let mut gap = false;
    for byte in field.value {
        match byte {
            b'\r' | b'\n' => {}
            b' ' | b'\t' => gap = true,
            _ => {
                if std::mem::take(&mut gap) && out.len() > start {
                    out.push(b' ');
                }
                out.push(*byte);
            }
        }
    }
}

/// Hands the body in relaxed form (section 3.4.4) to `sink`, in pieces.
pub(crate) fn relaxed_body(body: &[u8], mut sink: impl FnMut(&[u8])) {
    let mut rest = body;
    let mut empty_lines = 0_usize;
    while !rest.is_empty() {
        let (line, after) = next_line(rest);
        rest = after;
        let end = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t')).map_or(0, |at| at + 1);
        let line = line.get(..end).unwrap_or_default();
        if line.is_empty() {
            empty_lines += 1;
            continue;
        }
        // Empty lines count only once something follows them.
        for _ in 0..std::mem::take(&mut empty_lines) {
            sink(b"\r\n");
        }
        collapse(line, &mut sink);
        sink(b"\r\n");
    }
}

/// Hands on a line with each run of white space as one space.
fn collapse(line: &[u8], sink: &mut impl FnMut(&[u8])) {
    let mut rest = line;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b' ' | b'\t')) {
        let (word, gap) = rest.split_at(at);
        sink(word);
        sink(b" ");
        let end = gap.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(gap.len());
        rest = gap.get(end..).unwrap_or_default();
    }
    sink(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(input: &str) -> String {
        let mut out = Vec::new();
        relaxed_body(input.as_bytes(), |piece| out.extend_from_slice(piece));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bodies_are_relaxed_as_the_rfc_says() {
        for (input, want) in [
            ("", ""),
            ("\r\n", ""),
            ("\r\n\r\n \t\r\n", ""),
            (" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"),
            ("a", "a\r\n"),
            ("a\r\n\r\nb", "a\r\n\r\nb\r\n"),
            ("a\nb\rc\r\n", "a\r\nb\r\nc\r\n"),
            ("a \n\n\n", "a\r\n"),
            ("\r\na\r\n", "\r\na\r\n"),
        ] {
            assert_eq!(body(input), want, "{input:?}");
        }
    }

    #[test]
    fn fields_are_relaxed_as_the_rfc_says() {
        let (fields, body) = split(b"A: X\r\nB : Y\t\r\n\tZ  \r\nC:\r\n \r\nbroken\r\n\r\nrest", 10);
        let relaxed: Vec<String> = fields
            .iter()
            .map(|field| {
                let mut out = Vec::new();
                relaxed_field(*field, &mut out);
                String::from_utf8(out).unwrap()
            })
            .collect();
        assert_eq!(relaxed, ["a:X", "b:Y Z", "c:"]);
        assert_eq!(body, b"rest");
        for (message, count) in
            [(&b""[..], 0), (b"\r\nx", 0), (b"A: 1", 1), (b" x\r\nA: 1\r\n", 1), (b"A: 1\nB: 2\n\nA: 3", 2)]
        {
            assert_eq!(split(message, 10).0.len(), count, "{message:?}");
        }
        assert_eq!(split(b"A: 1\r\nB: 2\r\nC: 3\r\n", 2).0.len(), 2);
    }
}
