//! The records of a domain as a BIND zone file (RFC 1035 §5.1). Pure.

use std::fmt::Write as _;

use super::records::Record;

/// Seconds that resolvers may keep a record.
const TTL: u32 = 300;
/// Bytes of one string of a TXT record (RFC 1035 §3.3).
const STRING_BYTES: usize = 255;

/// One line per record; names are absolute.
pub fn zone_file(domain: &str, records: &[Record]) -> String {
    let mut text = format!("; {domain}\n");
    for record in records {
        let kind = record.purpose.kind();
        let value = match (kind, record.priority()) {
            ("TXT", _) => quoted(&record.value),
            (_, Some(priority)) => format!("{priority} {}.", record.value),
            (_, None) => format!("{}.", record.value),
        };
        writeln!(text, "{}. {TTL} IN {kind} {value}", record.name).expect("writing to a string cannot fail");
    }
    text
}

fn quoted(value: &str) -> String {
    let strings: Vec<String> = value
        .as_bytes()
        .chunks(STRING_BYTES)
        .map(|chunk| {
            let text = String::from_utf8_lossy(chunk);
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        })
        .collect();
    strings.join(" ")
}
