//! The table of routes and how a path finds its row.
//!
//! Paths are split on `/` while they are raw and each segment is decoded once, so `%2F` inside a segment is part of an
//! identifier. Message ids and list entries may hold unescaped slashes: `{message_id}` and `{entry}` take as many
//! segments as are left between the literal parts around them. Where several rows fit, the one with the most literal
//! segments wins (`…/messages/search` before `…/messages/{message_id}`).

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::Method;
use percent_encoding::percent_decode_str;
use podmail_app::Result;
use podmail_domain::Permission;

use crate::describe::Doc;
use crate::request::{Reply, Request};

/// Segments of a path that are looked at; longer paths are unknown routes.
const PATH_SEGMENTS_MAX: usize = 64;
/// Parameters that may span several segments.
const SPANNING: [&str; 2] = ["message_id", "entry"];

/// What a route asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// A key with this flag.
    Permission(Permission),
    /// Any key.
    AnyKey,
    /// A key of the whole organization; no flag is involved.
    OrganizationKey,
    /// A key of the whole organization without a permissions object.
    UnrestrictedOrganizationKey,
    /// Nothing: the link itself is the proof.
    Public,
}

impl From<Permission> for Needs {
    fn from(permission: Permission) -> Self {
        Self::Permission(permission)
    }
}

pub(crate) type Handler = Arc<dyn Fn(Request) -> BoxFuture<'static, Result<Reply>> + Send + Sync>;

