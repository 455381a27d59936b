use std::io::{Cursor, Write as _};

use super::*;

/// A zip container with these members.
fn container(members: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn docx(body: &str) -> Vec<u8> {
    let main = format!("<w:document xmlns:w=\"w\"><w:body>{body}</w:body></w:document>");
    container(&[("word/document.xml", &main)])
}

fn xlsx(rows: &str) -> Vec<u8> {
    const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    const OFFICE: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let book = format!(
        "<workbook xmlns=\"{MAIN}\" xmlns:r=\"{OFFICE}\"><sheets><sheet name=\"Prices\" sheetId=\"1\" r:id=\"r1\"/>\
         </sheets></workbook>"
    );
    let links = format!(
        "<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship Id=\"r1\" \
         Type=\"{OFFICE}/worksheet\" Target=\"worksheets/sheet1.xml\"/></Relationships>"
    );
    let root = links
        .replace("/worksheet\"", "/officeDocument\"")
        .replace("worksheets/sheet1.xml", "xl/workbook.xml");
    let sheet = format!("<worksheet xmlns=\"{MAIN}\"><sheetData>{rows}</sheetData></worksheet>");
    container(&[
        ("_rels/.rels", &root),
        ("xl/workbook.xml", &book),
        ("xl/_rels/workbook.xml.rels", &links),
        ("xl/worksheets/sheet1.xml", &sheet),
    ])
}

/// A document of one page per text.
fn pdf(pages: &[&str]) -> Vec<u8> {
    let mut objects = vec!["<< /Type /Catalog /Pages 2 0 R >>".to_owned()];
    let kids: Vec<String> = (0..pages.len()).map(|n| format!("{} 0 R", 4 + n * 2)).collect();
    objects.push(format!("<< /Type /Pages /Kids [{}] /Count {} >>", kids.join(" "), pages.len()));
    objects
        .push("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned());
    for (n, page) in pages.iter().enumerate() {
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {} 0 R \
             /Resources << /Font << /F1 3 0 R >> >> >>",
            5 + n * 2
        ));
        let content = format!("BT /F1 24 Tf 72 720 Td ({page}) Tj ET");
        objects.push(format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()));
    }
    let (mut file, mut places) = (b"%PDF-1.4\n".to_vec(), Vec::new());
    for (n, object) in objects.iter().enumerate() {
        places.push(file.len());
        file.extend(format!("{} 0 obj\n{object}\nendobj\n", n + 1).bytes());
    }
    let start = file.len();
    file.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).bytes());
    for place in places {
        file.extend(format!("{place:010} 00000 n \n").bytes());
    }
    let size = objects.len() + 1;
    file.extend(format!("trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n").bytes());
    file
}

/// A Word 97 file with one piece of UTF-16 and one of windows-1252.
fn doc() -> Vec<u8> {
    let wide: Vec<u8> = "Grüße\r".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let narrow = b"caf\xe9\x07\x13 HYPERLINK \x14here\x15\r";
    let mut main = vec![0_u8; 0x200];
    main[0..2].copy_from_slice(&0xA5EC_u16.to_le_bytes());
    let chars = 6 + u32::try_from(narrow.len()).unwrap();
    main[0x4C..0x50].copy_from_slice(&chars.to_le_bytes());
    let mut clx = vec![1, 1, 0, 9, 2];
    clx.extend(28_u32.to_le_bytes());
    for cp in [0, 6, chars] {
        clx.extend(cp.to_le_bytes());
    }
    for place in [0x200_u32, ((0x200 + 12) * 2) | 0x4000_0000] {
        clx.extend([0, 0]);
        clx.extend(place.to_le_bytes());
        clx.extend([0, 0]);
    }
    main[0x1A6..0x1AA].copy_from_slice(&u32::try_from(clx.len()).unwrap().to_le_bytes());
    main.extend(wide);
    main.extend(narrow);
    let mut file = cfb::CompoundFile::create(Cursor::new(Vec::new())).unwrap();
    file.create_stream("/WordDocument").unwrap().write_all(&main).unwrap();
    file.create_stream("/0Table").unwrap().write_all(&clx).unwrap();
    file.flush().unwrap();
    file.into_inner().into_inner()
}

