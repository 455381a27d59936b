//! Replies as the common mail programs write them, in many languages.
//!
//! `tests/replies/NAME.txt` and `NAME.html` are bodies; `NAME.txt.new` and `NAME.html.new` hold what their authors newly
//! wrote, as far as the rules keep it byte for byte.

use podmail_mime::extract::{extract_html, extract_text};

fn check(extension: &str, extract: fn(&str) -> Option<String>) -> usize {
    let mut failures = Vec::new();
    let paths = crate::files("replies", extension);
    for path in &paths {
        let want = crate::read(&path.with_extension(format!("{extension}.new")));
        let got = extract(&crate::read(path)).unwrap_or_default();
        if got != want.trim_end_matches('\n') {
            failures.push(format!("{}: got\n{got}\nwant\n{want}", path.display()));
        }
    }
    assert!(failures.is_empty(), "{} of {}\n{}", failures.len(), paths.len(), failures.join("\n"));
    paths.len()
}

// messages.md section 9
#[test]
fn of_text_replies_what_was_newly_written_remains() {
    assert!(check("txt", extract_text) >= 30);
}

// messages.md section 9
#[test]
fn of_html_replies_what_was_newly_written_remains() {
    assert!(check("html", extract_html) >= 30);
}
