//! Word 97 to 2003, best effort: the main text by its piece table ([MS-DOC], sections 2.4.1 and 2.9.177). No fields,
//! notes, headers or text boxes.

use std::io::{Cursor, Read as _};

use crate::Collected;

/// Pieces of a document that are read.
const PIECES_MAX: usize = 100_000;

pub(crate) fn text(bytes: &[u8]) -> Option<String> {
    let mut file = cfb::CompoundFile::open(Cursor::new(bytes)).ok()?;
    let main = stream(&mut file, "/WordDocument", bytes.len())?;
    // FibBase.wIdent and its flags: encrypted documents are not for us.
    if short(&main, 0)? != 0xA5EC || short(&main, 0x0A)? & 0x0100 != 0 {
        return None;
    }
    let table = if short(&main, 0x0A)? & 0x0200 == 0 { "/0Table" } else { "/1Table" };
    let table = stream(&mut file, table, bytes.len())?;
    let chars = long(&main, 0x4C)?;
    let (start, length) = (long(&main, 0x01A2)?, long(&main, 0x01A6)?);
    let clx = table.get(start..start.checked_add(length)?)?;
    let pieces = piece_table(clx)?;
    let count = (pieces.len().checked_sub(4)? / 12).min(PIECES_MAX);
    let mut out = Collected::default();
    for n in 0..count {
        let (from, to) = (long(pieces, n * 4)?, long(pieces, n * 4 + 4)?.min(chars));
        let Some(length) = to.checked_sub(from) else { break };
        let place = long(pieces, (pieces.len() - 4) / 12 * 4 + 4 + n * 8 + 2)?;
        let compressed = place & 0x4000_0000 != 0;
        let place = place & 0x3FFF_FFFF;
        let piece = if compressed {
            podmail_mime::decode_text(
                Some("windows-1252"),
                main.get(place / 2..(place / 2).checked_add(length)?)?,
            )
        } else {
            let units = main.get(place..place.checked_add(length.checked_mul(2)?)?)?;
            let units =
                units.chunks_exact(2).filter_map(|unit| Some(u16::from_le_bytes(unit.try_into().ok()?)));
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        };
        if !out.push(&readable(&piece)) {
            break;
        }
    }
    Some(out.text)
}

/// A stream of the container; no stream is longer than the file.
fn stream(file: &mut cfb::CompoundFile<Cursor<&[u8]>>, name: &str, bytes_max: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let stream = file.open_stream(name).ok()?;
    stream.take(u64::try_from(bytes_max).ok()?).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The PlcPcd within a Clx, behind the property modifiers.
fn piece_table(mut clx: &[u8]) -> Option<&[u8]> {
    loop {
        let (kind, rest) = clx.split_first()?;
        match kind {
            1 => clx = rest.get(2 + usize::from(short(rest, 0)?)..)?,
            2 => return rest.get(4..4_usize.checked_add(long(rest, 0)?)?),
            _ => return None,
        }
    }
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    let number = u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?);
    usize::try_from(number).ok()
}

/// Word's control characters as what they look like; the instructions of fields, between 0x13 and 0x14, are no text.
fn readable(piece: &str) -> String {
    let mut out = String::with_capacity(piece.len());
    let mut instructions = 0_usize;
    for c in piece.chars() {
        match c {
            '\u{13}' => instructions += 1,
            '\u{14}' | '\u{15}' => instructions = instructions.saturating_sub(1),
            _ if instructions > 0 => {}
            '\r' | '\u{0b}' | '\u{0c}' => out.push('\n'),
            '\u{07}' => out.push('\t'),
            '\u{1e}' => out.push('-'),
            '\t' | '\n' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}