#[test]
fn the_type_goes_before_the_name_and_the_name_before_the_bytes() {
    for (content_type, filename, bytes, want) in [
        (Some("application/pdf"), Some("a.txt"), &b"x"[..], Some(Kind::Pdf)),
        (Some("TEXT/HTML; charset=x"), None, b"", Some(Kind::Html)),
        (Some("image/png"), Some("a.txt"), b"text", None),
        (Some("message/rfc822"), Some("a.eml"), b"Subject: x", None),
        (Some("application/octet-stream"), Some("A.DOCX"), b"", Some(Kind::Docx)),
        (None, Some("a.csv"), b"", Some(Kind::Text)),
        (None, Some("a.rtf"), b"{\\rtf1", None),
        (None, Some("slides.pptx"), b"PK\x03\x04", None),
        (None, Some("a.bin"), b"%PDF-1.4", Some(Kind::Pdf)),
        (None, Some("a.bin"), b"plain", None),
        (None, Some("README"), b"plain", Some(Kind::Text)),
        (None, None, b"  <!DOCTYPE html><p>", Some(Kind::Html)),
        (None, None, b"{\\rtf1 x}", None),
        (None, None, b"\x89PNG\r\n\x1a\n\0", None),
        (None, None, &docx(""), Some(Kind::Docx)),
        (None, None, &xlsx(""), Some(Kind::Xlsx)),
        (None, None, &doc(), Some(Kind::Doc)),
        (None, None, &container(&[("a.txt", "x")]), None),
    ] {
        assert_eq!(detect(content_type, filename, bytes), want, "{content_type:?} {filename:?}");
    }
    for kind in Kind::ALL {
        assert_eq!(Kind::parse(kind.as_str()), Some(kind));
    }
}

#[test]
fn every_kind_gives_its_text() {
    let body = "<w:p><w:r><w:t>Hello &amp; </w:t><w:tab/><w:t xml:space=\"preserve\"> you&#33;</w:t></w:r></w:p>\
         <mc:Fallback><w:p><w:r><w:t>twice</w:t></w:r></w:p></mc:Fallback><w:p><w:r><w:t>End</w:t></w:r></w:p>";
    assert_eq!(extract(Kind::Docx, None, &docx(body)).unwrap(), "Hello & \t you!\nEnd\n");
    let rows = "<row r=\"1\"><c r=\"A1\" t=\"inlineStr\"><is><t>Tea</t></is></c><c r=\"C1\"><v>2.5</v></c></row>\
         <row r=\"3\"><c r=\"B3\" t=\"b\"><v>1</v></c></row>";
    assert_eq!(extract(Kind::Xlsx, None, &xlsx(rows)).unwrap(), "Prices\nTea\t\t2.5\n\n\tTRUE\n");
    let pages = extract(Kind::Pdf, None, &pdf(&["Hello", "World"])).unwrap();
    assert_eq!(pages.split_whitespace().collect::<Vec<_>>(), ["Hello", "World"]);
    assert_eq!(extract(Kind::Doc, None, &doc()).unwrap(), "Grüße\ncafé\there\n");
    assert_eq!(extract(Kind::Text, Some("iso-8859-1"), b"caf\xe9").unwrap(), "café");
    assert_eq!(extract(Kind::Text, None, b"\xff\xfeh\0i\0").unwrap(), "hi");
    assert_eq!(extract(Kind::Text, Some("us-ascii"), "é".as_bytes()).unwrap(), "é");
    let html =
        b"<html><head><meta charset=iso-8859-2><style>p{}</style></head><p>\xb1<script>x()</script></p>";
    assert_eq!(extract(Kind::Html, None, html).unwrap().trim(), "ą");
}

#[test]
fn texts_are_cut_and_files_without_text_give_none() {
    assert_eq!(extract(Kind::Text, None, "é".repeat(300_000).as_bytes()).unwrap().chars().count(), 250_000);
    let large = vec![b'a'; usize::try_from(INPUT_BYTES_MAX).unwrap() + 1];
    assert_eq!(extract(Kind::Text, None, &large), None);
    for (kind, bytes) in [
        (Kind::Text, &b" \n"[..]),
        (Kind::Text, b"a\0b"),
        (Kind::Docx, &docx("<w:p/>")),
        (Kind::Docx, b"PK\x03\x04"),
        (Kind::Xlsx, &xlsx("")),
        (Kind::Pdf, &pdf(&[""])),
        (Kind::Pdf, b"%PDF-1.4"),
        (Kind::Doc, b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"),
    ] {
        assert_eq!(extract(kind, None, bytes), None, "{kind:?}");
    }
}

#[test]
fn damaged_files_do_no_harm() {
    for (kind, whole) in [
        (Kind::Docx, docx("<w:p><w:r><w:t>Hello</w:t></w:r></w:p>")),
        (Kind::Xlsx, xlsx("<row r=\"1\"><c r=\"A1\"><v>1</v></c></row>")),
        (Kind::Doc, doc()),
    ] {
        for n in 0..whole.len().min(4000) {
            let mut bytes = whole.clone();
            bytes[n] = bytes[n].wrapping_add(0x7f);
            let _text = std::panic::catch_unwind(|| extract(kind, None, &bytes));
        }
    }
}

#[test]
fn a_bomb_is_read_only_up_to_the_bound() {
    let bomb = "<c><v>1</v></c>".repeat(5_000_000);
    let sheet = container(&[("xl/workbook.xml", &bomb)]);
    assert!(sheet.len() < 1_000_000, "{}", sheet.len());
    assert_eq!(extract(Kind::Xlsx, None, &sheet), None);
}
