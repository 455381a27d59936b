//! Rules for what the workspace is made of: licences, sources, no OpenSSL, and the arrows between crates.
//!
//! A test over `cargo metadata` instead of `cargo deny`, which would take longer to install than this takes
//! to run. It sees what is built on this platform.

mod arrows;

use std::collections::BTreeSet;

use arrows::{Arrows, ROOT};
use serde_json::Value;

/// Licences that ask for no more than attribution, and MPL-2.0, which stays within its own files.
const LICENCES: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Zlib",
];

/// Libraries that bind the system's TLS.
const REFUSED: [&str; 4] = ["native-tls", "openssl", "openssl-sys", "schannel"];

/// Rows of the workspace from the bottom to the top: a crate uses rows below its own.
const ROWS: [&[&str]; 6] = [
    &["domain", "dns", "egress"],
    &["store", "blob", "bus", "mime", "smtp-wire", "api-types"],
    &["app", "jobs", "sender-auth", "text-extract"],
    &["api", "smtp-in", "delivery", "webhooks"],
    &["server"],
    &["cli"],
];

/// Arrows within one row.
const SIDEWAYS: [(&str, &str); 6] = [
    ("egress", "dns"),
    ("egress", "domain"),
    ("dns", "domain"),
    ("app", "jobs"),
    ("app", "sender-auth"),
    ("app", "text-extract"),
];

fn packages() -> Vec<Value> {
    let metadata = arrows::metadata();
    metadata.get("packages").and_then(Value::as_array).expect("metadata lists packages").clone()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Whether an SPDX expression can be satisfied with `LICENCES` alone. `OR` binds looser than `AND`;
/// parentheses appear only around whole alternatives, and `/` is an old way to write `OR`.
fn is_permissive(expression: &str) -> bool {
    let expression = expression.trim();
    let mut depth = 0;
    for operator in [" OR ", "/", " AND "] {
        for (position, character) in expression.char_indices() {
            match character {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            let Some(right) = expression.get(position..).and_then(|rest| rest.strip_prefix(operator)) else {
                continue;
            };
            if depth == 0 {
                let left = is_permissive(expression.get(..position).unwrap_or_default());
                return if operator == " AND " {
                    left && is_permissive(right)
                } else {
                    left || is_permissive(right)
                };
            }
        }
    }
    match expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) => is_permissive(inner),
        None => LICENCES.contains(&expression),
    }
}

#[test]
fn expressions_of_licences_are_understood() {
    for (expression, want) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT OR GPL-3.0", true),
        ("MIT AND GPL-3.0", false),
        ("MIT/Apache-2.0", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("(MIT OR Apache-2.0) AND AGPL-3.0-only", false),
        ("ISC AND (Apache-2.0 OR ISC) AND OpenSSL", false),
        ("", false),
    ] {
        assert_eq!(is_permissive(expression), want, "{expression}");
    }
}

#[test]
fn every_dependency_has_a_permissive_licence() {
    let mut refused = Vec::new();
    for package in packages() {
        let licence = text(&package, "license");
        if !is_permissive(licence) {
            refused.push(format!("{} {}: {licence:?}", text(&package, "name"), text(&package, "version")));
        }
    }
    assert_eq!(refused, Vec::<String>::new());
}

#[test]
fn every_dependency_comes_from_the_registry_or_this_workspace() {
    for package in packages() {
        let name = text(&package, "name");
        match package["source"].as_str() {
            Some(source) => {
                assert_eq!(source, "registry+https://github.com/rust-lang/crates.io-index", "{name}");
            }
            None => {
                let path = text(&package, "manifest_path");
                let root = std::path::Path::new(ROOT).canonicalize().unwrap();
                assert!(std::path::Path::new(path).starts_with(&root), "{name} lies outside at {path}");
            }
        }
    }
}

#[test]
fn nothing_binds_openssl() {
    for package in packages() {
        assert!(!REFUSED.contains(&text(&package, "name")), "{}", text(&package, "name"));
    }
}

#[test]
fn the_arrows_between_crates_are_those_of_the_document() {
    let document = std::fs::read_to_string(arrows::document_path()).unwrap();
    let stated = arrows::section_of(&document).expect("ARCHITECTURE.md has the markers of the arrows");
    let found = arrows::table(&arrows::arrows());
    assert!(
        stated.trim() == found.trim(),
        "a new arrow is a design decision; once it is made, run \
         `cargo run -p podmail-server --example generate_docs`. Now:\n{found}"
    );
}

#[test]
fn arrows_point_downwards() {
    let arrows: Arrows = arrows::arrows();
    let row = |name: &str| ROWS.iter().position(|row| row.contains(&name));
    let mut wrong = BTreeSet::new();
    for (from, uses) in &arrows {
        // The test kit may use everything.
        let Some(own) = row(from) else {
            assert_eq!(from, "testkit", "{from} has no row yet");
            continue;
        };
        for to in uses {
            let sideways = SIDEWAYS.contains(&(from, to));
            let knows_store = to != "store" || matches!(from.as_str(), "app" | "jobs" | "server");
            if !(row(to).is_some_and(|to| to < own) || sideways) || !knows_store {
                wrong.insert(format!("{from} -> {to}"));
            }
        }
    }
    assert_eq!(wrong, BTreeSet::new());
}
