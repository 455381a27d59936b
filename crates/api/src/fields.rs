//! The members of a JSON body, read one by one; every violation is collected, and [`Fields::finish`] reports them
//! all at once. Unknown members are ignored, nothing is coerced, NUL characters are removed.

#![expect(clippy::wildcard_enum_match_arm, reason = "JSON has six types and will get no more")]

use std::sync::Arc;

use podmail_app::{Error, Issue, IssueCode, PathItem, Result};
use podmail_domain::{Timestamp, limits};
use serde_json::{Map, Value};

use crate::describe::Doc;

/// Issues that one answer lists; further ones are left out.
const ISSUES_MAX: usize = 100;

/// Absent and null differ on updates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Field<T> {
    /// The member is not there: leave the value alone.
    Absent,
    /// The member is null: clear the value where that is possible.
    Null,
    /// The member has a value.
    Value(T),
}

impl<T> Field<T> {
    /// The value; absent and null are alike, as on every create.
    pub(crate) fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }
}

/// What a string has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    min: usize,
    max: usize,
    trim: bool,
    single_line: bool,
    keeps_nul: bool,
}

impl Text {
    /// At most so many characters.
    pub(crate) const fn upto(max: usize) -> Self {
        Self { min: 0, max, trim: false, single_line: false, keeps_nul: false }
    }
    /// No bound but that of the request.
    pub(crate) const fn any() -> Self {
        Self::upto(usize::MAX)
    }
    /// At least so many characters.
    #[must_use]
    pub(crate) const fn at_least(mut self, min: usize) -> Self {
        self.min = min;
        self
    }
    /// White space around it is removed before it is measured.
    #[must_use]
    pub(crate) const fn trimmed(mut self) -> Self {
        self.trim = true;
        self
    }
    /// Control characters are refused.
    #[must_use]
    pub(crate) const fn single_line(mut self) -> Self {
        self.single_line = true;
        self
    }

    /// NUL characters stay, for those who put something in their place.
    #[must_use]
    pub(crate) const fn keeping_nul(mut self) -> Self {
        self.keeps_nul = true;
        self
    }

    /// Checks a text that was found at `path`.
    pub(crate) fn check(self, text: &str, path: &[PathItem]) -> std::result::Result<String, Issue> {
        let text = if self.keeps_nul { text.to_owned() } else { text.replace('\0', "") };
        let text = if self.trim { text.trim().to_owned() } else { text };
        let chars = text.chars().count();
        let path = path.iter().cloned();
        if chars < self.min {
            return Err(Issue::too_small(path, "string", self.min));
        }
        if chars > self.max {
            return Err(Issue::too_big(path, "string", self.max));
        }
        if self.single_line && text.chars().any(char::is_control) {
            return Err(Issue::custom(path, "Invalid string: control characters are not allowed"));
        }
        Ok(text)
    }
}

