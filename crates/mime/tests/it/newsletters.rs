//! Newsletters, receipts, notices, invitations and alerts in the shapes that the programs of their senders give them.
//!
//! Beside each `tests/newsletters/*.html` stand its golden `.md`, the `.words` that a reader sees (in reading order, a line
//! for each piece) and what is `.hidden` from a reader. Words and hidden pieces were written down with the mail, not taken
//! from the converter. All senders are invented.

use podmail_mime::{html_to_markdown, sanitize_html};

/// Words without punctuation and marks.
fn words(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect()
}

/// The first word of `wanted` that `text` does not have behind those before it.
fn first_lost<'a>(text: &str, wanted: &'a str) -> Option<&'a str> {
    let mut have = words(text).into_iter();
    words(wanted).into_iter().find(|word| !have.any(|own| own == *word))
}

// messages.md check 52
#[test]
fn every_visible_word_is_kept_in_order_and_nothing_hidden_shows() {
    let mut failures = Vec::new();
    for path in crate::files("newsletters", "html") {
        let markdown = html_to_markdown(&crate::read(&path));
        if let Some(word) = first_lost(&markdown, &crate::read(&path.with_extension("words"))) {
            failures.push(format!("{}: {word:?} is lost", path.display()));
        }
        let spaced = format!(" {} ", words(&markdown).join(" "));
        let hidden = crate::read(&path.with_extension("hidden"));
        for piece in hidden.lines() {
            if spaced.contains(&format!(" {} ", words(piece).join(" "))) {
                failures.push(format!("{}: {piece:?} shows", path.display()));
            }
        }
        if markdown.lines().any(|line| line.contains("<td") || line.contains("{") && line.contains("px;")) {
            failures.push(format!("{}: markup or a style sheet shows", path.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A missing golden file is written, and the test fails so that somebody reads it.
#[test]
fn every_newsletter_becomes_its_golden_markdown() {
    let mut failures = Vec::new();
    for path in crate::files("newsletters", "html") {
        let got = format!("{}\n", html_to_markdown(&crate::read(&path)));
        let golden = path.with_extension("md");
        if golden.exists() {
            if crate::read(&golden) != got {
                failures.push(format!("{}: got\n{got}", golden.display()));
            }
        } else {
            std::fs::write(&golden, got).expect("the corpus can be written");
            failures.push(format!("{} was missing; read what was written", golden.display()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn markdown_takes_at_most_a_tenth_of_the_bytes_of_the_html() {
    let paths = crate::files("newsletters", "html");
    assert!(paths.len() >= 30, "{}", paths.len());
    let (mut html_bytes, mut markdown_bytes) = (0, 0);
    for path in paths {
        let html = crate::read(&path);
        let markdown = html_to_markdown(&html);
        assert!(markdown.len() * 4 <= html.len(), "{} of {}: {}", markdown.len(), html.len(), path.display());
        html_bytes += html.len();
        markdown_bytes += markdown.len();
    }
    assert!(markdown_bytes * 10 <= html_bytes, "{markdown_bytes} of {html_bytes}");
}

/// The API converts what it shows, and that has been sanitised before.
#[test]
fn sanitised_html_gives_the_same_markdown() {
    for path in crate::files("newsletters", "html") {
        let html = crate::read(&path);
        assert_eq!(html_to_markdown(&sanitize_html(&html)), html_to_markdown(&html), "{}", path.display());
    }
}
