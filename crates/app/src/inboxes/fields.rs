//! What the members of an inbox may hold. Pure; each function gives the value to keep or the violations.

use podmail_domain::{address, limits};
use podmail_store::{Metadata, MetadataChange};
use serde_json::Value;

use crate::{Issue, IssueCode};

/// A user name as it is kept: trimmed, in lower case.
pub fn username(input: &str) -> Result<String, Issue> {
    let name = input.trim().to_lowercase();
    if name.len() > limits::USERNAME_BYTES {
        return Err(Issue::too_big(["username".into()], "string", limits::USERNAME_BYTES));
    }
    if address::valid_username(&name) {
        return Ok(name);
    }
    let message =
        "Invalid username: letters, digits and . _ + - are allowed, no dot at either end or beside another";
    Err(Issue::format(["username".into()], "username", message))
}

/// A display name as it is kept: on one line, without the characters that have a meaning in address lists. `None`:
/// nothing is left of it.
pub fn display_name(input: &str) -> Result<Option<String>, Issue> {
    let mut name = String::with_capacity(input.len().min(4 * limits::DISPLAY_NAME_CHARS));
    let mut control = false;
    for c in input.trim().chars().filter(|c| !r#"()<>@,;:\"[]"#.contains(*c)) {
        let breaks = c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        if !breaks {
            name.push(c);
        } else if !control {
            name.push(' ');
        }
        control = breaks;
    }
    let name = name.trim();
    if name.chars().count() > limits::DISPLAY_NAME_CHARS {
        return Err(Issue::too_big(["display_name".into()], "string", limits::DISPLAY_NAME_CHARS));
    }
    Ok((!name.is_empty()).then(|| name.to_owned()))
}

/// Metadata of a new inbox; an empty object is the same as none.
pub fn new_metadata(input: &Metadata) -> Result<Option<Metadata>, Vec<Issue>> {
    let mut issues = violations(input, Nulls::Refused);
    if input.len() > limits::METADATA_KEYS {
        issues.push(too_many_members());
    }
    if issues.is_empty() { Ok((!input.is_empty()).then(|| input.clone())) } else { Err(issues) }
}

/// A change of metadata; `None` stands for JSON's `null`, which clears it.
pub fn metadata_change(input: Option<&Metadata>) -> Result<MetadataChange, Vec<Issue>> {
    let Some(members) = input else { return Ok(MetadataChange::Clear) };
    if members.is_empty() {
        let message = "An empty object changes nothing; pass null to clear the metadata";
        return Err(vec![Issue::custom(["metadata".into()], message)]);
    }
    let issues = violations(members, Nulls::Remove);
    if issues.is_empty() { Ok(MetadataChange::Merge(members.clone())) } else { Err(issues) }
}

/// More members than an inbox may have.
pub(super) fn too_many_members() -> Issue {
    Issue::too_big(["metadata".into()], "object", limits::METADATA_KEYS)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Nulls {
    Refused,
    Remove,
}

/// Violations that one answer lists at most, so that it stays small.
const ISSUES: usize = 50;

fn violations(members: &Metadata, nulls: Nulls) -> Vec<Issue> {
    members.iter().flat_map(|(name, value)| member(name, value, nulls)).take(ISSUES).collect()
}

fn member(name: &str, value: &Value, nulls: Nulls) -> Vec<Issue> {
    let shown: String = name.chars().take(limits::METADATA_CHARS).collect();
    let path = || ["metadata".into(), shown.clone().into()];
    let mut issues = Vec::new();
    if name.is_empty() {
        issues.push(Issue::too_small(path(), "string", 1));
    }
    if name.chars().count() > limits::METADATA_CHARS {
        issues.push(Issue::too_big(path(), "string", limits::METADATA_CHARS));
    }
    let received = match value {
        Value::Null if nulls == Nulls::Remove => return issues,
        Value::Bool(_) | Value::Number(_) => return issues,
        Value::String(text) => {
            if text.chars().count() > limits::METADATA_CHARS {
                issues.push(Issue::too_big(path(), "string", limits::METADATA_CHARS));
            }
            return issues;
        }
        Value::Null => "null",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    issues.push(Issue {
        path: path().into(),
        code: IssueCode::InvalidType { expected: "string | number | boolean", received: Some(received) },
        message: format!("Invalid input: expected a string, a number or a boolean, received {received}"),
    });
    issues
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Metadata {
        serde_json::from_str(text).expect("an object")
    }

    #[test]
    fn usernames_are_lowered_or_refused() {
        for (input, want) in [
            (" Support-Agent ", Some("support-agent")),
            ("a+b", Some("a+b")),
            ("a b", None),
            (".a", None),
            ("a..b", None),
            ("é", None),
            ("", None),
            (&"x".repeat(65), None),
        ] {
            assert_eq!(username(input).ok().as_deref(), want, "{input}");
        }
    }

    #[test]
    fn display_names_lose_what_means_something_in_an_address_list() {
        for (input, want) in [
            (r#"Ann "Boss" <x@y>"#, Some("Ann Boss xy")),
            ("  Ann\r\nBcc: eve  ", Some("Ann Bcc eve")),
            ("\u{7}", None),
            ("<>", None),
            ("", None),
            ("Größe 大", Some("Größe 大")),
        ] {
            assert_eq!(display_name(input).expect("short").as_deref(), want, "{input}");
        }
        assert!(display_name(&"ä".repeat(256)).is_ok());
        assert!(display_name(&"ä".repeat(257)).is_err());
    }

    #[test]
    fn metadata_holds_short_scalars_only() {
        let long = "x".repeat(257);
        for (input, create, change) in [
            (r#"{"a":"1","b":2,"c":true,"d":19.99}"#.to_owned(), true, true),
            (r#"{"a":null}"#.to_owned(), false, true),
            (r#"{"a":{}}"#.to_owned(), false, false),
            (r#"{"a":[1]}"#.to_owned(), false, false),
            (r#"{"":1}"#.to_owned(), false, false),
            (format!(r#"{{"{long}":1}}"#), false, false),
            (format!(r#"{{"a":"{long}"}}"#), false, false),
        ] {
            assert_eq!(new_metadata(&object(&input)).is_ok(), create, "create {input}");
            assert_eq!(metadata_change(Some(&object(&input))).is_ok(), change, "change {input}");
        }
        assert_eq!(new_metadata(&object("{}")), Ok(None));
        assert!(metadata_change(Some(&object("{}"))).is_err());
        assert_eq!(metadata_change(None), Ok(MetadataChange::Clear));
        let many: Metadata = (0..257).map(|n| (format!("k{n}"), Value::from(n))).collect();
        assert_eq!(new_metadata(&many), Err(vec![too_many_members()]));
    }
}
