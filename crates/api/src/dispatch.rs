//! The way of a request: credential, route, limit, scope, permission, body, handler, answer, one line in the log.
//!
//! The order is part of the contract: a credential is checked before the path is looked at, an inbox out of scope is
//! not found before a permission can be missing, and the body of a stranger is not read.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CONTENT_TYPE, EXPECT};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use podmail_app::{App, Caller, Error};
use podmail_domain::OrganizationId;
use podmail_domain::source::{hex, random};

use crate::error::{JSON, Problem};
use crate::limiter::{Allowance, Limiter};
use crate::metrics::{self, Metrics};
use crate::pages::Pages;
use crate::request::{Reply, Request};
use crate::route::{Match, Needs, Route, Table};
use crate::{body, credential, handlers};

/// How long one request may take, its body included.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(60);
/// Everything below here needs a credential first.
const PREFIX: &str = "/v0";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Writes the metrics of the rest of the server, in Prometheus' text format.
pub type MetricsSource = Arc<dyn Fn() -> String + Send + Sync>;

/// The API. Cloning shares everything.
#[derive(Clone)]
pub struct Api {
    inner: Arc<Inner>,
}

struct Inner {
    app: App,
    table: Table,
    limiter: Option<Limiter>,
    metrics: Metrics,
    source: MetricsSource,
    pages: Pages,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("table", &self.inner.table).finish_non_exhaustive()
    }
}

/// One route of the API, for documents that are made from the table.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Method.
    pub method: Method,
    /// Template, such as `/v0/pods/{pod_id}`.
    pub path: &'static str,
    /// What it asks of the caller.
    pub needs: Needs,
}

/// Every route of the API.
pub fn operations() -> Vec<Operation> {
    handlers::all()
        .into_iter()
        .map(|Route { method, path, needs, .. }| Operation { method, path, needs })
        .collect()
}

/// What is known of a request when it is answered.
#[derive(Default)]
struct Seen {
    route: Option<(usize, &'static str)>,
    organization: Option<OrganizationId>,
    allowance: Option<Allowance>,
}

enum Failure {
    Problem(Problem),
    App(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::App(error)
    }
}
impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

type Answer = Response<Full<Bytes>>;

impl Api {
    /// The API of `app`; `source` adds to `/metrics`.
    pub fn new(app: App, source: MetricsSource) -> Self {
        Self::with_routes(app, source, handlers::all())
    }

    fn with_routes(app: App, source: MetricsSource, routes: Vec<Route>) -> Self {
        let metrics =
            Metrics::new(routes.iter().map(|route| (route.method.to_string(), route.path)).collect());
        let limiter = Limiter::new(app.settings().requests_per_second);
        let pages = Pages::new(routes.clone(), &app.settings().public_url, &app.settings().docs_url);
        Self { inner: Arc::new(Inner { app, table: Table::new(routes), limiter, metrics, source, pages }) }
    }

    /// Answers one request; never fails. The answer to a `HEAD` has the body of the `GET`, which the connection leaves out.
    pub async fn handle<B>(&self, request: http::Request<B>) -> Answer
    where
        B: Body<Data = Bytes> + Send + Unpin,
    {
        let start = Instant::now();
        let (parts, mut body) = request.into_parts();
        if let Some(answer) = self.own_page(&parts).await {
            return answer;
        }
        let id = self.request_id();
        let mut seen = Seen::default();
        let work = AssertUnwindSafe(Box::pin(self.process(&parts, &mut body, &mut seen))).catch_unwind();
        let outcome = match tokio::time::timeout(REQUEST_TIME_MAX, work).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => Err(Error::internal(format!("panic: {}", panic_text(&*panic))).into()),
            Err(_) => {
                tracing::warn!(request.id = id, "the request took too long");
                Err(Error::Unavailable.into())
            }
        };
        let mut answer = outcome.unwrap_or_else(|failure| self.failed(failure, &id, seen.route));
        if !body.is_end_stream() && !parts.headers.contains_key(EXPECT) {
            body::drain(&mut body).await;
        }
        if let Some(allowance) = seen.allowance {
            allowance.write(answer.headers_mut(), self.inner.app.now());
        }
        answer
            .headers_mut()
            .insert(REQUEST_ID, HeaderValue::try_from(&*id).expect("hexadecimal is a header value"));
        let took = start.elapsed();
        self.inner.metrics.count(seen.route.map(|(index, _)| index), answer.status().as_u16(), took);
        tracing::info!(
            request.id = id,
            http.method = %parts.method,
            http.route = seen.route.map_or("", |(_, path)| path),
            http.status = answer.status().as_u16(),
            duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            organization.id = seen.organization.map(tracing::field::display),
            "request"
        );
        answer
    }

    fn request_id(&self) -> String {
        format!("req_{}", hex(&random::<12>(self.inner.app.ids())))
    }

    /// The whole answer, head included, to what could not be read as a request. The connection ends with it.
    pub(crate) fn refuse(&self, problem: Problem, date: Option<&str>) -> Vec<u8> {
        let (status, id) = (problem.code().status(), self.request_id());
        self.inner.metrics.count(None, status, Duration::ZERO);
        tracing::info!(request.id = id, http.status = status, "no request");
        let (parts, body) = problem.response(&self.inner.app.settings().docs_url).into_parts();
        let body = body.into_inner().unwrap_or_default();
        let mut answer = format!("HTTP/1.1 {}\r\n", parts.status).into_bytes();
        let mut header = |name: &str, value: &[u8]| {
            answer.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        };
        for (name, value) in &parts.headers {
            header(name.as_str(), value.as_bytes());
        }
        header(REQUEST_ID.as_str(), id.as_bytes());
        header("connection", b"close");
        header("content-length", body.len().to_string().as_bytes());
        if let Some(date) = date {
            header("date", date.as_bytes());
        }
        answer.extend_from_slice(b"\r\n");
        answer.extend_from_slice(&body);
        answer
    }

