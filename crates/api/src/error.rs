//! From an error to the envelope that clients get: `name`, `code`, `message`, `fix`, `docs` and what single codes add.
//!
//! [`Problem::of`] is the only place that decides; it has no catch-all arm, so a new kind of error has to choose. The
//! page `/docs/errors` is made from the same table of codes.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use podmail_app::{Error, Issue, IssueCode, PathItem, Unauthorized};
use serde_json::{Map, Value, json};

/// Media type of every answer of the API.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

macro_rules! codes {
    ($($code:ident = $text:literal, $status:literal, $name:literal, $meaning:literal, $remedy:literal;)*) => {
        /// Every `code` of an error.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code { $($code),* }
        impl Code {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$code),*];
            pub(crate) const fn as_str(self) -> &'static str { match self { $(Self::$code => $text),* } }
            pub(crate) const fn status(self) -> u16 { match self { $(Self::$code => $status),* } }
            pub(crate) const fn name(self) -> &'static str { match self { $(Self::$code => $name),* } }
            pub(crate) const fn meaning(self) -> &'static str { match self { $(Self::$code => $meaning),* } }
            pub(crate) const fn remedy(self) -> &'static str { match self { $(Self::$code => $remedy),* } }
        }
    };
}

codes! {
    ValidationError = "validation_error", 400, "ValidationError",
        "A field, a query parameter or a header does not fit. `errors` lists every violation with its path.",
        "Correct what `errors` lists and repeat the request.";
    QueryRangeTooWide = "query_range_too_wide", 400, "ValidationError",
        "The time window of the query is wider than the route allows.", "Ask for a narrower window.";
    MissingAuthorization = "missing_authorization", 401, "UnauthorizedError",
        "The request has no usable Authorization header.", "Send the header `Authorization: Bearer <api key>`.";
    InvalidTokenType = "invalid_token_type", 401, "UnauthorizedError",
        "The credential is a session token where an API key is needed.", "Use an API key; they start with `am_`.";
    UnknownApiKey = "unknown_api_key", 401, "UnauthorizedError",
        "No API key has this secret; it may have been deleted.", "Check the key, or create a new one.";
    ApiKeyExpired = "api_key_expired", 401, "UnauthorizedError",
        "The API key is past its expires_at.", "Create a new key; the end of a key cannot be moved.";
    Unauthorized = "unauthorized", 401, "UnauthorizedError",
        "The credential was refused.", "Check the Authorization header.";
    MissingPermission = "missing_permission", 403, "ForbiddenError",
        "The API key lacks the permission that this call needs; `fix` names it.",
        "Use a key that has the permission, or have one created.";
    PermissionEscalation = "permission_escalation", 403, "ForbiddenError",
        "A key cannot give what it does not have: grants, or an expiry beyond its own.",
        "Leave out what `fix` lists, or use a key that has it.";
    UnrestrictedKeyRequired = "unrestricted_key_required", 403, "ForbiddenError",
        "Only a key without a permissions object may do this.", "Use an unrestricted key.";
    Forbidden = "forbidden", 403, "ForbiddenError",
        "The scope of the key cannot do this at all, for example an inbox key on a pod route, or the operator does not \
         offer it.",
        "Use a key of a wider scope.";
    AlreadyExists = "already_exists", 403, "AlreadyExistsError",
        "Your organization already has such a resource. `suggestions` may list free names.",
        "Use the existing resource, or choose another name.";
    ResourceTaken = "resource_taken", 403, "IsTakenError",
        "Another organization holds the name.", "Choose another name.";
    LimitExceeded = "limit_exceeded", 403, "LimitExceededError",
        "A quota is used up: `resource` and `limit` say which.",
        "Delete what is not needed, or ask the operator for a higher limit.";
    DomainNotVerified = "domain_not_verified", 403, "DomainNotVerifiedError",
        "The domain exists but its DNS records are not complete.",
        "Publish the records of the domain and call verify.";
    MessageRejected = "message_rejected", 403, "MessageRejectedError",
        "Nothing was sent: a recipient is blocked, the account is suspended or an attachment could not be fetched.",
        "Read `message`, correct the cause and send again.";
    InboxPaused = "inbox_paused", 403, "InboxPausedError",
        "The inbox is paused and cannot send.",
        "Resume the inbox: `PATCH /v0/inboxes/{inbox_id}` with `{\"status\":\"active\"}`.";
    NotFound = "not_found", 404, "NotFoundError",
        "The resource does not exist, or the key cannot see it.", "Check the identifier and the scope of the key.";
    Conflict = "conflict", 409, "ConflictError",
        "The Idempotency-Key was used for another request, the same send is still running, or the resource \
         is in a state that leaves no room for the call.",
        "Use a new Idempotency-Key for a new request.";
    RaceCondition = "race_condition", 409, "ConflictError",
        "The resource was changed at the same time.", "Read it again and repeat the request.";
    ResourceDeleting = "resource_deleting", 409, "ConflictError",
        "The resource is being deleted.", "Wait until it is gone.";
    CannotDelete = "cannot_delete", 409, "CannotDeleteError",
        "Something still depends on the resource, or it is read-only; `message` says which.",
        "Do what `fix` says: delete the dependants first, or ask the operator about read-only entries.";
    PayloadTooLarge = "payload_too_large", 413, "PayloadTooLargeError",
        "The request body is larger than this server accepts.",
        "Send less, or give large attachments by URL.";
    UriTooLong = "uri_too_long", 414, "UriTooLongError",
        "The URL is longer than 64 KiB.", "Send fewer or shorter values in the query.";
    Unprocessable = "unprocessable", 422, "UnprocessableError",
        "The request is well-formed but impossible.", "Read `message`.";
    RateLimitExceeded = "rate_limit_exceeded", 429, "RateLimitError",
        "Too many requests or messages in too short a time.", "Wait for as many seconds as Retry-After says.";
    HeadersTooLarge = "headers_too_large", 431, "HeadersTooLargeError",
        "The request has more than 100 headers, or they are too large.", "Send fewer and shorter headers.";
    InternalError = "internal_error", 500, "ServerError",
        "The server failed; its log has the details under the request id.", "Repeat the request later.";
    ServiceUnavailable = "service_unavailable", 503, "ServiceUnavailableError",
        "Something that the server needs does not answer.", "Repeat the request later.";
}

