//! Text that is text already, and HTML.

/// How UTF-16 texts begin, and what they are called.
const MARKS: [(&[u8], &str); 2] = [(b"\xFF\xFE", "utf-16le"), (b"\xFE\xFF", "utf-16be")];
/// Bytes of an HTML document in which it may name its encoding (HTML standard, section 4.2.5.4).
const META_BYTES: usize = 1024;

pub(crate) fn text(charset: Option<&str>, bytes: &[u8]) -> Option<String> {
    if let Some((mark, name)) = MARKS.iter().find(|(mark, _)| bytes.starts_with(mark)) {
        return Some(podmail_mime::decode_text(Some(name), bytes.get(mark.len()..)?));
    }
    let wide = charset.is_some_and(|name| {
        let name = name.to_ascii_lowercase();
        name.starts_with("utf-16") || name.starts_with("utf-32") || name.starts_with("ucs-")
    });
    // Something that only calls itself text.
    if !wide && memchr::memchr(0, bytes).is_some() {
        return None;
    }
    // A text that is UTF-8 is UTF-8, whatever it is called, except for encodings made of ASCII bytes.
    let shifting = charset.is_some_and(|name| {
        let name = name.to_ascii_lowercase();
        name.starts_with("iso-2022") || name.starts_with("utf-7") || name.starts_with("hz")
    });
    match std::str::from_utf8(bytes) {
        Ok(text) if !wide && !shifting => Some(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned()),
        Ok(_) | Err(_) => Some(podmail_mime::decode_text(charset.or(Some("windows-1252")), bytes)),
    }
}

pub(crate) fn html(charset: Option<&str>, bytes: &[u8]) -> Option<String> {
    let named = charset.map(str::to_owned).or_else(|| meta(bytes));
    text(named.as_deref(), bytes).map(|html| podmail_mime::html_to_text(&html))
}

/// What the document says about its encoding.
fn meta(bytes: &[u8]) -> Option<String> {
    let start = bytes.get(..META_BYTES.min(bytes.len()))?;
    let start = String::from_utf8_lossy(start).to_ascii_lowercase();
    let (_, after) = start.split_once("charset")?;
    let value = after.trim_start().strip_prefix('=')?.trim_start().trim_start_matches(['"', '\'']);
    let name: String =
        value.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_:.".contains(*c)).collect();
    (!name.is_empty()).then_some(name)
}