/// One row of the table.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) method: Method,
    /// Template such as `/v0/pods/{pod_id}`.
    pub(crate) path: &'static str,
    pub(crate) needs: Needs,
    pub(crate) handler: Handler,
    /// What it says about itself; a test insists on it.
    pub(crate) doc: Option<Arc<Doc>>,
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl Route {
    fn new<F, Fut>(method: Method, path: &'static str, needs: Needs, handler: F) -> Self
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request| handler(request).boxed());
        Self { method, path, needs, handler, doc: None }
    }
    /// A `GET` route.
    pub(crate) fn get<F, Fut>(path: &'static str, needs: impl Into<Needs>, handler: F) -> Self
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply>> + Send + 'static,
    {
        Self::new(Method::GET, path, needs.into(), handler)
    }
    /// A `POST` route.
    pub(crate) fn post<F, Fut>(path: &'static str, needs: impl Into<Needs>, handler: F) -> Self
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply>> + Send + 'static,
    {
        Self::new(Method::POST, path, needs.into(), handler)
    }
    /// A `PATCH` route.
    pub(crate) fn patch<F, Fut>(path: &'static str, needs: impl Into<Needs>, handler: F) -> Self
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply>> + Send + 'static,
    {
        Self::new(Method::PATCH, path, needs.into(), handler)
    }
    /// A `DELETE` route.
    pub(crate) fn delete<F, Fut>(path: &'static str, needs: impl Into<Needs>, handler: F) -> Self
    where
        F: Fn(Request) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply>> + Send + 'static,
    {
        Self::new(Method::DELETE, path, needs.into(), handler)
    }
    /// Says what the route does, reads and answers: see [`doc`](crate::describe::doc).
    #[must_use]
    pub(crate) fn describe(mut self, doc: Doc) -> Self {
        self.doc = Some(Arc::new(doc));
        self
    }
    /// The same route below another path.
    #[must_use]
    pub(crate) fn at(&self, path: &'static str) -> Self {
        Self { path, ..self.clone() }
    }
}

#[derive(Clone, Copy, Debug)]
enum Segment {
    Literal(&'static str),
    One(&'static str),
    Many(&'static str),
}

#[derive(Debug)]
struct Row {
    route: Route,
    /// Position in the table as it was given; counters use it.
    index: usize,
    segments: Vec<Segment>,
}

/// Path parameters: names and decoded values, in the order of the path.
pub(crate) type Params = Vec<(&'static str, String)>;

/// A row that fits.
#[derive(Debug)]
pub(crate) struct Match<'a> {
    pub(crate) route: &'a Route,
    pub(crate) index: usize,
    pub(crate) params: Params,
}

/// The routes, most specific first.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Table {
    pub(crate) fn new(routes: Vec<Route>) -> Self {
        let mut rows: Vec<Row> = routes
            .into_iter()
            .enumerate()
            .map(|(index, route)| Row { segments: template(route.path), route, index })
            .collect();
        rows.sort_by_key(|row| {
            std::cmp::Reverse(row.segments.iter().filter(|s| matches!(s, Segment::Literal(_))).count())
        });
        Self { rows }
    }

    /// The row for a method and a raw path (without the query). `HEAD` finds the rows of `GET`.
    pub(crate) fn find(&self, method: &Method, raw_path: &str) -> Option<Match<'_>> {
        let raw = raw_path.strip_prefix('/')?;
        let path: Vec<String> = raw.split('/').take(PATH_SEGMENTS_MAX + 1).map(decode).collect();
        // An empty segment is an empty identifier; NUL is in no identifier and no database text.
        if path.len() > PATH_SEGMENTS_MAX || path.iter().any(|s| s.is_empty() || s.contains('\0')) {
            return None;
        }
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.rows.iter().filter(|row| row.route.method == *method).find_map(|row| {
            let params = fit(&row.segments, &path)?;
            Some(Match { route: &row.route, index: row.index, params })
        })
    }
}

fn decode(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

fn template(path: &'static str) -> Vec<Segment> {
    path.trim_start_matches('/')
        .split('/')
        .map(|segment| match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
            Some(name) if SPANNING.contains(&name) => Segment::Many(name),
            Some(name) => Segment::One(name),
            None => Segment::Literal(segment),
        })
        .collect()
}

fn fit(template: &[Segment], path: &[String]) -> Option<Params> {
    let spare = path.len().checked_sub(template.len())?;
    if spare > 0 && !template.iter().any(|s| matches!(s, Segment::Many(_))) {
        return None;
    }
    let mut rest = path;
    let mut params = Params::new();
    for segment in template {
        let take = if matches!(segment, Segment::Many(_)) { spare + 1 } else { 1 };
        let (taken, left) = rest.split_at_checked(take)?;
        rest = left;
        match *segment {
            Segment::Literal(literal) => taken.first().filter(|s| *s == literal).map(drop)?,
            Segment::One(name) | Segment::Many(name) => params.push((name, taken.join("/"))),
        }
    }
    rest.is_empty().then_some(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        async fn nothing(_: Request) -> Result<Reply> {
            Ok(Reply::Empty)
        }
        let key = Needs::AnyKey;
        let messages = "/v0/inboxes/{inbox_id}/messages/{message_id}";
        Table::new(vec![
            Route::get("/v0/inboxes", key, nothing),
            Route::get("/v0/inboxes/{inbox_id}", key, nothing),
            Route::delete("/v0/inboxes/{inbox_id}", key, nothing),
            Route::get(messages, key, nothing),
            Route::delete(messages, key, nothing),
            Route::get("/v0/inboxes/{inbox_id}/messages/search", key, nothing),
            Route::post("/v0/inboxes/{inbox_id}/messages/batch-get", key, nothing),
            Route::get("/v0/inboxes/{inbox_id}/messages/{message_id}/raw", key, nothing),
            Route::post("/v0/inboxes/{inbox_id}/messages/{message_id}/reply", key, nothing),
            Route::get(
                "/v0/inboxes/{inbox_id}/messages/{message_id}/attachments/{attachment_id}",
                key,
                nothing,
            ),
            Route::delete("/v0/lists/{direction}/{type}/{entry}", key, nothing),
        ])
    }

    #[test]
    fn paths_find_their_row_with_identifiers_decoded_once() {
        let table = table();
        let m = "/v0/inboxes/{inbox_id}/messages";
        for (method, path, want) in [
            ("GET", "/v0/inboxes", Some(("/v0/inboxes".to_owned(), vec![]))),
            ("PUT", "/v0/inboxes", None),
            ("HEAD", "/v0/inboxes", Some(("/v0/inboxes".to_owned(), vec![]))),
            (
                "HEAD",
                "/v0/inboxes/i/messages/batch-get",
                Some((format!("{m}/{{message_id}}"), vec!["i", "batch-get"])),
            ),
            ("GET", "/v0/inboxes/", None),
            ("GET", "/v0/inboxes//messages", None),
            ("GET", "/v0/nothing", None),
            (
                "GET",
                "/v0/inboxes/user+x@d.test",
                Some(("/v0/inboxes/{inbox_id}".into(), vec!["user+x@d.test"])),
            ),
            (
                "GET",
                "/v0/inboxes/user%2Bx%40d.test",
                Some(("/v0/inboxes/{inbox_id}".into(), vec!["user+x@d.test"])),
            ),
            ("GET", "/v0/inboxes/a%00b@d.test", None),
            ("GET", "/v0/inboxes/i/messages/search", Some((format!("{m}/search"), vec!["i"]))),
            (
                "DELETE",
                "/v0/inboxes/i/messages/search",
                Some((format!("{m}/{{message_id}}"), vec!["i", "search"])),
            ),
            ("POST", "/v0/inboxes/i/messages/batch-get", Some((format!("{m}/batch-get"), vec!["i"]))),
            (
                "GET",
                "/v0/inboxes/i/messages/%3Ca/b@x%3E",
                Some((format!("{m}/{{message_id}}"), vec!["i", "<a/b@x>"])),
            ),
            (
                "GET",
                "/v0/inboxes/i/messages/%3Ca%2Fb%40x%3E",
                Some((format!("{m}/{{message_id}}"), vec!["i", "<a/b@x>"])),
            ),
            (
                "GET",
                "/v0/inboxes/i/messages/%3Ca%252Fb@x%3E",
                Some((format!("{m}/{{message_id}}"), vec!["i", "<a%2Fb@x>"])),
            ),
            (
                "POST",
                "/v0/inboxes/i/messages/%3Ca/b@x%3E/reply",
                Some((format!("{m}/{{message_id}}/reply"), vec!["i", "<a/b@x>"])),
            ),
            (
                "POST",
                "/v0/inboxes/i/messages/%3Ca%2Fb@x%3E/reply",
                Some((format!("{m}/{{message_id}}/reply"), vec!["i", "<a/b@x>"])),
            ),
            (
                "GET",
                "/v0/inboxes/i/messages/a/b/c@x/raw",
                Some((format!("{m}/{{message_id}}/raw"), vec!["i", "a/b/c@x"])),
            ),
            (
                "GET",
                "/v0/inboxes/i/messages/%3Ca/b@x%3E/attachments/7",
                Some((
                    format!("{m}/{{message_id}}/attachments/{{attachment_id}}"),
                    vec!["i", "<a/b@x>", "7"],
                )),
            ),
            (
                "DELETE",
                "/v0/lists/send/block/a/b@x",
                Some(("/v0/lists/{direction}/{type}/{entry}".into(), vec!["send", "block", "a/b@x"])),
            ),
        ] {
            let method: Method = method.parse().unwrap();
            let found = table.find(&method, path).map(|found| {
                (
                    found.route.path.to_owned(),
                    found.params.into_iter().map(|(_, value)| value).collect::<Vec<_>>(),
                )
            });
            let want = want.map(|(path, params)| (path, params.into_iter().map(str::to_owned).collect()));
            assert_eq!(found, want, "{method} {path}");
        }
    }

    #[test]
    fn a_path_of_too_many_segments_is_unknown() {
        let path = format!("/v0/inboxes/i/messages/{}", vec!["a"; PATH_SEGMENTS_MAX].join("/"));
        assert!(table().find(&Method::GET, &path).is_none());
    }
}
