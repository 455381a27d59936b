//! What a file is: by its content type, then by its name, then by its first bytes.

use memchr::memmem;

/// Bytes from the start that are looked at.
const SNIFF_BYTES: usize = 1024;
/// How OLE containers begin (.doc, but also .xls and .ppt).
const OLE: &[u8] = b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1";

/// A kind of file that text can be taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// PDF with a text layer.
    Pdf,
    /// Word, Office Open XML.
    Docx,
    /// Word 97 to 2003; best effort.
    Doc,
    /// Excel, Office Open XML.
    Xlsx,
    /// HTML.
    Html,
    /// Plain text, CSV, Markdown, JSON.
    Text,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::Pdf, Self::Docx, Self::Doc, Self::Xlsx, Self::Html, Self::Text];

    /// A short name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Docx => "docx",
            Self::Doc => "doc",
            Self::Xlsx => "xlsx",
            Self::Html => "html",
            Self::Text => "text",
        }
    }

    /// The kind of that short name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// What an indication says.
enum Says {
    This(Kind),
    Other,
    Nothing,
}

/// Whether a file of that type and name may have text at all, as far as its bytes have to be looked at.
#[must_use]
pub fn worth_a_look(content_type: Option<&str>, filename: Option<&str>) -> bool {
    match by_type(content_type) {
        Says::This(_) => true,
        Says::Other => false,
        Says::Nothing => !matches!(by_extension(filename), Says::Other),
    }
}

/// The kind of a file, or `None` when no text is to be had. `bytes` may be the start of the file only, except that
/// Office files without a telling type and name are recognised by their member names anywhere in it.
#[must_use]
pub fn detect(content_type: Option<&str>, filename: Option<&str>, bytes: &[u8]) -> Option<Kind> {
    match by_type(content_type) {
        Says::This(kind) => return Some(kind),
        Says::Other => return None,
        Says::Nothing => {}
    }
    match by_extension(filename) {
        Says::This(kind) => Some(kind),
        Says::Other => None,
        Says::Nothing => by_bytes(filename, bytes),
    }
}

fn by_type(content_type: Option<&str>) -> Says {
    let Some(full) = content_type else { return Says::Nothing };
    let essence = full.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/pdf" | "application/x-pdf" => Says::This(Kind::Pdf),
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => Says::This(Kind::Docx),
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => Says::This(Kind::Xlsx),
        "application/msword" => Says::This(Kind::Doc),
        "text/html" | "application/xhtml+xml" => Says::This(Kind::Html),
        "text/csv"
        | "text/markdown"
        | "text/x-markdown"
        | "text/tab-separated-values"
        | "application/csv"
        | "application/json"
        | "text/json"
        | "application/ld+json" => Says::This(Kind::Text),
        // Programs that know no better call everything text.
        "text/plain" => Says::This(Kind::Text),
        "application/rtf"
        | "text/rtf"
        | "application/vnd.ms-excel"
        | "application/vnd.ms-powerpoint"
        | "application/vnd.openxmlformats-officedocument.presentationml.presentation" => Says::Other,
        other => {
            let top = other.split('/').next().unwrap_or_default();
            if ["image", "audio", "video", "font", "message", "multipart", "model"].contains(&top) {
                Says::Other
            } else {
                Says::Nothing
            }
        }
    }
}

fn extension(filename: Option<&str>) -> Option<String> {
    let (stem, extension) = filename?.rsplit_once('.')?;
    (!stem.is_empty() && !extension.is_empty()).then(|| extension.to_ascii_lowercase())
}

fn by_extension(filename: Option<&str>) -> Says {
    match extension(filename).as_deref() {
        Some("pdf") => Says::This(Kind::Pdf),
        Some("docx") => Says::This(Kind::Docx),
        Some("doc") => Says::This(Kind::Doc),
        Some("xlsx") => Says::This(Kind::Xlsx),
        Some("html" | "htm" | "xhtml") => Says::This(Kind::Html),
        Some("txt" | "text" | "log" | "csv" | "tsv" | "md" | "markdown" | "json") => Says::This(Kind::Text),
        Some(
            "pptx" | "ppt" | "rtf" | "xls" | "eml" | "zip" | "gz" | "tar" | "7z" | "rar" | "png" | "jpg"
            | "jpeg" | "gif" | "webp" | "svg" | "p7s" | "asc" | "sig",
        ) => Says::Other,
        Some(_) | None => Says::Nothing,
    }
}

fn by_bytes(filename: Option<&str>, bytes: &[u8]) -> Option<Kind> {
    let start = bytes.get(..SNIFF_BYTES.min(bytes.len())).unwrap_or_default();
    if memmem::find(start, b"%PDF-").is_some() {
        return Some(Kind::Pdf);
    }
    if start.starts_with(b"PK\x03\x04") {
        let has = |name: &[u8]| memmem::find(bytes, name).is_some();
        return match (has(b"word/document.xml"), has(b"xl/workbook.xml")) {
            (true, _) => Some(Kind::Docx),
            (false, true) => Some(Kind::Xlsx),
            (false, false) => None,
        };
    }
    if start.starts_with(OLE) {
        let name: Vec<u8> = "WordDocument".encode_utf16().flat_map(u16::to_le_bytes).collect();
        return memmem::find(bytes, &name).is_some().then_some(Kind::Doc);
    }
    let readable = readable(start)?;
    let readable = readable.trim_start().to_ascii_lowercase();
    if readable.starts_with("<!doctype html") || readable.starts_with("<html") {
        return Some(Kind::Html);
    }
    // A name with an extension that says nothing is some format of its own.
    (extension(filename).is_none() && !readable.is_empty() && !readable.starts_with("{\\rtf"))
        .then_some(Kind::Text)
}

/// The start of a file as text, when it is UTF-8 without control characters; a character cut in the middle is no flaw.
fn readable(start: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(start.get(..error.valid_up_to())?).ok()?
        }
        Err(_) => return None,
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{c}');
    (!text.contains(control)).then_some(text)
}
