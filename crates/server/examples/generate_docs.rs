//! Writes the documents that are generated: the settings' reference page and example file, and the table of
//! arrows in ARCHITECTURE.md. Tests fail while they lag.

#[path = "../tests/it/workspace/arrows.rs"]
mod arrows;

use std::path::Path;

use podmail_server::config::{example_file, reference_page};

fn main() -> std::io::Result<()> {
    let docs = Path::new(arrows::ROOT).join("docs");
    std::fs::create_dir_all(&docs)?;
    std::fs::write(docs.join("configuration.md"), reference_page())?;
    std::fs::write(docs.join("podmail.example.toml"), example_file())?;

    let path = arrows::document_path();
    let document = std::fs::read_to_string(&path)?;
    let section =
        arrows::section_of(&document).ok_or_else(|| std::io::Error::other("no markers of the arrows"))?;
    // With the marker, because an empty section is a line end, and there are many of those.
    let marked = |section: &str| format!("{}{section}", arrows::START);
    let table = format!("\n{}", arrows::table(&arrows::arrows()));
    std::fs::write(&path, document.replacen(&marked(section), &marked(&table), 1))
}
