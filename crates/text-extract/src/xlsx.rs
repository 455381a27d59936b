//! Spreadsheets: a heading line per sheet, a line per row, cells separated by tabs. Cells are streamed, so that a sheet
//! with two cells at opposite corners costs two cells.

use std::io::{Cursor, Read as _};

use calamine::{DataRef, Reader as _, Xlsx};

use crate::{Collected, MEMBER_BYTES_MAX};

/// Sheets that are read.
const SHEETS_MAX: usize = 256;
/// Cells of all sheets that are read.
const CELLS_MAX: usize = 1_000_000;
/// Empty cells in a row that are kept as tabs, and empty rows that are kept as empty lines.
const GAP_MAX: u32 = 64;

pub(crate) fn text(bytes: &[u8]) -> Option<String> {
    if !bounded(bytes) {
        return None;
    }
    let mut book: Xlsx<_> = calamine::open_workbook_from_rs(Cursor::new(bytes)).ok()?;
    let (mut out, mut cells, mut any) = (Collected::default(), 0_usize, false);
    for name in book.sheet_names().into_iter().take(SHEETS_MAX) {
        let Ok(mut sheet) = book.worksheet_cells_reader(&name) else { continue };
        if !out.text.is_empty() {
            out.push("\n");
        }
        out.push(&name);
        out.push("\n");
        let (mut row, mut column) = (None, 0);
        while let Ok(Some(cell)) = sheet.next_cell() {
            cells += 1;
            if cells > CELLS_MAX {
                break;
            }
            let shown = show(cell.get_value());
            if shown.is_empty() {
                continue;
            }
            any = true;
            let (at_row, at_column) = cell.get_position();
            let gap = match row {
                Some(row) if row == at_row => 0,
                Some(row) => at_row.saturating_sub(row).min(GAP_MAX),
                None => 0,
            };
            for _ in 0..gap {
                out.push("\n");
            }
            if row != Some(at_row) {
                (row, column) = (Some(at_row), 0);
            }
            for _ in 0..at_column.saturating_sub(column).min(GAP_MAX) {
                out.push("\t");
            }
            column = at_column;
            if !out.push(&shown) {
                return Some(out.text);
            }
        }
        if row.is_some() {
            out.push("\n");
        }
    }
    any.then_some(out.text)
}

/// Whether every member stays within the bound when it is decompressed: what a member claims is not believed.
fn bounded(bytes: &[u8]) -> bool {
    let Ok(mut archive) = zip::ZipArchive::new(Cursor::new(bytes)) else { return false };
    let mut left = MEMBER_BYTES_MAX;
    for index in 0..archive.len() {
        let Ok(member) = archive.by_index(index) else { continue };
        let Ok(size) = std::io::copy(&mut member.take(left + 1), &mut std::io::sink()) else { return false };
        let Some(rest) = left.checked_sub(size) else { return false };
        left = rest;
    }
    true
}

fn show(value: &DataRef<'_>) -> String {
    let line = |text: &str| text.replace(['\t', '\n', '\r'], " ");
    match value {
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => number.to_string(),
        DataRef::String(text) => line(text),
        DataRef::SharedString(text) => line(text),
        DataRef::Bool(true) => "TRUE".to_owned(),
        DataRef::Bool(false) => "FALSE".to_owned(),
        DataRef::DateTime(time) if time.is_duration() => time.as_f64().to_string(),
        DataRef::DateTime(time) => {
            let (year, month, day, hour, minute, second, _) = time.to_ymd_hms_milli();
            match (hour, minute, second) {
                (0, 0, 0) => format!("{year:04}-{month:02}-{day:02}"),
                _ => format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"),
            }
        }
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => line(text),
        DataRef::Error(error) => error.to_string(),
        DataRef::Empty => String::new(),
    }
}
