//! Word documents: the runs of `word/document.xml` (ECMA-376, part 1, section 17).

use std::io::{BufReader, Cursor, Read as _};

use quick_xml::events::Event;

use crate::{Collected, MEMBER_BYTES_MAX};

/// Where the main document lies.
const DOCUMENT: &str = "word/document.xml";

pub(crate) fn text(bytes: &[u8]) -> Option<String> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).ok()?;
    let member = archive.by_name(DOCUMENT).ok()?;
    let mut reader = quick_xml::Reader::from_reader(BufReader::new(member.take(MEMBER_BYTES_MAX)));
    let (mut out, mut buffer) = (Collected::default(), Vec::new());
    // Word keeps drawings twice: for itself and, as a fallback, for older programs.
    let (mut in_text, mut fallbacks) = (false, 0_usize);
    loop {
        buffer.clear();
        // A document that breaks off gives what came before.
        let Ok(event) = reader.read_event_into(&mut buffer) else { break };
        let more = match event {
            Event::Start(tag) => match tag.local_name().as_ref() {
                "t" => {
                    in_text = true;
                    true
                }
                "Fallback" => {
                    fallbacks += 1;
                    true
                }
                _ => true,
            },
            Event::End(tag) => match tag.local_name().as_ref() {
                "t" => {
                    in_text = false;
                    true
                }
                "Fallback" => {
                    fallbacks = fallbacks.saturating_sub(1);
                    true
                }
                "p" if fallbacks == 0 => out.push("\n"),
                _ => true,
            },
            Event::Empty(tag) if fallbacks == 0 => match tag.local_name().as_ref() {
                "tab" | "ptab" => out.push("\t"),
                "br" | "cr" | "p" => out.push("\n"),
                "noBreakHyphen" => out.push("-"),
                _ => true,
            },
            Event::Text(text) if in_text && fallbacks == 0 => out.push(&text.xml10_content()),
            Event::CData(text) if in_text && fallbacks == 0 => out.push(&text.xml10_content()),
            Event::GeneralRef(reference) if in_text && fallbacks == 0 => {
                if let Ok(Some(c)) = reference.resolve_char_ref() {
                    out.push(c.encode_utf8(&mut [0; 4]))
                } else {
                    let name = reference.xml10_content();
                    out.push(quick_xml::escape::resolve_predefined_entity(&name).unwrap_or_default())
                }
            }
            Event::Eof => break,
            Event::Empty(_)
            | Event::Text(_)
            | Event::CData(_)
            | Event::GeneralRef(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_) => true,
        };
        if !more {
            break;
        }
    }
    Some(out.text)
}
