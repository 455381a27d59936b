//! The crate from outside: a corpus with golden results, hostile input, and messages that are built and read again.

mod build;
mod corpus;
mod hostile;
mod newsletters;
mod oddities;
mod quoting;
mod replies;
mod reports;

/// Bytes of every message of the corpus with its name.
fn corpus() -> Vec<(String, Vec<u8>)> {
    files("corpus", "eml")
        .into_iter()
        .map(|path| (path.display().to_string(), std::fs::read(&path).expect("a readable file")))
        .collect()
}

/// The files of a folder of `tests` with this extension, in order.
fn files(folder: &str, extension: &str) -> Vec<std::path::PathBuf> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut all: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("a readable entry").path())
        .filter(|path| path.extension().is_some_and(|own| own == extension))
        .collect();
    all.sort();
    all
}

fn read(path: &std::path::Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
