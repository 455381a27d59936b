//! The parameters of a query string, in every form that clients send; violations are collected as in [`Fields`].
//!
//! [`Fields`]: crate::fields::Fields

#![expect(clippy::wildcard_enum_match_arm, reason = "JSON has six types and will get no more")]

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use podmail_app::auth::sha256;
use podmail_app::{Error, Issue, IssueCode, Result};
use podmail_domain::{Timestamp, limits};
use serde_json::Value;

use crate::describe::Doc;
use crate::fields::bad_time;
use crate::route::Params;

/// Parameters of one query that are looked at; further ones are ignored.
const PARAMETERS_MAX: usize = 1000;
const TRUE: [&str; 6] = ["true", "1", "yes", "on", "y", "enabled"];
const FALSE: [&str; 6] = ["false", "0", "no", "off", "n", "disabled"];

/// A query being read. Filters are remembered, as page tokens are bound to them.
#[derive(Debug)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
    pub(crate) issues: Vec<Issue>,
    binding: Vec<u8>,
    doc: Option<Arc<Doc>>,
}

impl Query {
    pub(crate) fn parse(raw: &str, route: &str, params: &Params) -> Self {
        let pairs = raw
            .split('&')
            .filter(|pair| !pair.is_empty())
            .take(PARAMETERS_MAX)
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(name), decode(value))
            })
            .collect();
        let mut query = Self { pairs, issues: Vec::new(), binding: Vec::new(), doc: None };
        query.bind(route, "");
        for (name, value) in params {
            query.bind(name, value);
        }
        query
    }

    /// The description that has to name whatever is read.
    #[must_use]
    pub(crate) fn described_by(mut self, doc: Option<Arc<Doc>>) -> Self {
        self.doc = doc;
        self
    }

    fn known(&self, name: &str) {
        debug_assert!(
            self.doc.as_ref().is_none_or(|doc| doc.params.iter().any(|param| param.name == name)),
            "`{name}` is read from the query, but the route's description does not name it",
        );
    }

    /// Adds a violation.
    pub(crate) fn issue(&mut self, issue: Issue) {
        self.issues.push(issue);
    }

    fn bind(&mut self, name: &str, value: &str) {
        for text in [name, value] {
            self.binding.extend_from_slice(&text.len().to_be_bytes());
            self.binding.extend_from_slice(text.as_bytes());
        }
    }

    /// What tokens of this list are bound to: route, path and filters.
    pub(crate) fn fingerprint(&self) -> [u8; 8] {
        let mut short = [0; 8];
        short.iter_mut().zip(sha256(&self.binding)).for_each(|(to, from)| *to = from);
        short
    }

    /// The last value of a parameter, as it came. Not part of what page tokens are bound to.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.known(name);
        self.pairs.iter().rev().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// A text of at most `max` characters; empty is absent.
    pub(crate) fn string(&mut self, name: &str, max: usize) -> Option<String> {
        let text = self.raw(name).filter(|text| !text.is_empty())?.to_owned();
        if text.chars().count() > max {
            self.issue(Issue::too_big([name.into()], "string", max));
            return None;
        }
        self.bind(name, &text);
        Some(text)
    }

    /// A list: a JSON array, repeated parameters, one bare value, `name[]` or `name[0]`. An empty list is the same as
    /// none.
    pub(crate) fn list(&mut self, name: &str) -> Vec<String> {
        self.read_list(name, false)
    }

    /// A list whose bare values may also be separated by commas: `labels`.
    pub(crate) fn comma_list(&mut self, name: &str) -> Vec<String> {
        self.read_list(name, true)
    }

    fn read_list(&mut self, name: &str, commas: bool) -> Vec<String> {
        self.known(name);
        let mut values = Vec::new();
        for (own, value) in &self.pairs {
            if !is_list_name(own, name) {
                continue;
            }
            match array(value) {
                Some(items) => values.extend(items),
                None if commas && !value.starts_with('[') => {
                    values
                        .extend(value.split(',').map(str::trim).filter(|v| !v.is_empty()).map(str::to_owned));
                }
                None if value.is_empty() => {}
                None => values.push(value.clone()),
            }
        }
        if values.len() > limits::FILTER_VALUES {
            self.issue(Issue::too_big([name.into()], "array", limits::FILTER_VALUES));
            return Vec::new();
        }
        for index in 0..values.len() {
            if values.get(index).is_some_and(|value| value.chars().count() > limits::FILTER_CHARS) {
                self.issue(Issue::too_big([name.into(), index.into()], "string", limits::FILTER_CHARS));
            }
        }
        for value in &values {
            self.bind(name, value);
        }
        values
    }

    /// A boolean in one of its spellings.
    pub(crate) fn boolean(&mut self, name: &str) -> Option<bool> {
        let text = self.raw(name)?.to_ascii_lowercase();
        let value = match text.as_str() {
            text if TRUE.contains(&text) => true,
            text if FALSE.contains(&text) => false,
            _ => {
                self.issue(Issue {
                    path: vec![name.into()],
                    code: IssueCode::InvalidValue {
                        values: TRUE.iter().chain(&FALSE).map(|&v| v.to_owned()).collect(),
                    },
                    message: "Invalid option: expected a boolean such as true or false".to_owned(),
                });
                return None;
            }
        };
        // False is what leaving it out means.
        if value {
            self.bind(name, "true");
        }
        Some(value)
    }

    /// A date and time with a zone.
    pub(crate) fn time(&mut self, name: &str) -> Option<Timestamp> {
        // An offset's plus sign that was not escaped has become a space.
        let text = self.raw(name)?.replace(' ', "+");
        let Some(time) = Timestamp::parse_rfc3339(&text) else {
            self.issue(bad_time(vec![name.into()]));
            return None;
        };
        self.bind(name, &time.micros().to_string());
        Some(time)
    }

    /// One of these values.
    pub(crate) fn one_of(&mut self, name: &str, values: &[&str]) -> Option<String> {
        let text = self.raw(name)?.to_owned();
        if values.contains(&text.as_str()) {
            self.bind(name, &text);
            return Some(text);
        }
        self.issue(Issue {
            path: vec![name.into()],
            code: IssueCode::InvalidValue { values: values.iter().map(|&v| v.to_owned()).collect() },
            message: format!("Invalid option: expected one of {}", values.join("|")),
        });
        None
    }

    /// A whole number between bounds, both included. Not part of what page tokens are bound to.
    pub(crate) fn integer(&mut self, name: &str, min: usize, max: usize) -> Option<usize> {
        let text = self.raw(name)?.trim().to_owned();
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.as_str()),
        };
        let bound = |bound: usize| i64::try_from(bound).unwrap_or(i64::MAX);
        // Only that it is too large matters of a number that is too large.
        let value = digits.parse().unwrap_or(usize::MAX);
        let (code, message) = if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            let code = IssueCode::InvalidType { expected: "number", received: Some("NaN") };
            (code, "Invalid input: expected number, received NaN".to_owned())
        } else if value < min || (negative && value > 0) {
            let code = IssueCode::TooSmall { origin: "number", minimum: bound(min), inclusive: true };
            (code, format!("Too small: expected number to be >={min}"))
        } else if value > max {
            let code = IssueCode::TooBig { origin: "number", maximum: bound(max), inclusive: true };
            (code, format!("Too big: expected number to be <={max}"))
        } else {
            return Some(value);
        };
        self.issue(Issue { path: vec![name.into()], code, message });
        None
    }

    /// Ends the reading of a query without pages (see [`Query::page`] for the others).
    ///
    /// # Errors
    /// `Invalid` with every violation.
    pub(crate) fn finish(self) -> Result<()> {
        if self.issues.is_empty() { Ok(()) } else { Err(Error::Invalid(self.issues)) }
    }
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().replace('\0', "")
}

