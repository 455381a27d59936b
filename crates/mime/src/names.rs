//! Names that callers choose: of extra headers and of files.

/// Longest name of a header field, so that a line always has room for a value.
const MAX_HEADER_NAME: usize = 200;
/// Longest file name in bytes.
const MAX_FILENAME: usize = 255;
/// Longest extension in bytes that survives the shortening of a name.
const MAX_EXTENSION: usize = 16;

/// Whether only the server may set the header.
#[must_use]
pub fn header_name_reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("content-")
        || name.starts_with("arc-")
        || matches!(
            name.as_str(),
            "from"
                | "sender"
                | "to"
                | "cc"
                | "bcc"
                | "reply-to"
                | "subject"
                | "date"
                | "message-id"
                | "return-path"
                | "received"
                | "mime-version"
                | "dkim-signature"
                | "authentication-results"
        )
}

/// Whether the name is an RFC 5322 field name (of at most 200 bytes).
#[must_use]
pub fn header_name_valid(name: &str) -> bool {
    (1..=MAX_HEADER_NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

/// Whether the value has no CR, LF or NUL.
#[must_use]
pub fn header_value_valid(value: &str) -> bool {
    !value.contains(['\r', '\n', '\0'])
}

/// Path separators and control characters become `_`; at most 255 bytes, of which the extension is kept.
#[must_use]
pub fn clean_filename(name: &str) -> String {
    let clean: String =
        name.chars().map(|c| if c.is_control() || matches!(c, '/' | '\\') { '_' } else { c }).collect();
    if clean.len() <= MAX_FILENAME {
        return clean;
    }
    let extension = clean
        .rfind('.')
        .and_then(|at| clean.get(at..))
        .filter(|ext| ext.len() <= MAX_EXTENSION)
        .unwrap_or("");
    let stem = clean.get(..clean.floor_char_boundary(MAX_FILENAME - extension.len())).unwrap_or_default();
    format!("{stem}{extension}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_and_valid_names() {
        for (name, reserved, valid) in [
            ("X-A", false, true),
            ("from", true, true),
            ("Content-Foo", true, true),
            ("ARC-Seal", true, true),
            ("In-Reply-To", false, true),
            ("X A", false, false),
            ("X:A", false, false),
            ("", false, false),
            ("Ä", false, false),
        ] {
            assert_eq!((header_name_reserved(name), header_name_valid(name)), (reserved, valid), "{name}");
        }
        assert!(header_value_valid("a\tb") && !header_value_valid("1\r\nBcc: e@x.test"));
    }

    #[test]
    fn file_names_cannot_leave_a_folder_and_stay_short() {
        assert_eq!(clean_filename("../../x\0.txt"), ".._.._x_.txt");
        let long = clean_filename(&format!("{}.pdf", "ä".repeat(200)));
        assert!(long.len() <= 255 && long.ends_with("ä.pdf"), "{}", long.len());
    }
}
