//! Whatever the bytes are, parsing ends, quickly, with a result.

use podmail_mime::{
    Quoted, fingerprint, forward_text, parse, part_bytes, preview, reply_html, sanitize_html,
    thread_candidates, usable_message_id,
};

/// Everything that touches bytes of strangers.
fn digest(raw: &[u8]) {
    let parsed = parse(raw);
    assert!(thread_candidates(&parsed).len() <= 100);
    assert_eq!(fingerprint(raw).len(), 64);
    for part in &parsed.attachments {
        assert_eq!(part_bytes(raw, part.index).map(|bytes| bytes.len() as u64), Some(part.size));
    }
    parsed.message_id.as_deref().map(usable_message_id);
    parsed.text.as_deref().map(preview);
    let q = Quoted {
        from: "a@x.test",
        date: parsed.date.unwrap_or_default(),
        subject: parsed.subject.as_deref(),
        to: &[],
        cc: &[],
        text: None,
        html: parsed.html.as_deref(),
    };
    assert!(parsed.html.is_none() || reply_html("", &q).contains("gmail_quote"));
    assert!(forward_text(None, &q).starts_with("-----"));
    for text in [parsed.text, parsed.html, parsed.subject].into_iter().flatten() {
        assert!(!text.contains('\0'));
    }
}

#[test]
fn every_prefix_of_the_corpus_parses() {
    for (_, raw) in crate::corpus() {
        for end in 0..raw.len() {
            digest(&raw[..end]);
        }
    }
}

#[test]
fn flipped_bytes_parse() {
    // xorshift64, fixed seed.
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).expect("31 bits")
    };
    let interesting = b"<>@\"(),;:=?-_\\\r\n\0 \xff\x80\t/&";
    for (_, raw) in crate::corpus() {
        for _ in 0..300 {
            let mut mutated = raw.clone();
            for _ in 0..=next() % 8 {
                if mutated.is_empty() {
                    break;
                }
                let at = next() % mutated.len();
                match next() % 3 {
                    0 => mutated[at] = u8::try_from(next() & 0xff).expect("a byte"),
                    1 => mutated[at] = interesting[next() % interesting.len()],
                    _ => drop(mutated.remove(at)),
                }
            }
            digest(&mutated);
            if let Some(html) = parse(&mutated).html {
                assert!(!sanitize_html(&html).to_ascii_lowercase().contains("<script"));
            }
        }
    }
}

#[test]
fn bombs_are_bounded() {
    let nested: String =
        (0..5_000).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n")).collect();
    let many = format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n\nx\n".repeat(50_000));
    let messages = "Content-Type: message/rfc822\n\n".repeat(50_000);
    let unbounded = format!(
        "Content-Type: multipart/mixed; boundary=b\n\n{}",
        "--b\nContent-Type: multipart/mixed; boundary=c\n\n".repeat(20_000)
    );
    let words = format!("Subject: {}\n\nx", "=?utf-8?q?".repeat(100_000));
    let addresses = format!("To: {}\n\nx", "a@x.test,".repeat(20_000));
    let comments = format!("To: {}\n\nx", "(".repeat(200_000));
    let fields = "X-A: b\n".repeat(50_000);
    for raw in [&nested, &many, &messages, &unbounded, &words, &addresses, &comments, &fields] {
        digest(raw.as_bytes());
    }
    assert!(parse(many.as_bytes()).text.is_some_and(|text| text.len() < 2_000));
    assert_eq!(parse(addresses.as_bytes()).to.len(), 2_000);
}