/// `name`, `name[]` and `name[0]`.
fn is_list_name(own: &str, name: &str) -> bool {
    own.strip_prefix(name).is_some_and(|rest| {
        rest.is_empty()
            || rest
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
                .is_some_and(|index| index.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// The texts of a JSON array; `None` when the value is no such array and has to be taken literally.
fn array(value: &str) -> Option<Vec<String>> {
    if !value.starts_with('[') {
        return None;
    }
    match serde_json::from_str(value).ok()? {
        Value::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Value::String(text) => Some(text.replace('\0', "")),
                Value::Number(number) => Some(number.to_string()),
                Value::Bool(boolean) => Some(boolean.to_string()),
                Value::Null | Value::Array(_) | Value::Object(_) => None,
            })
            .collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(raw: &str) -> Query {
        Query::parse(raw, "/v0/x", &Vec::new())
    }

    #[test]
    fn lists_are_read_in_every_form() {
        for (raw, want) in [
            ("labels=%5B%22a%22%2C%22b%22%5D", vec!["a", "b"]),
            ("labels=%5B%22a%22%2C+%22b%22%5D", vec!["a", "b"]),
            ("labels=a&labels=b", vec!["a", "b"]),
            ("labels=a,b", vec!["a", "b"]),
            ("labels[]=a&labels%5B%5D=b", vec!["a", "b"]),
            ("labels[0]=a&labels[1]=b", vec!["a", "b"]),
            ("labels=unread", vec!["unread"]),
            ("labels=%5B%22a%2Cb%22%5D", vec!["a,b"]),
            ("labels=%5B%5D", vec![]),
            ("labels=", vec![]),
            ("labels=%5Bbroken", vec!["[broken"]),
            ("labels=a+b", vec!["a b"]),
            ("labelsx=a&label=b", vec![]),
        ] {
            let mut query = query(raw);
            assert_eq!(query.comma_list("labels"), want, "{raw}");
            assert!(query.finish().is_ok(), "{raw}");
        }
        assert_eq!(query("from=a,b").list("from"), vec!["a,b"]);
        assert_eq!(query("from=bob%40x.y").list("from"), vec!["bob@x.y"]);
    }

    #[test]
    fn equal_filters_have_equal_fingerprints_whatever_their_form() {
        let print = |raw: &str| {
            let mut query = query(raw);
            query.comma_list("labels");
            query.boolean("include_spam");
            query.fingerprint()
        };
        assert_eq!(print("labels=a,b"), print("labels=%5B%22a%22%2C%22b%22%5D&include_spam=false&x=1"));
        assert_ne!(print("labels=a,b"), print("labels=a"));
        assert_ne!(print("labels=a"), print("labels=a&include_spam=1"));
    }

    #[test]
    fn booleans_and_times_are_checked() {
        for (raw, want) in [
            ("b=1", Some(true)),
            ("b=TRUE", Some(true)),
            ("b=Enabled", Some(true)),
            ("b=off", Some(false)),
            ("b=N", Some(false)),
            ("", None),
        ] {
            let mut query = query(raw);
            assert_eq!(query.boolean("b"), want, "{raw}");
            assert!(query.finish().is_ok(), "{raw}");
        }
        for raw in ["b=maybe", "b="] {
            let mut query = query(raw);
            assert_eq!(query.boolean("b"), None);
            assert!(query.finish().is_err(), "{raw}");
        }
        for (raw, good) in [
            ("before=2026-01-01T00:00:00", false),
            ("before=2026-01-01", false),
            ("before=2026-01-01T00:00:00%2B02:00", true),
            ("before=2026-01-01T00:00:00+02:00", true),
            ("before=2026-01-01+00:00:00Z", false),
            ("before=2026-01-01T00:00:00Z", true),
        ] {
            let mut query = query(raw);
            assert_eq!(query.time("before").is_some(), good, "{raw}");
            assert_eq!(query.finish().is_ok(), good, "{raw}");
        }
    }
}