/// Flags that one sentence names.
const FLAGS_NAMED: usize = 5;

/// An error on its way out.
#[derive(Debug)]
pub(crate) struct Problem {
    code: Code,
    message: String,
    fix: Option<String>,
    extra: Map<String, Value>,
    retry_after: Option<u64>,
}

impl Problem {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), fix: None, extra: Map::new(), retry_after: None }
    }
    fn fix(mut self, fix: impl Into<Option<String>>) -> Self {
        self.fix = fix.into();
        self
    }
    /// The usual remedy of the code.
    fn remedy(self) -> Self {
        let remedy = self.code.remedy().to_owned();
        self.fix(remedy)
    }
    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }
    fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds.max(1));
        self
    }

    /// No row of the table fits.
    pub(crate) fn unknown_route() -> Self {
        Self::new(Code::NotFound, "Route not found").fix("Check the method and the path.".to_owned())
    }
    /// The body is larger than `max` bytes.
    pub(crate) fn too_large(max: usize) -> Self {
        Self::new(Code::PayloadTooLarge, format!("Request body is larger than {max} bytes")).remedy()
    }
    /// The body ended early, or its chunks are none.
    pub(crate) fn broken_body() -> Self {
        Self::unreadable(
            "The request body could not be read",
            "Send as many bytes as Content-Length says, or sound chunks.".to_owned(),
        )
    }
    /// The request is no sound HTTP.
    pub(crate) fn unreadable(what: &'static str, fix: String) -> Self {
        let errors = vec![issue(&Issue::custom([], what))];
        Self::new(Code::ValidationError, what).fix(fix).with("errors", errors)
    }
    /// The URL is longer than the connection reads.
    pub(crate) fn uri_too_long() -> Self {
        Self::new(Code::UriTooLong, "URI too long").remedy()
    }
    /// The headers are more than the connection reads.
    pub(crate) fn headers_too_large() -> Self {
        Self::new(Code::HeadersTooLarge, "Request headers too large").remedy()
    }
    pub(crate) const fn code(&self) -> Code {
        self.code
    }

    /// The only place that turns the product's errors into codes.
    pub(crate) fn of(error: &Error) -> Self {
        let message = error.to_string();
        match error {
            Error::NotFound(_) => Self::new(Code::NotFound, message).remedy(),
            Error::Invalid(issues) => {
                let issues: Vec<Value> = issues.iter().map(issue).collect();
                Self::new(Code::ValidationError, message).remedy().with("errors", issues)
            }
            Error::Unauthorized(reason) => match reason {
                Unauthorized::MissingAuthorization(which) => {
                    Self::new(Code::MissingAuthorization, "Unauthorized").fix((*which).to_owned())
                }
                Unauthorized::InvalidTokenType => Self::new(Code::InvalidTokenType, "Unauthorized").remedy(),
                Unauthorized::UnknownApiKey => Self::new(Code::UnknownApiKey, "Forbidden").remedy(),
                Unauthorized::ApiKeyExpired => Self::new(Code::ApiKeyExpired, "Forbidden").remedy(),
            },
            Error::MissingPermission(flag) => Self::new(Code::MissingPermission, message).fix(format!(
                "This call needs the permission \"{flag}\": use a key that has it, or have one created with it."
            )),
            Error::KeyTooNarrow { permission, needs } => Self::new(Code::MissingPermission, message)
                .fix(format!("\"{permission}\" lies beyond the scope of this key, whatever its permissions: use {needs}.")),
            Error::SubscriptionForbidden(permission) => Self::new(Code::MissingPermission, message).fix(format!(
                "Use a key that has the permission \"{}\", or leave the event type out.",
                permission.as_str()
            )),
            Error::ScopeForbidden => Self::new(Code::Forbidden, message).remedy(),
            Error::NotOffered(what) => {
                Self::new(Code::Forbidden, message).fix(format!("Ask the operator of this server for {what}."))
            }
            Error::PermissionEscalation { extra } => Self::new(Code::PermissionEscalation, message)
                .fix(format!("The calling key cannot grant: {}. Leave it out, or use a stronger key.", extra.join(", "))),
            Error::WeakerKey { lacks } => {
                Self::new(Code::PermissionEscalation, message).fix(weaker_key(lacks))
            }
            Error::UnrestrictedKeyRequired => Self::new(Code::UnrestrictedKeyRequired, message).remedy(),
            Error::AlreadyExists { suggestions, fix, .. } => {
                let problem = Self::new(Code::AlreadyExists, message);
                let usual = problem.code.remedy().to_owned();
                let problem = problem.fix(fix.clone().unwrap_or(usual));
                if suggestions.is_empty() { problem } else { problem.with("suggestions", suggestions.clone()) }
            }
            Error::ResourceTaken { .. } => Self::new(Code::ResourceTaken, message).remedy(),
            Error::LimitExceeded { resource, limit } => Self::new(Code::LimitExceeded, message)
                .remedy()
                .with("resource", *resource)
                .with("limit", *limit),
            Error::DomainNotVerified { .. } => Self::new(Code::DomainNotVerified, message).remedy(),
            Error::MessageRejected { fix, .. } => Self::new(Code::MessageRejected, message).fix(fix.clone()),
            Error::BadLink => Self::new(Code::Forbidden, message).fix(
                "The link is not whole or has ended: get a fresh one where this one came from, the route of the \
                 attachment or of the raw message."
                    .to_owned(),
            ),
            Error::InboxPaused => Self::new(Code::InboxPaused, message).remedy(),
            Error::Conflict(_) => Self::new(Code::Conflict, message).remedy(),
            Error::WrongState(why) => Self::new(Code::Conflict, message).fix(why.fix.to_owned()),
            Error::RaceCondition => Self::new(Code::RaceCondition, message).remedy(),
            Error::ResourceDeleting(_) => Self::new(Code::ResourceDeleting, message).remedy(),
            Error::CannotDelete(why) => Self::new(Code::CannotDelete, message).fix(why.fix.to_owned()),
            Error::Unprocessable(_) => Self::new(Code::Unprocessable, message),
            Error::RateLimited { retry_after_seconds } => {
                Self::new(Code::RateLimitExceeded, message).remedy().retry_after(*retry_after_seconds)
            }
            Error::Unavailable => Self::new(Code::ServiceUnavailable, message).remedy().retry_after(1),
            Error::Internal(_) => Self::new(Code::InternalError, message).remedy(),
        }
    }

    /// The answer. `docs_url` is the base of the documentation.
    pub(crate) fn response(self, docs_url: &str) -> Response<Full<Bytes>> {
        let mut body = Map::new();
        body.insert("name".to_owned(), self.code.name().into());
        body.insert("code".to_owned(), self.code.as_str().into());
        body.insert("message".to_owned(), self.message.into());
        if let Some(fix) = self.fix {
            body.insert("fix".to_owned(), fix.into());
        }
        body.insert("docs".to_owned(), format!("{docs_url}/errors#{}", self.code.as_str()).into());
        body.extend(self.extra);
        let mut response = Response::new(Full::from(Value::Object(body).to_string()));
        *response.status_mut() =
            StatusCode::from_u16(self.code.status()).expect("the table has valid statuses");
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, JSON);
        if self.code.status() == 401 {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

fn weaker_key(lacks: &[String]) -> String {
    if lacks.is_empty() {
        return "That key is unrestricted: use an unrestricted key.".to_owned();
    }
    let named = lacks.iter().take(FLAGS_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = match lacks.len().saturating_sub(FLAGS_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "That key has permissions that the calling key lacks ({named}{more}): use a key that has them, or an unrestricted one."
    )
}

fn issue(issue: &Issue) -> Value {
    let path: Vec<Value> = issue
        .path
        .iter()
        .map(|item| match item {
            PathItem::Name(name) => Value::from(name.as_str()),
            PathItem::Index(index) => Value::from(*index),
        })
        .collect();
    let (code, extra) = match &issue.code {
        IssueCode::InvalidType { expected, received: None } => {
            ("invalid_type", json!({ "expected": expected }))
        }
        IssueCode::InvalidType { expected, received: Some(received) } => {
            ("invalid_type", json!({ "expected": expected, "received": received }))
        }
        IssueCode::TooSmall { origin, minimum, inclusive } => {
            ("too_small", json!({ "origin": origin, "minimum": minimum, "inclusive": inclusive }))
        }
        IssueCode::TooBig { origin, maximum, inclusive } => {
            ("too_big", json!({ "origin": origin, "maximum": maximum, "inclusive": inclusive }))
        }
        IssueCode::InvalidValue { values } => ("invalid_value", json!({ "values": values })),
        IssueCode::InvalidFormat { format } => ("invalid_format", json!({ "format": format })),
        IssueCode::UnrecognizedKeys { keys } => ("unrecognized_keys", json!({ "keys": keys })),
        IssueCode::Custom => ("custom", json!({})),
    };
    let mut value = json!({ "code": code, "path": path, "message": issue.message });
    if let (Value::Object(value), Value::Object(extra)) = (&mut value, extra) {
        value.extend(extra);
    }
    value
}

/// The beginning of a page of the documentation.
pub(crate) fn sheet(title: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <style>body{{font:16px/1.5 sans-serif;max-width:46em;margin:2em auto;padding:0 1em}}\
         h2{{margin-top:2em}}code{{background:#eee;padding:0 .2em}}</style>"
    )
}

/// The page that `docs` links point to.
pub(crate) fn docs_page() -> String {
    let mut page = sheet("Errors");
    page.push_str(
        "<h1>Errors</h1><p>Every error is a JSON object with <code>name</code>, <code>code</code>, \
         <code>message</code> and mostly <code>fix</code>. Branch on <code>code</code>.</p>",
    );
    for code in Code::ALL {
        page.push_str(&format!(
            "<h2 id=\"{0}\">{0}</h2><p>HTTP {1}, <code>{2}</code>.</p><p>{3}</p><p>What to do: {4}</p>",
            code.as_str(),
            code.status(),
            code.name(),
            marked(code.meaning()),
            marked(code.remedy()),
        ));
    }
    page
}

/// Escapes text for HTML and turns backquotes into `<code>`.
fn marked(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.split('`').enumerate().fold(String::new(), |page, (n, part)| {
        if n % 2 == 0 { page + part } else { format!("{page}<code>{part}</code>") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use podmail_app::Explained;
    use podmail_domain::Permission;

    async fn body(problem: Problem) -> (u16, Value) {
        let response = problem.response("https://docs.test");
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn every_error_has_its_status_and_code() {
        let text = || "x".to_owned();
        for (error, status, code, name, message) in [
            (Error::NotFound("Inbox"), 404, "not_found", "NotFoundError", "Inbox not found"),
            (
                Error::Unauthorized(Unauthorized::MissingAuthorization("y")),
                401,
                "missing_authorization",
                "UnauthorizedError",
                "Unauthorized",
            ),
            (
                Error::Unauthorized(Unauthorized::InvalidTokenType),
                401,
                "invalid_token_type",
                "UnauthorizedError",
                "Unauthorized",
            ),
            (
                Error::Unauthorized(Unauthorized::UnknownApiKey),
                401,
                "unknown_api_key",
                "UnauthorizedError",
                "Forbidden",
            ),
            (
                Error::Unauthorized(Unauthorized::ApiKeyExpired),
                401,
                "api_key_expired",
                "UnauthorizedError",
                "Forbidden",
            ),
            (
                Error::MissingPermission("inbox_read"),
                403,
                "missing_permission",
                "ForbiddenError",
                "Forbidden",
            ),
            (
                Error::SubscriptionForbidden(Permission::LabelSpamRead),
                403,
                "missing_permission",
                "ForbiddenError",
                "label_spam_read is forbidden",
            ),
            (Error::ScopeForbidden, 403, "forbidden", "ForbiddenError", "Forbidden"),
            (
                Error::PermissionEscalation { extra: vec![text()] },
                403,
                "permission_escalation",
                "ForbiddenError",
                "Forbidden",
            ),
            (
                Error::KeyTooNarrow { permission: "inbox_create", needs: "a key of the pod" },
                403,
                "missing_permission",
                "ForbiddenError",
                "Forbidden",
            ),
            (
                Error::WeakerKey { lacks: vec![text()] },
                403,
                "permission_escalation",
                "ForbiddenError",
                "Forbidden",
            ),
            (Error::UnrestrictedKeyRequired, 403, "unrestricted_key_required", "ForbiddenError", "Forbidden"),
            (
                Error::AlreadyExists { resource: "Inbox", suggestions: vec![], fix: None },
                403,
                "already_exists",
                "AlreadyExistsError",
                "Inbox already exists",
            ),
            (
                Error::ResourceTaken { resource: "Inbox" },
                403,
                "resource_taken",
                "IsTakenError",
                "Inbox is taken",
            ),
            (
                Error::DomainNotVerified { domain: text() },
                403,
                "domain_not_verified",
                "DomainNotVerifiedError",
                "Domain not verified: x",
            ),
            (
                Error::MessageRejected { message: text(), fix: None },
                403,
                "message_rejected",
                "MessageRejectedError",
                "x",
            ),
            (Error::InboxPaused, 403, "inbox_paused", "InboxPausedError", "Inbox is paused"),
            (Error::Conflict(text()), 409, "conflict", "ConflictError", "x"),
            (
                Error::CannotDelete(Explained { message: text(), fix: "y" }),
                409,
                "cannot_delete",
                "CannotDeleteError",
                "x",
            ),
            (Error::Unprocessable(text()), 422, "unprocessable", "UnprocessableError", "x"),
            (
                Error::Unavailable,
                503,
                "service_unavailable",
                "ServiceUnavailableError",
                "Service unavailable",
            ),
            (Error::internal("secret"), 500, "internal_error", "ServerError", "Internal error"),
        ] {
            let (got, body) = body(Problem::of(&error)).await;
            assert_eq!(got, status, "{error:?}");
            assert_eq!(body["code"], code, "{error:?}");
            assert_eq!(body["name"], name, "{error:?}");
            assert_eq!(body["message"], message, "{error:?}");
            assert_eq!(body["docs"], format!("https://docs.test/errors#{code}"));
            assert!(!body.to_string().contains("secret"), "{body}");
        }
    }

    #[tokio::test]
    async fn codes_add_their_own_members() {
        let error = Error::Invalid(vec![
            Issue::custom(["add_labels".into(), 0.into()], "no"),
            Issue::too_big([], "array", 3),
        ]);
        let (_, value) = body(Problem::of(&error)).await;
        assert_eq!(
            value["errors"],
            json!([
                { "code": "custom", "path": ["add_labels", 0], "message": "no" },
                { "code": "too_big", "path": [], "message": "Too big: expected array to have at most 3",
                  "origin": "array", "maximum": 3, "inclusive": true },
            ])
        );
        let (_, value) = body(Problem::of(&Error::LimitExceeded { resource: "inbox", limit: 7 })).await;
        assert_eq!((&value["resource"], &value["limit"]), (&json!("inbox"), &json!(7)));
        let (_, value) = body(Problem::of(&Error::MissingPermission("inbox_read"))).await;
        assert!(value["fix"].as_str().unwrap().contains("\"inbox_read\""));
    }

    #[test]
    fn headers_tell_how_to_go_on() {
        let response = Problem::of(&Error::RateLimited { retry_after_seconds: 0 }).response("");
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        let response = Problem::of(&Error::Unauthorized(Unauthorized::UnknownApiKey)).response("");
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json; charset=utf-8");
    }

    #[test]
    fn the_page_has_an_anchor_for_every_code() {
        let page = docs_page();
        for code in Code::ALL {
            assert!(page.contains(&format!("id=\"{}\"", code.as_str())), "{code:?}");
        }
    }
}
