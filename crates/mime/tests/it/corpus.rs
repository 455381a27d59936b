//! Each `tests/corpus/*.eml` parses to the `.json` beside it.

use podmail_mime::{Mailbox, Parsed, parse, part_bytes};
use serde_json::{Value, json};

fn list(mailboxes: &[Mailbox]) -> Vec<String> {
    mailboxes.iter().map(ToString::to_string).collect()
}

fn golden(p: &Parsed) -> Value {
    json!({
        "message_id": p.message_id,
        "from": p.from.as_ref().map(ToString::to_string),
        "reply_to": list(&p.reply_to),
        "to": list(&p.to),
        "cc": list(&p.cc),
        "bcc": list(&p.bcc),
        "subject": p.subject,
        "date": p.date,
        "in_reply_to": p.in_reply_to,
        "references": p.references,
        "headers": p.headers,
        "text": p.text,
        "html": p.html,
        "attachments": p.attachments.iter().map(|a| json!({
            "index": a.index,
            "filename": a.filename,
            "content_type": a.content_type,
            "disposition": a.disposition.as_str(),
            "content_id": a.content_id,
            "size": a.size,
        })).collect::<Vec<_>>(),
        "received_count": p.received_count,
        "auto_submitted": p.auto_submitted,
    })
}

/// A missing golden file is written, and the test fails so that somebody reads it.
#[test]
fn every_message_of_the_corpus_parses_to_its_golden_result() {
    let mut failures = Vec::new();
    for (path, raw) in crate::corpus() {
        let got = golden(&parse(&raw));
        let golden_path = path.replace(".eml", ".json");
        match std::fs::read(&golden_path) {
            Ok(want) => {
                let want: Value = serde_json::from_slice(&want).expect("golden files are JSON");
                if want != got {
                    failures.push(format!("{path}: got {got:#}"));
                }
            }
            Err(_) => {
                std::fs::write(&golden_path, format!("{got:#}\n")).expect("the corpus can be written");
                failures.push(format!("{golden_path} was missing; read what was written"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn sizes_of_attachments_are_those_of_their_bytes() {
    for (path, raw) in crate::corpus() {
        for part in parse(&raw).attachments {
            let bytes = part_bytes(&raw, part.index).expect("listed parts exist");
            assert_eq!(bytes.len() as u64, part.size, "{path} {part:?}");
        }
        assert_eq!(part_bytes(&raw, 100_000), None);
    }
}
