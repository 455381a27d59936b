//! Pages about the server that need no key: the description of the API. They are made once, when first asked for, and
//! carry an `ETag`, so that clients may keep them.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use podmail_app::auth::sha256;
use podmail_domain::source::hex;

use crate::error::{Code, JSON, docs_page, sheet};
use crate::llms;
use crate::openapi;
use crate::route::Route;

/// How long clients may use a page without asking again.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");
/// Markdown, as a type that browsers show.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// Where pages lie: nothing else has to look for them.
const PLACES: [&str; 3] = ["/docs", "/llms", "/openapi"];

/// The pages by path.
#[derive(Debug)]
pub(crate) struct Pages {
    routes: Vec<Route>,
    server: String,
    docs_url: String,
    made: OnceLock<BTreeMap<&'static str, Page>>,
}

#[derive(Debug)]
struct Page {
    content_type: HeaderValue,
    etag: HeaderValue,
    body: Bytes,
}

impl Page {
    fn new(content_type: HeaderValue, body: String) -> Self {
        let etag = format!("\"{}\"", hex(&sha256(body.as_bytes())));
        let etag = HeaderValue::try_from(etag).expect("hexadecimal is a header value");
        Self { content_type, etag, body: body.into() }
    }
}

/// The list of the pages.
fn index(server: &str) -> String {
    let mut page = sheet("Podmail") + "<h1>Podmail</h1><ul>";
    let rest = [
        ("/docs/errors", "Errors", "every code and what to do about it"),
        ("/openapi.json", "OpenAPI", "every route, machine-readable"),
        ("/llms.txt", "llms.txt", "the overview for language models"),
        ("/llms-full.txt", "llms-full.txt", "every operation as Markdown"),
    ];
    for (path, title, about) in llms::DOCS.iter().chain(&rest) {
        page.push_str(&format!("<li><a href=\"{server}{path}\">{title}</a>: {about}</li>"));
    }
    page + "</ul>"
}

impl Pages {
    /// Pages about `routes`, for a server at `server` with its documentation at `docs_url`.
    pub(crate) fn new(routes: Vec<Route>, server: &str, docs_url: &str) -> Self {
        Self { routes, server: server.to_owned(), docs_url: docs_url.to_owned(), made: OnceLock::new() }
    }

    /// Whether the description of a route, by its position in the table, names an error.
    pub(crate) fn describes(&self, route: usize, code: Code) -> bool {
        // What any request can meet, whatever it is about: broken chunks of a body that nobody asked for, for one.
        if matches!(
            code,
            Code::ValidationError
                | Code::PayloadTooLarge
                | Code::RateLimitExceeded
                | Code::RaceCondition
                | Code::ResourceDeleting
        ) {
            return true;
        }
        let Some(route) = self.routes.get(route) else { return false };
        route.doc.as_ref().is_none_or(|doc| openapi::codes(route, doc).contains(&code))
    }

    fn made(&self) -> &BTreeMap<&'static str, Page> {
        self.made.get_or_init(|| {
            let document = openapi::document(&self.routes, &self.server, &self.docs_url);
            let index = index(&self.server);
            BTreeMap::from([
                ("/docs", Page::new(HTML, index.clone())),
                ("/docs/", Page::new(HTML, index)),
                ("/llms.txt", Page::new(TEXT, llms::overview(&document, &self.server))),
                ("/llms-full.txt", Page::new(TEXT, llms::full(&document, &self.server))),
                ("/docs/api.md", Page::new(TEXT, include_str!("../../../docs/api.md").to_owned())),
                (
                    "/docs/operations.md",
                    Page::new(TEXT, include_str!("../../../docs/operations.md").to_owned()),
                ),
                (
                    "/docs/configuration.md",
                    Page::new(TEXT, include_str!("../../../docs/configuration.md").to_owned()),
                ),
                (
                    "/docs/podmail.example.toml",
                    Page::new(TEXT, include_str!("../../../docs/podmail.example.toml").to_owned()),
                ),
                (
                    "/docs/compatibility.md",
                    Page::new(TEXT, include_str!("../../../docs/compatibility.md").to_owned()),
                ),
                ("/openapi.json", Page::new(JSON, document.to_string())),
                ("/docs/errors", Page::new(HTML, docs_page())),
            ])
        })
    }

    /// The page at `path`, or 304 when the client has it.
    pub(crate) fn answer(&self, path: &str, headers: &HeaderMap) -> Option<Response<Full<Bytes>>> {
        if !PLACES.iter().any(|place| path.starts_with(place)) {
            return None;
        }
        let page = self.made().get(path)?;
        let known =
            headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|tags| {
                tags.split(',').map(str::trim).any(|tag| {
                    tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == page.etag.as_bytes()
                })
            });
        let mut answer = Response::new(Full::new(if known { Bytes::new() } else { page.body.clone() }));
        *answer.status_mut() = if known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, page.content_type.clone());
        headers.insert(CACHE_CONTROL, CACHE);
        headers.insert(ETAG, page.etag.clone());
        Some(answer)
    }
}
