//! What the values of a webhook may be. Pure: every function returns all that is wrong.

use podmail_domain::limits;
use podmail_egress::Egress;
use podmail_store::Scope;
use url::Url;

use crate::{Issue, PathItem};

/// Headers that the server sets itself.
const RESERVED: [&str; 6] =
    ["host", "content-length", "content-type", "transfer-encoding", "connection", "user-agent"];
/// Beginnings of names that carry the signature.
const RESERVED_PREFIXES: [&str; 2] = ["svix-", "webhook-"];

pub(super) fn url(egress: &Egress, text: &str) -> Vec<Issue> {
    let path = || [PathItem::from("url")];
    if text.chars().count() > limits::WEBHOOK_URL_CHARS {
        return vec![Issue::too_big(path(), "string", limits::WEBHOOK_URL_CHARS)];
    }
    match Url::parse(text) {
        Ok(url) if !url.cannot_be_a_base() => match egress.check_url(&url) {
            Ok(()) => Vec::new(),
            Err(error) => vec![Issue::format(path(), "url", format!("Invalid URL: {error}"))],
        },
        Ok(_) | Err(_) => vec![Issue::format(path(), "url", "Invalid URL")],
    }
}

/// Channel fields that this level refuses, and lists that are too long. Unlike unknown fields, these are not ignored:
/// whoever sends them means to narrow, and would get more than he asked for.
pub(super) fn channels<const P: usize, const I: usize>(
    scope: &Scope,
    pod_fields: [(&'static str, &Option<Vec<String>>); P],
    inbox_fields: [(&'static str, &Option<Vec<String>>); I],
) -> Vec<Issue> {
    let level = match (scope.pod(), scope.inbox()) {
        (_, Some(_)) => "an inbox",
        (Some(_), None) => "a pod",
        (None, None) => "an organization",
    };
    let fields = pod_fields.map(|(name, ids)| (name, ids, scope.pod().is_some() || scope.inbox().is_some()));
    let more = inbox_fields.map(|(name, ids)| (name, ids, scope.inbox().is_some()));
    fields
        .into_iter()
        .chain(more)
        .filter_map(|(name, ids, refused)| {
            let ids = ids.as_ref()?;
            if refused {
                return Some(Issue::custom(
                    [name.into()],
                    format!("{name} cannot be set on a webhook of {level}"),
                ));
            }
            (ids.len() > limits::WEBHOOK_CHANNELS)
                .then(|| Issue::too_big([name.into()], "array", limits::WEBHOOK_CHANNELS))
        })
        .collect()
}

/// An id that is both added and removed.
pub(super) fn disjoint(
    name: &'static str,
    add: &Option<Vec<String>>,
    remove: &Option<Vec<String>>,
) -> Option<Issue> {
    let (add, remove) = (add.as_ref()?, remove.as_ref()?);
    let at = remove.iter().position(|id| add.iter().any(|added| added.eq_ignore_ascii_case(id)))?;
    Some(Issue::custom([name.into(), at.into()], "An id cannot be added and removed at once"))
}

/// Headers of a creation.
pub(super) fn headers(headers: &[(String, String)]) -> Vec<Issue> {
    let path = || [PathItem::from("headers")];
    if headers.is_empty() {
        return vec![Issue::too_small(path(), "map", 1)];
    }
    let mut issues = Vec::new();
    if headers.len() > limits::WEBHOOK_HEADERS {
        issues.push(Issue::too_big(path(), "map", limits::WEBHOOK_HEADERS));
    }
    for (at, (name, value)) in headers.iter().enumerate() {
        let path = || [PathItem::from("headers"), PathItem::from(name.as_str())];
        if !is_token(name) {
            issues.push(Issue::custom(path(), "Invalid header name"));
        } else if name.len() > limits::WEBHOOK_HEADER_NAME_CHARS {
            issues.push(Issue::too_big(path(), "string", limits::WEBHOOK_HEADER_NAME_CHARS));
        } else if is_reserved(name) {
            issues.push(Issue::custom(path(), format!("Header {name} is reserved")));
        } else if headers.iter().take(at).any(|(earlier, _)| earlier.eq_ignore_ascii_case(name)) {
            issues.push(Issue::custom(path(), "Header names must differ by more than case"));
        }
        if value.chars().count() > limits::WEBHOOK_HEADER_VALUE_CHARS {
            issues.push(Issue::too_big(path(), "string", limits::WEBHOOK_HEADER_VALUE_CHARS));
        } else if !value.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b)) {
            issues.push(Issue::custom(path(), "Header values are visible ASCII, spaces and tabs"));
        }
    }
    issues
}

/// A change of headers.
pub(super) fn header_change(set: Option<&[(String, String)]>, remove: Option<&[String]>) -> Vec<Issue> {
    if set.is_none() && remove.is_none() {
        return vec![Issue::custom([], "Set headers, remove_headers or both")];
    }
    let mut issues = set.map(headers).unwrap_or_default();
    let remove = remove.unwrap_or_default();
    if remove.len() > limits::FILTER_VALUES {
        issues.push(Issue::too_big(["remove_headers".into()], "array", limits::FILTER_VALUES));
    }
    for (at, name) in remove.iter().enumerate() {
        if set.unwrap_or_default().iter().any(|(set, _)| set.eq_ignore_ascii_case(name)) {
            let path = [PathItem::from("remove_headers"), PathItem::from(at)];
            issues.push(Issue::custom(path, "A header cannot be set and removed at once"));
        }
    }
    issues
}

/// A token of RFC 9110 §5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn is_reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    RESERVED.contains(&name.as_str()) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn headers_that_would_break_or_forge_a_request_are_refused() {
        let long = "v".repeat(4097);
        for (given, issues) in [
            (vec![("Authorization", "Bearer s1")], 0),
            (vec![("X-A", "a\tb c~")], 0),
            (vec![], 1),
            (vec![("X A", "1")], 1),
            (vec![("", "1")], 1),
            (vec![("X-A", "1\r\nX-B: 2")], 1),
            (vec![("X-A", "\u{e9}")], 1),
            (vec![("Host", "x"), ("svix-id", "y"), ("Webhook-Id", "z"), ("Content-Type", "q")], 4),
            (vec![("X-A", "1"), ("x-a", "2")], 1),
            (vec![("X-A", long.as_str())], 1),
        ] {
            assert_eq!(headers(&pairs(&given)).len(), issues, "{given:?}");
        }
    }

    #[test]
    fn a_change_sets_or_removes_something_and_no_header_both() {
        assert_eq!(header_change(None, None).len(), 1);
        assert_eq!(header_change(Some(&[]), None).len(), 1);
        assert_eq!(header_change(None, Some(&["x-a".to_owned()])).len(), 0);
        let issues = header_change(Some(&pairs(&[("X-A", "1")])), Some(&["x-a".to_owned()]));
        assert_eq!(issues.len(), 1);
        assert_eq!(issues[0].path, vec![PathItem::from("remove_headers"), PathItem::from(0)]);
    }
}