/// Whether a text is 1 to 256 characters of the alphabet of `client_id` and `Idempotency-Key`.
pub(crate) fn is_client_id(text: &str) -> bool {
    (1..=limits::CLIENT_ID_CHARS).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

/// A JSON type's name in issues.
pub(crate) const fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A value of another type than expected.
pub(crate) fn wrong_type(path: Vec<PathItem>, expected: &'static str, received: &'static str) -> Issue {
    Issue {
        path,
        code: IssueCode::InvalidType { expected, received: Some(received) },
        message: format!("Invalid input: expected {expected}, received {received}"),
    }
}

fn strip_nul(value: &mut Value) {
    match value {
        Value::String(text) => text.retain(|c| c != '\0'),
        Value::Array(items) => items.iter_mut().for_each(strip_nul),
        Value::Object(members) => {
            let old = std::mem::take(members);
            members.extend(old.into_iter().map(|(name, mut value)| {
                strip_nul(&mut value);
                (name.replace('\0', ""), value)
            }));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// An object of a request body, being read.
#[derive(Debug)]
pub(crate) struct Fields {
    members: Map<String, Value>,
    path: Vec<PathItem>,
    issues: Vec<Issue>,
    doc: Option<Arc<Doc>>,
}

impl Fields {
    /// Reads a body; a missing one is an empty object. Of repeated members the last counts.
    pub(crate) fn parse(body: &[u8]) -> Result<Self> {
        if body.trim_ascii().is_empty() {
            return Ok(Self::of(Map::new(), Vec::new()));
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Self::of(members, Vec::new())),
            Ok(other) => Err(Error::invalid(wrong_type(Vec::new(), "object", type_name(&other)))),
            Err(_) => Err(Error::invalid(Issue::format([], "json_string", "Invalid JSON"))),
        }
    }

    fn of(members: Map<String, Value>, path: Vec<PathItem>) -> Self {
        Self { members, path, issues: Vec::new(), doc: None }
    }

    /// The description that has to name whatever is read.
    #[must_use]
    pub(crate) fn described_by(mut self, doc: Option<Arc<Doc>>) -> Self {
        self.doc = doc;
        self
    }

    fn known(&self, name: &str) {
        debug_assert!(
            self.doc.as_ref().is_none_or(|doc| doc.members().is_some_and(|members| members.contains(name))),
            "`{name}` is read from the body, but the route's description does not name it",
        );
    }

    /// The path of a member, for issues of the handler's own.
    pub(crate) fn path(&self, name: &str) -> Vec<PathItem> {
        self.path.iter().cloned().chain([name.into()]).collect()
    }
    /// Adds a violation.
    pub(crate) fn issue(&mut self, issue: Issue) {
        if self.issues.len() < ISSUES_MAX {
            self.issues.push(issue);
        }
    }
    /// Adds a violation of a member that only its message explains.
    pub(crate) fn refuse(&mut self, name: &str, message: impl Into<String>) {
        self.issue(Issue::custom(self.path(name), message));
    }
    /// Whether nothing was violated so far.
    pub(crate) fn sound(&self) -> bool {
        self.issues.is_empty()
    }
    /// Whether nothing was violated by this member so far.
    pub(crate) fn sound_at(&self, name: &str) -> bool {
        !self.issues.iter().any(|issue| issue.path.first() == Some(&name.into()))
    }
    /// Whether the member is there, null included.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.known(name);
        self.members.contains_key(name)
    }
    /// Refuses a body that has none of these members.
    pub(crate) fn need_any(&mut self, names: &[&str]) {
        if !names.iter().any(|name| self.has(name)) {
            let path = self.path.clone();
            self.issue(Issue::custom(path, format!("At least one of {} is required", names.join(", "))));
        }
    }
    /// Refuses null where an update cannot clear the value.
    pub(crate) fn not_null(&mut self, name: &str, expected: &'static str) {
        self.known(name);
        if self.members.get(name).is_some_and(Value::is_null) {
            let path = self.path(name);
            self.issue(wrong_type(path, expected, "null"));
        }
    }
    /// All members as they came.
    pub(crate) const fn members(&self) -> &Map<String, Value> {
        &self.members
    }
    /// The member as it came, NUL characters included.
    pub(crate) fn raw(&self, name: &str) -> Option<&Value> {
        self.known(name);
        self.members.get(name).filter(|value| !value.is_null())
    }
    /// The member, without NUL characters in any of its strings.
    pub(crate) fn field(&self, name: &str) -> Field<Value> {
        self.known(name);
        match self.members.get(name) {
            None => Field::Absent,
            Some(Value::Null) => Field::Null,
            Some(value) => {
                let mut value = value.clone();
                strip_nul(&mut value);
                Field::Value(value)
            }
        }
    }

    fn read<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Value, &[PathItem]) -> std::result::Result<T, Vec<Issue>>,
    ) -> Field<T> {
        self.known(name);
        let path = self.path(name);
        let outcome = match self.members.get(name) {
            None => return Field::Absent,
            Some(Value::Null) => return Field::Null,
            Some(value) => read(value, &path),
        };
        match outcome {
            Ok(value) => Field::Value(value),
            Err(issues) => {
                issues.into_iter().for_each(|issue| self.issue(issue));
                Field::Absent
            }
        }
    }

    fn required<T>(&mut self, name: &str, expected: &'static str, field: Field<T>) -> Option<T> {
        let received = if self.has(name) { "null" } else { "undefined" };
        match field {
            Field::Value(value) => return Some(value),
            // A value of a wrong type has its issue already.
            Field::Absent if self.has(name) => {}
            Field::Absent | Field::Null => {
                let path = self.path(name);
                self.issue(wrong_type(path, expected, received));
            }
        }
        None
    }

    /// A string; absent and null are alike.
    pub(crate) fn string(&mut self, name: &str, rule: Text) -> Option<String> {
        self.nullable_string(name, rule).value()
    }
    /// A string that may be null.
    pub(crate) fn nullable_string(&mut self, name: &str, rule: Text) -> Field<String> {
        self.read(name, |value, path| text(value, path, rule).map_err(|issue| vec![issue]))
    }
    /// A string that has to be there; when it is not, the returned text is empty and `finish` fails.
    pub(crate) fn required_string(&mut self, name: &str, rule: Text) -> String {
        let field = self.nullable_string(name, rule);
        self.required(name, "string", field).unwrap_or_default()
    }
    /// One of these strings.
    pub(crate) fn one_of(&mut self, name: &str, values: &[&str]) -> Option<String> {
        self.read(name, |value, path| match value.as_str() {
            Some(text) if values.contains(&text) => Ok(text.to_owned()),
            _ => Err(vec![Issue {
                path: path.to_vec(),
                code: IssueCode::InvalidValue { values: values.iter().map(|&v| v.to_owned()).collect() },
                message: format!("Invalid option: expected one of {}", values.join("|")),
            }]),
        })
        .value()
    }
    /// A boolean; absent and null are alike.
    pub(crate) fn boolean(&mut self, name: &str) -> Option<bool> {
        self.read(name, |value, path| {
            value.as_bool().ok_or_else(|| vec![wrong_type(path.to_vec(), "boolean", type_name(value))])
        })
        .value()
    }
    /// A date and time with a zone; absent and null are alike.
    pub(crate) fn time(&mut self, name: &str) -> Option<Timestamp> {
        self.read(name, |value, path| {
            let Value::String(text) = value else {
                return Err(vec![wrong_type(path.to_vec(), "string", type_name(value))]);
            };
            Timestamp::parse_rfc3339(text).ok_or_else(|| vec![bad_time(path.to_vec())])
        })
        .value()
    }
    /// An array of at most `max` strings; absent and null are alike.
    pub(crate) fn string_list(&mut self, name: &str, max: usize, item: Text) -> Option<Vec<String>> {
        self.nullable_string_list(name, max, item).value()
    }
    /// An array of at most `max` strings that may be null.
    pub(crate) fn nullable_string_list(&mut self, name: &str, max: usize, item: Text) -> Field<Vec<String>> {
        self.read(name, |value, path| match value {
            Value::Array(items) => texts(items, path, max, item),
            other => Err(vec![wrong_type(path.to_vec(), "array", type_name(other))]),
        })
    }
    /// One string or an array of at most `max` strings; absent and null are alike.
    pub(crate) fn one_or_many(&mut self, name: &str, max: usize, item: Text) -> Option<Vec<String>> {
        self.read(name, |value, path| match value {
            Value::Array(items) => texts(items, path, max, item),
            Value::String(_) => text(value, path, item).map(|one| vec![one]).map_err(|issue| vec![issue]),
            other => Err(vec![wrong_type(path.to_vec(), "array", type_name(other))]),
        })
        .value()
    }
    /// An object; absent and null are alike. NUL characters are removed.
    pub(crate) fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        self.read(name, |value, path| match value {
            Value::Object(_) => {
                let mut value = value.clone();
                strip_nul(&mut value);
                match value {
                    Value::Object(members) => Ok(members),
                    _ => Ok(Map::new()),
                }
            }
            other => Err(vec![wrong_type(path.to_vec(), "object", type_name(other))]),
        })
        .value()
    }
    /// An array of at most `max` objects, each read by `read`; absent and null are alike. The array is taken out of
    /// the body, so that large members are not copied.
    pub(crate) fn objects<T>(
        &mut self,
        name: &str,
        max: usize,
        mut read: impl FnMut(&mut Self) -> T,
    ) -> Option<Vec<T>> {
        self.known(name);
        let path = self.path(name);
        let items = match self.members.get_mut(name)?.take() {
            Value::Null => return None,
            Value::Array(items) => items,
            other => {
                self.issue(wrong_type(path, "array", type_name(&other)));
                return None;
            }
        };
        if items.len() > max {
            self.issue(Issue::too_big(path, "array", max));
            return None;
        }
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let at: Vec<PathItem> = path.iter().cloned().chain([index.into()]).collect();
            match item {
                Value::Object(members) => {
                    let mut inner = Self::of(members, at);
                    values.push(read(&mut inner));
                    inner.issues.into_iter().for_each(|issue| self.issue(issue));
                }
                other => self.issue(wrong_type(at, "object", type_name(&other))),
            }
        }
        Some(values)
    }
    /// `client_id`.
    pub(crate) fn client_id(&mut self) -> Option<String> {
        self.read("client_id", |value, path| {
            let Value::String(text) = value else {
                return Err(vec![wrong_type(path.to_vec(), "string", type_name(value))]);
            };
            if is_client_id(text) {
                return Ok(text.clone());
            }
            let message = format!(
                "Invalid client_id: expected 1 to {} characters of A-Z a-z 0-9 - . _ ~",
                limits::CLIENT_ID_CHARS
            );
            Err(vec![Issue::format(path.to_vec(), "client_id", message)])
        })
        .value()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// `Invalid` with every violation.
    pub(crate) fn finish(self) -> Result<()> {
        if self.issues.is_empty() { Ok(()) } else { Err(Error::Invalid(self.issues)) }
    }
}

/// A date and time that is none, or has no zone.
pub(crate) fn bad_time(path: Vec<PathItem>) -> Issue {
    Issue::format(path, "datetime", "Invalid ISO datetime: expected a date and time with Z or an offset")
}

fn text(value: &Value, path: &[PathItem], rule: Text) -> std::result::Result<String, Issue> {
    match value {
        Value::String(text) => rule.check(text, path),
        other => Err(wrong_type(path.to_vec(), "string", type_name(other))),
    }
}

fn texts(
    items: &[Value],
    path: &[PathItem],
    max: usize,
    rule: Text,
) -> std::result::Result<Vec<String>, Vec<Issue>> {
    if items.len() > max {
        return Err(vec![Issue::too_big(path.iter().cloned(), "array", max)]);
    }
    let mut good = Vec::with_capacity(items.len());
    let mut bad = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let at: Vec<PathItem> = path.iter().cloned().chain([index.into()]).collect();
        match text(item, &at, rule) {
            Ok(text) => good.push(text),
            Err(issue) => bad.push(issue),
        }
    }
    if bad.is_empty() { Ok(good) } else { Err(bad) }
}

#[cfg(test)]
mod tests;
