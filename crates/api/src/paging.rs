//! Pages of lists: `limit`, `page_token`, `ascending` in, `count`, `limit`, `next_page_token` and the items out.
//!
//! A token is base64url of a fingerprint (route, path, filters, direction) and of the last item's position. It needs no
//! signature: a forged one only names another position in a list that the caller may read anyway.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use podmail_app::{Cursor, Issue, IssueCode, Order, Page, Result};
use podmail_domain::{Timestamp, limits};
use serde::Serialize;
use serde::ser::SerializeMap as _;
use serde_json::{Map, Value};

use crate::query::Query;
use crate::request::Reply;

/// Longest id in a token, in bytes.
const TOKEN_ID_BYTES_MAX: usize = 1024;
/// Largest `limit`: it is echoed, so it has to survive as a JSON number of 53 bits.
const LIMIT_MAX: u64 = (1 << 53) - 1;
/// First byte of a token: its form.
const TOKEN_VERSION: u8 = 1;

/// How a list pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// A larger `limit` is refused.
    limit_max: Option<u64>,
    ascending: bool,
    echo: bool,
}

impl Rules {
    /// A plain list: any `limit` (up to 500 items in a page), `ascending` honoured.
    pub(crate) const LIST: Self = Self { limit_max: None, ascending: true, echo: true };
    /// A search, a filtered list or get-thread: `limit` at most 100.
    pub(crate) const FILTERED: Self =
        Self { limit_max: Some(limits::PAGE_FILTERED_MAX as u64), ..Self::LIST };

    /// `ascending` is ignored.
    #[must_use]
    pub(crate) const fn newest_first(mut self) -> Self {
        self.ascending = false;
        self
    }
    /// The answer never has `limit`: lists of API keys.
    #[must_use]
    pub(crate) const fn without_limit(mut self) -> Self {
        self.echo = false;
        self
    }
}

/// What to fetch, and what the answer has to say about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paging {
    /// Items of the page at most.
    pub(crate) limit: usize,
    /// Direction.
    pub(crate) order: Order,
    /// The page starts behind this position.
    pub(crate) after: Option<Cursor>,
    echo: Option<u64>,
    fingerprint: [u8; 8],
}

impl Query {
    /// Reads the page's parameters and ends the reading of the query. Filters have to be read before: the token is
    /// bound to them.
    ///
    /// # Errors
    /// `Invalid` with every violation in the query.
    pub(crate) fn page(mut self, rules: Rules) -> Result<Paging> {
        let limit = self.raw("limit").map(|text| limit(text, rules.limit_max)).transpose();
        let limit = limit.unwrap_or_else(|issue| {
            self.issue(issue);
            None
        });
        let ascending = rules.ascending && self.boolean("ascending").unwrap_or(false);
        let fingerprint = self.fingerprint();
        let after = match self.raw("page_token").filter(|token| !token.is_empty()) {
            None => None,
            Some(token) => {
                let cursor = read_token(token, fingerprint);
                if cursor.is_none() {
                    self.issue(Issue::format(["page_token".into()], "base64url", "Invalid page_token"));
                }
                cursor
            }
        };
        self.finish()?;
        let wanted = limit.map_or(limits::PAGE_DEFAULT, |n| usize::try_from(n).unwrap_or(usize::MAX));
        Ok(Paging {
            limit: wanted.min(limits::PAGE_MAX),
            order: if ascending { Order::Ascending } else { Order::Descending },
            after,
            echo: limit.filter(|_| rules.echo),
            fingerprint,
        })
    }
}

impl Paging {
    /// `next_page_token` for a position.
    pub(crate) fn token(&self, next: &Cursor) -> String {
        let mut bytes = vec![TOKEN_VERSION];
        bytes.extend_from_slice(&self.fingerprint);
        bytes.extend_from_slice(&next.time.micros().to_be_bytes());
        bytes.extend_from_slice(next.id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The members that every page has, for answers that are more than a list.
    pub(crate) fn members(&self, count: usize, next: Option<&Cursor>) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("count".to_owned(), count.into());
        if let Some(limit) = self.echo {
            members.insert("limit".to_owned(), limit.into());
        }
        if let Some(next) = next {
            members.insert("next_page_token".to_owned(), self.token(next).into());
        }
        members
    }

    /// The answer: the page's items below `name`.
    ///
    /// # Errors
    /// `Internal` when an item cannot be written.
    pub(crate) fn reply<T, U: Serialize>(
        &self,
        name: &str,
        page: Page<T>,
        item: impl FnMut(T) -> U,
    ) -> Result<Reply> {
        let members = self.members(page.items.len(), page.next.as_ref());
        let items: Vec<U> = page.items.into_iter().map(item).collect();
        Reply::json(&Listing { members, name, items })
    }
}

/// The members of a page and its items: written directly, without an intermediate value for every item.
struct Listing<'a, U> {
    members: Map<String, Value>,
    name: &'a str,
    items: Vec<U>,
}

impl<U: Serialize> Serialize for Listing<'_, U> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.members.len() + 1))?;
        for (name, value) in &self.members {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry(self.name, &self.items)?;
        map.end()
    }
}

