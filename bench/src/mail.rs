//! Messages for load: text that compresses like text, attachments that do not, sizes as in the targets.

use crate::random::Random;

/// Words of the texts.
const WORDS: &[&str] = &[
    "invoice", "meeting", "tomorrow", "please", "agent", "the", "a", "order", "number", "shipping", "thanks",
    "and", "we", "will", "update", "account", "confirm", "schedule", "regards", "attached", "report",
    "quarter", "you", "can", "find", "below", "details", "about", "project", "launch", "customer", "team",
    "review", "budget", "question",
];
/// Bytes of base64 in one line.
const BASE64_LINE: usize = 76;
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BOUNDARY: &str = "=_load_boundary";

/// Which sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sizes {
    /// 70 % text and HTML of 2–8 KB, 25 % of 20–100 KB with one attachment, 5 % of 500 KB.
    Mixed,
    /// Text and HTML of about that many bytes.
    Fixed(usize),
}

/// Everything of a message after the fields that make it unique: prepared once, sent often.
#[derive(Debug, Clone)]
pub struct Template(Vec<u8>);

/// A set of templates with the distribution of `sizes`.
pub fn templates(sizes: Sizes, count: usize, random: &mut Random) -> Vec<Template> {
    (0..count)
        .map(|at| {
            let text = |random: &mut Random, size| Template(alternative(random, size));
            match sizes {
                Sizes::Fixed(size) => text(random, size),
                Sizes::Mixed => match at * 100 / count.max(1) {
                    0..70 => {
                        let size = 2_000 + random.below(6_000);
                        text(random, size)
                    }
                    70..95 => {
                        let size = 20_000 + random.below(80_000);
                        Template(with_attachment(random, size))
                    }
                    _ => Template(with_attachment(random, 500_000)),
                },
            }
        })
        .collect()
}

/// One message. `fields` are further header lines, each with its CRLF.
pub fn message(id: &str, subject: &str, fields: &str, template: &Template) -> Vec<u8> {
    let mut out = format!(
        "From: Load <load@load.example>\r\nTo: Somebody <somebody@load.example>\r\nSubject: {subject}\r\n\
         Date: Mon, 02 Mar 2026 09:30:00 +0000\r\nMessage-ID: {id}\r\n{fields}MIME-Version: 1.0\r\n"
    )
    .into_bytes();
    out.extend_from_slice(&template.0);
    out
}

/// A text of about that many bytes, in lines; no line starts with a dot.
pub fn words(random: &mut Random, size: usize) -> String {
    let mut out = String::with_capacity(size + 16);
    let mut line = 0;
    while out.len() < size {
        let word = random.pick(WORDS).copied().unwrap_or("word");
        out.push_str(word);
        line += word.len() + 1;
        if line > 66 {
            out.push_str("\r\n");
            line = 0;
        } else {
            out.push(' ');
        }
    }
    out.push_str("\r\n");
    out
}

/// Base64 of bytes that do not compress.
pub fn noise(random: &mut Random, size: usize) -> String {
    let mut out = String::with_capacity(size + size / BASE64_LINE * 2 + 2);
    for at in 0..size {
        if at > 0 && at % BASE64_LINE == 0 {
            out.push_str("\r\n");
        }
        out.push(char::from(random.pick(BASE64).copied().unwrap_or(b'A')));
    }
    out.push_str("\r\n");
    out
}

fn alternative(random: &mut Random, size: usize) -> Vec<u8> {
    let text = words(random, size / 2);
    let html = format!("<html><body><p>{}</p></body></html>\r\n", words(random, size / 2));
    format!(
        "Content-Type: multipart/alternative; boundary=\"{BOUNDARY}\"\r\n\r\n\
         --{BOUNDARY}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\
         --{BOUNDARY}\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}--{BOUNDARY}--\r\n"
    )
    .into_bytes()
}

fn with_attachment(random: &mut Random, size: usize) -> Vec<u8> {
    let text = words(random, 1_500);
    let file = noise(random, size.saturating_sub(1_500));
    format!(
        "Content-Type: multipart/mixed; boundary=\"{BOUNDARY}\"\r\n\r\n\
         --{BOUNDARY}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\
         --{BOUNDARY}\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=\"data.bin\"\r\n\r\n{file}--{BOUNDARY}--\r\n"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixed_sizes_have_the_average_of_the_targets() {
        let all = templates(Sizes::Mixed, 400, &mut Random::new(1));
        let average = all.iter().map(|template| template.0.len()).sum::<usize>() / all.len();
        assert!((40_000..48_000).contains(&average), "{average}");
    }

    #[test]
    fn messages_need_no_dot_stuffing() {
        for template in templates(Sizes::Mixed, 40, &mut Random::new(2)) {
            let message = message("<a@b>", "s", "", &template);
            assert!(!message.windows(3).any(|bytes| bytes == b"\r\n."));
            assert!(message.ends_with(b"\r\n"));
        }
    }
}
