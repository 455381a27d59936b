//! What a handler gets and what it gives back.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use podmail_app::{App, Caller, Error, Issue, Result};
use podmail_domain::{AttachmentId, MessageId, limits};
use serde::Serialize;

use crate::describe::Doc;
use crate::fields::{Fields, is_client_id};
use crate::query::Query;
use crate::route::Params;

/// One request that has passed the dispatcher: the caller is known, narrowed by the path and allowed.
#[derive(Debug)]
pub(crate) struct Request {
    /// The product.
    pub(crate) app: App,
    pub(crate) caller: Option<Caller>,
    pub(crate) params: Params,
    /// `HEAD` on the rows of `GET` too.
    pub(crate) method: Method,
    /// Template of the route.
    pub(crate) route: &'static str,
    pub(crate) doc: Option<Arc<Doc>>,
    pub(crate) raw_query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    /// Who asks; `caller.scope` is already narrowed to the pod or inbox in the path.
    ///
    /// # Errors
    /// `Internal` on a public route, which has no caller.
    pub(crate) fn caller(&self) -> Result<&Caller> {
        self.caller.as_ref().ok_or_else(|| Error::internal("a public route asked for its caller"))
    }
    /// A path parameter, decoded; empty when the route has no such parameter.
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(own, _)| *own == name).map_or("", |(_, value)| value)
    }
    /// Whether the route has this parameter: tells the levels apart at which a handler is mounted.
    pub(crate) fn has_param(&self, name: &str) -> bool {
        self.params.iter().any(|(own, _)| *own == name)
    }
    /// An identifier in the path; one of the wrong shape is not found.
    pub(crate) fn id<T>(
        &self,
        name: &str,
        parse: fn(&str) -> Option<T>,
        resource: &'static str,
    ) -> Result<T> {
        parse(self.param(name)).ok_or(Error::NotFound(resource))
    }
    /// `{message_id}`, with the brackets that a client may have left out.
    pub(crate) fn message_id(&self) -> MessageId {
        MessageId::new(self.param("message_id"))
    }
    /// `{attachment_id}`.
    pub(crate) fn attachment_id(&self) -> Result<AttachmentId> {
        self.id("attachment_id", AttachmentId::parse, "Attachment")
    }
    /// A header as text; `None` when it is absent, empty text when its value is none.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap_or(""))
    }
    /// `Idempotency-Key`.
    ///
    /// # Errors
    /// `Invalid` when it is there and not a key.
    pub(crate) fn idempotency_key(&self) -> Result<Option<String>> {
        const NAME: &str = "Idempotency-Key";
        let mut all = self.headers.get_all(NAME).iter();
        let first = all.next();
        // Which of several would be meant is anybody's guess, and the wrong one sends twice.
        if all.any(|other| Some(other) != first) {
            return Err(Error::invalid(Issue::custom(
                [NAME.into()],
                format!("Several {NAME}s: expected one"),
            )));
        }
        match self.header(NAME) {
            None => Ok(None),
            Some(key) if is_client_id(key) => Ok(Some(key.to_owned())),
            Some(_) => Err(Error::invalid(Issue::format(
                [NAME.into()],
                "idempotency_key",
                format!(
                    "Invalid {NAME}: expected 1 to {} characters of A-Z a-z 0-9 - . _ ~",
                    limits::CLIENT_ID_CHARS
                ),
            ))),
        }
    }
    /// The body's members. Call it after the addressed resource was found: 404 comes before 400.
    ///
    /// # Errors
    /// `Invalid` when the body is no JSON object.
    pub(crate) fn fields(&self) -> Result<Fields> {
        Ok(Fields::parse(&self.body)?.described_by(self.doc.clone()))
    }
    /// The query's parameters.
    pub(crate) fn query(&self) -> Query {
        Query::parse(&self.raw_query, self.route, &self.params).described_by(self.doc.clone())
    }
}

/// A successful answer.
#[derive(Debug)]
pub(crate) enum Reply {
    /// 200 with a JSON object.
    Json(Vec<u8>),
    /// 204.
    Empty,
    /// Bytes of another type.
    Bytes {
        /// 200, or 206 and 416 for ranges.
        status: StatusCode,
        /// `Content-Type`.
        content_type: HeaderValue,
        /// Further headers.
        headers: Vec<(HeaderName, HeaderValue)>,
        /// The bytes.
        body: Bytes,
    },
}

impl Reply {
    /// 200 with `value`, which has to be an object: anything else breaks the SDKs.
    ///
    /// # Errors
    /// `Internal` when it cannot be written as JSON.
    pub(crate) fn json(value: &impl Serialize) -> Result<Self> {
        serde_json::to_vec(value).map(Self::Json).map_err(Error::internal)
    }
}