fn limit(text: &str, max: Option<u64>) -> std::result::Result<u64, Issue> {
    let path = vec!["limit".into()];
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.bytes().all(|b| b.is_ascii_digit()) || (digits.is_empty() && !text.is_empty()) {
        let code = IssueCode::InvalidType { expected: "number", received: Some("NaN") };
        return Err(Issue { path, code, message: "Invalid input: expected number, received NaN".to_owned() });
    }
    let value =
        if digits.is_empty() || text.starts_with('-') { 0 } else { digits.parse().unwrap_or(u64::MAX) };
    let max = max.unwrap_or(LIMIT_MAX);
    match value {
        0 => Err(Issue {
            path,
            code: IssueCode::TooSmall { origin: "number", minimum: 0, inclusive: false },
            message: "Too small: expected number to be >0".to_owned(),
        }),
        _ if value > max => Err(Issue {
            path,
            code: IssueCode::TooBig {
                origin: "number",
                maximum: i64::try_from(max).unwrap_or(i64::MAX),
                inclusive: true,
            },
            message: format!("Too big: expected number to be <={max}"),
        }),
        _ => Ok(value),
    }
}

fn read_token(token: &str, fingerprint: [u8; 8]) -> Option<Cursor> {
    if token.len() > 2 * TOKEN_ID_BYTES_MAX {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).ok()?;
    let (version, rest) = bytes.split_first()?;
    let (bound, rest) = rest.split_first_chunk::<8>()?;
    let (time, id) = rest.split_first_chunk::<8>()?;
    if *version != TOKEN_VERSION || *bound != fingerprint || id.len() > TOKEN_ID_BYTES_MAX {
        return None;
    }
    let id = std::str::from_utf8(id).ok().filter(|id| !id.contains('\0'))?;
    Some(Cursor::new(Timestamp::from_micros(i64::from_be_bytes(*time)), id))
}

#[cfg(test)]
mod tests {
    use podmail_app::Error;

    use super::*;

    fn page(route: &str, raw: &str, rules: Rules) -> Result<Paging> {
        Query::parse(raw, route, &Vec::new()).page(rules)
    }

    fn issue(raw: &str, rules: Rules) -> Issue {
        match page("/v0/x", raw, rules) {
            Err(Error::Invalid(mut issues)) if issues.len() == 1 => issues.remove(0),
            other => panic!("{raw}: {other:?}"),
        }
    }

    #[test]
    fn limits_are_checked_capped_and_echoed() {
        for (raw, rules, limit, echo) in [
            ("", Rules::LIST, 50, None),
            ("limit=2", Rules::LIST, 2, Some(2)),
            ("limit=101", Rules::LIST, 101, Some(101)),
            ("limit=700", Rules::LIST, 500, Some(700)),
            ("limit=100", Rules::FILTERED, 100, Some(100)),
            ("limit=9007199254740991", Rules::LIST, 500, Some(9_007_199_254_740_991)),
            ("limit=7", Rules::LIST.without_limit(), 7, None),
        ] {
            let paging = page("/v0/x", raw, rules).unwrap();
            assert_eq!((paging.limit, paging.echo), (limit, echo), "{raw}");
        }
        let small = IssueCode::TooSmall { origin: "number", minimum: 0, inclusive: false };
        let nan = IssueCode::InvalidType { expected: "number", received: Some("NaN") };
        let big = IssueCode::TooBig { origin: "number", maximum: 100, inclusive: true };
        let huge = IssueCode::TooBig { origin: "number", maximum: (1 << 53) - 1, inclusive: true };
        for (raw, rules, code) in [
            ("limit=0", Rules::LIST, &small),
            ("limit=-3", Rules::LIST, &small),
            ("limit=", Rules::LIST, &small),
            ("limit=abc", Rules::LIST, &nan),
            ("limit=1.5", Rules::LIST, &nan),
            ("limit=-", Rules::LIST, &nan),
            ("limit=101", Rules::FILTERED, &big),
            ("limit=9007199254740992", Rules::LIST, &huge),
            ("limit=99999999999999999999", Rules::LIST, &huge),
        ] {
            let issue = issue(raw, rules);
            assert_eq!((&issue.code, issue.path), (code, vec!["limit".into()]), "{raw}");
        }
    }

    #[test]
    fn tokens_only_work_where_they_were_made() {
        let first = page("/v0/pods", "limit=2&ascending=1", Rules::LIST).unwrap();
        assert_eq!(first.order, Order::Ascending);
        let cursor = Cursor::new(Timestamp::from_micros(-7), "an id");
        let token = first.token(&cursor);
        let again =
            page("/v0/pods", &format!("limit=9&ascending=true&page_token={token}"), Rules::LIST).unwrap();
        assert_eq!(again.after, Some(cursor));
        for (route, raw) in [
            ("/v0/inboxes", format!("ascending=1&page_token={token}")),
            ("/v0/pods", format!("page_token={token}")),
            ("/v0/pods", "page_token=!!!".to_owned()),
            ("/v0/pods", "page_token=AAAA".to_owned()),
        ] {
            let Err(Error::Invalid(issues)) = page(route, &raw, Rules::LIST) else { panic!("{route}?{raw}") };
            assert_eq!(issues[0].code, IssueCode::InvalidFormat { format: "base64url" });
            assert_eq!(issues[0].path, vec!["page_token".into()]);
        }
    }

    #[test]
    fn a_page_has_a_token_only_when_more_follows() {
        let paging = page("/v0/pods", "limit=2", Rules::LIST).unwrap();
        for (next, want) in [(None, false), (Some(Cursor::new(Timestamp::from_micros(1), "x")), true)] {
            let Reply::Json(bytes) = paging.reply("pods", Page { items: vec![1, 2], next }, |n| n).unwrap()
            else {
                panic!("no JSON")
            };
            let value: Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(value["count"], 2);
            assert_eq!(value["limit"], 2);
            assert_eq!(value["pods"], serde_json::json!([1, 2]));
            assert_eq!(value.get("next_page_token").is_some(), want);
        }
    }
}
