//! PDF documents with a text layer, page by page until there is enough.

use pdf_extract::{Document, PlainTextOutput};

use crate::Collected;

/// Pages that are read.
const PAGES_MAX: usize = 2000;

pub(crate) fn text(bytes: &[u8]) -> Option<String> {
    let document = Document::load_mem(bytes).ok()?;
    if document.is_encrypted() {
        return None;
    }
    let mut out = Collected::default();
    for number in document.get_pages().into_keys().take(PAGES_MAX) {
        let mut page = String::new();
        // A page that cannot be read costs that page; the library panics on some.
        let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pdf_extract::output_doc_page(&document, &mut PlainTextOutput::new(&mut page), number).is_ok()
        }));
        let blank = page.trim().is_empty();
        if read.is_ok() && !blank && !(out.push(page.trim_matches('\n')) && out.push("\n")) {
            break;
        }
    }
    Some(out.text)
}
