//! The arrows between the crates of the workspace, from their manifests, and their table in
//! ARCHITECTURE.md. Shared by the test that compares and the example that writes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// Root of the workspace.
pub(crate) const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Opens the table in the document.
pub(crate) const START: &str = "<!-- arrows:start -->";
const END: &str = "<!-- arrows:end -->";

/// What each crate under `crates/` uses, without the prefix of the packages and without dev-dependencies.
pub(crate) type Arrows = BTreeMap<String, BTreeSet<String>>;

/// What Cargo knows about everything that is built on this platform; reads nothing from the network.
pub(crate) fn metadata() -> Value {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--offline", "--locked", "--filter-platform", &platform])
        .current_dir(ROOT)
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

/// The arrows of the manifests.
pub(crate) fn arrows() -> Arrows {
    let mut arrows = Arrows::new();
    for package in items(&metadata(), "packages") {
        let short = |value: &Value| value.get("name")?.as_str()?.strip_prefix("podmail-").map(str::to_owned);
        let in_crates = |path: &str| path.contains("/crates/");
        let here = package.get("source").is_none_or(Value::is_null)
            && package.get("manifest_path").and_then(Value::as_str).is_some_and(in_crates);
        let Some(name) = short(package).filter(|_| here) else { continue };
        let used = items(package, "dependencies").filter(|used| used.get("kind").is_none_or(Value::is_null));
        arrows.insert(name, used.filter_map(short).collect());
    }
    arrows
}

fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// The arrows as a table in Markdown.
pub(crate) fn table(arrows: &Arrows) -> String {
    let rows = arrows.iter().map(|(name, uses)| {
        let uses: Vec<_> = uses.iter().map(|name| format!("`{name}`")).collect();
        format!("| `{name}` | {} |\n", if uses.is_empty() { "nothing".to_owned() } else { uses.join(", ") })
    });
    format!("| crate | uses |\n| --- | --- |\n{}", rows.collect::<String>())
}

/// Where the table is kept.
pub(crate) fn document_path() -> PathBuf {
    PathBuf::from(ROOT).join("ARCHITECTURE.md")
}

/// What stands between the markers.
pub(crate) fn section_of(document: &str) -> Option<&str> {
    let (_, rest) = document.split_once(START)?;
    rest.split_once(END).map(|(section, _)| section)
}