    async fn process<B>(&self, parts: &Parts, body: &mut B, seen: &mut Seen) -> Result<Answer, Failure>
    where
        B: Body<Data = Bytes> + Send + Unpin,
    {
        let inner = &*self.inner;
        let path = parts.uri.path();
        let found = inner.table.find(&parts.method, path);
        if let Some(found) = &found {
            seen.route = Some((found.index, found.route.path));
        }
        let public = found.as_ref().is_some_and(|found| found.route.needs == Needs::Public);
        let mut caller = None;
        if !public && is_api(path) {
            let secret = credential::secret(&parts.headers).map_err(Error::Unauthorized)?;
            let known = inner.app.authenticate(secret).await?;
            seen.organization = Some(known.own.organization());
            caller = Some(known);
        }
        if let (Some(known), Some(limiter)) = (&caller, &inner.limiter) {
            seen.allowance = Some(limiter.check(known.own.organization()));
        }
        let found = found.ok_or_else(Problem::unknown_route)?;
        if let Some(known) = caller {
            if let Some(retry_after_seconds) = seen.allowance.and_then(|allowance| allowance.refused) {
                return Err(Error::RateLimited { retry_after_seconds }.into());
            }
            let narrowed = narrow(&inner.app, known, &found).await?;
            permit(&narrowed, found.route.needs)?;
            caller = Some(narrowed);
        }
        let max = inner.app.settings().max_request_bytes;
        let bytes = body::read(body, max).await.map_err(|unread| match unread {
            body::Unread::TooLarge => Problem::too_large(max),
            body::Unread::Broken => Problem::broken_body(),
        })?;
        let Match { route, params, .. } = found;
        let request = Request {
            app: inner.app.clone(),
            caller,
            params,
            method: parts.method.clone(),
            route: route.path,
            doc: route.doc.clone(),
            raw_query: parts.uri.query().unwrap_or("").to_owned(),
            headers: parts.headers.clone(),
            body: bytes,
        };
        Ok(success((route.handler)(request).await?))
    }

    fn failed(&self, failure: Failure, id: &str, route: Option<(usize, &'static str)>) -> Answer {
        let problem = match failure {
            Failure::Problem(problem) => problem,
            Failure::App(error) => {
                if let Error::Internal(cause) = &error {
                    tracing::error!(request.id = id, error = %chain(&**cause), "a request failed");
                }
                Problem::of(&error)
            }
        };
        if let Some((index, path)) = route {
            let code = problem.code();
            debug_assert!(
                self.inner.pages.describes(index, code),
                "{path} answers {code:?}, but its description does not name it",
            );
        }
        problem.response(&self.inner.app.settings().docs_url)
    }

    /// Pages about the server itself, which need no key.
    async fn own_page(&self, parts: &Parts) -> Option<Answer> {
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            return None;
        }
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        Some(match parts.uri.path() {
            "/healthz" => page(StatusCode::OK, text, "ok"),
            "/readyz" => match self.inner.app.ready().await {
                Ok(()) => page(StatusCode::OK, JSON, r#"{"status":"ready"}"#),
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "not ready");
                    page(StatusCode::SERVICE_UNAVAILABLE, JSON, r#"{"status":"unavailable"}"#)
                }
            },
            "/metrics" => {
                let mut body = self.inner.metrics.text() + &(self.inner.source)();
                match self.inner.app.search_backlog().await {
                    Ok(waiting) => body.push_str(&metrics::search_backlog(waiting)),
                    Err(error) => tracing::warn!(error = %chain(&error), "the search backlog is not known"),
                }
                page(StatusCode::OK, HeaderValue::from_static("text/plain; version=0.0.4"), body)
            }
            path => return self.inner.pages.answer(path, &parts.headers),
        })
    }
}

fn is_api(path: &str) -> bool {
    path.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The caller within the pod and the inbox that the path names.
async fn narrow(app: &App, caller: Caller, found: &Match<'_>) -> Result<Caller, Error> {
    let template = found.route.path.strip_prefix("/v0/pods");
    if template.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) && caller.own.inbox().is_some() {
        return Err(Error::ScopeForbidden);
    }
    let param =
        |name: &str| found.params.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str());
    let mut caller = caller;
    if let Some(pod) = param("pod_id") {
        caller = app.narrow_to_pod(&caller, pod).await?;
    }
    if let Some(inbox) = param("inbox_id") {
        caller = app.narrow_to_inbox(&caller, inbox).await?;
    }
    Ok(caller)
}

fn permit(caller: &Caller, needs: Needs) -> Result<(), Error> {
    match needs {
        Needs::Permission(permission) => caller.require(permission),
        Needs::OrganizationKey => caller.require_organization_key(),
        Needs::UnrestrictedOrganizationKey => {
            caller.require_organization_key()?;
            if caller.permissions.unrestricted() { Ok(()) } else { Err(Error::UnrestrictedKeyRequired) }
        }
        Needs::AnyKey | Needs::Public => Ok(()),
    }
}

fn success(reply: Reply) -> Answer {
    match reply {
        Reply::Json(bytes) => page(StatusCode::OK, JSON, bytes),
        Reply::Empty => {
            let mut answer = Response::new(Full::default());
            *answer.status_mut() = StatusCode::NO_CONTENT;
            answer
        }
        Reply::Bytes { status, content_type, headers, body } => {
            let mut answer = page(status, content_type, body);
            answer.headers_mut().extend(headers);
            answer
        }
    }
}

fn page(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}

/// An error with its causes.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message").to_owned()
}
