//! Guarded HTTP: one shared client that never follows redirects by itself, uses no proxy and no cookies, and
//! whose names are resolved and filtered by the gate.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderName, HeaderValue, LOCATION};
use reqwest::redirect;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, timeout_at};
use url::{Host, Url};

use crate::{Egress, EgressError, Gate, PRIVATE};

/// How long connecting to one host may take, TLS handshake not included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept for the next request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Most idle connections kept per host.
const IDLE_PER_HOST_MAX: usize = 64;
/// Most bytes of an answer's body that are read, only so that the connection can be used again.
const DRAIN_BYTES_MAX: usize = 64 * 1024;
/// How long reading such a body may hold up the caller.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest header value of an answer that is handed on, in bytes.
const VALUE_BYTES_MAX: usize = 256;
/// Most redirects that a fetch follows.
const REDIRECTS_MAX: usize = 5;
/// Name under which requests introduce themselves unless the caller names another.
const USER_AGENT: &str = concat!("Podmail/", env!("CARGO_PKG_VERSION"));

/// What a receiver answered to a POST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status code; 3xx as it came, redirects are not followed.
    pub status: u16,
    /// The value of the `webhook-delivery` header, by which a receiver may stop retries.
    pub webhook_delivery: Option<String>,
}

/// What a fetch brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The status code of the last answer.
    pub status: u16,
    /// The `content-type` of the last answer.
    pub content_type: Option<String>,
    /// The `content-disposition` of the last answer.
    pub content_disposition: Option<String>,
    /// The whole body.
    pub body: Bytes,
}

/// The hook by which the client resolves names.
#[derive(Debug)]
struct Guarded(Arc<Gate>);

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let gate = Arc::clone(&self.0);
        Box::pin(async move {
            let addresses = gate.resolve(name.as_str()).await?;
            let addresses: Addrs = Box::new(addresses.into_iter().map(|ip| (ip, 0).into()));
            Ok(addresses)
        })
    }
}

pub(crate) fn client(gate: Arc<Gate>, roots: Arc<RootCertStore>) -> Result<reqwest::Client, EgressError> {
    let mut tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| EgressError::Other(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(Arc::new(Guarded(gate)))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .http1_only()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
        .user_agent(USER_AGENT)
        .build()
        .map_err(EgressError::from)
}

impl Egress {
    /// Posts `body` to `url` with exactly these headers (besides `host`, `content-length`, `accept` and a
    /// `user-agent` unless given) and waits at most `timeout` for the head of the answer. Of the body up to
    /// 64 KiB are read and dropped.
    ///
    /// # Errors
    /// See [`EgressError`]. Any status is an answer, not an error.
    pub async fn post(
        &self,
        url: &str,
        headers: Vec<(String, String)>,
        body: Bytes,
        timeout: Duration,
    ) -> Result<HttpAnswer, EgressError> {
        let deadline = Instant::now() + timeout;
        let url = self.checked(url)?;
        let mut request = self.client.post(url).body(body);
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| EgressError::Other("invalid header name".to_owned()))?;
            let value = HeaderValue::from_str(&value)
                .map_err(|_| EgressError::Other("invalid header value".to_owned()))?;
            request = request.header(name, value);
        }
        let mut response = timeout_at(deadline, request.send()).await.map_err(|_| EgressError::Timeout)??;
        let answer = HttpAnswer {
            status: response.status().as_u16(),
            webhook_delivery: header(&response, "webhook-delivery"),
        };
        // The answer stands whatever happens to its body: an error or a slow body costs the connection only.
        let drained = timeout_at(deadline.min(Instant::now() + DRAIN_TIMEOUT), drain(&mut response)).await;
        tracing::trace!(complete = drained.is_ok(), "body of the answer dropped");
        Ok(answer)
    }

    /// Gets `url`, `http` or `https` on their own ports (any port where private addresses are allowed), following up
    /// to five redirects, each checked like the first URL. The whole fetch takes at most `timeout`.
    ///
    /// # Errors
    /// [`EgressError::TooLarge`] when the body has more than `bytes_max` bytes, otherwise see [`EgressError`].
    /// Any status is an answer, not an error.
    pub async fn fetch(
        &self,
        url: &str,
        bytes_max: usize,
        timeout: Duration,
    ) -> Result<Fetched, EgressError> {
        let deadline = Instant::now() + timeout;
        timeout_at(deadline, self.follow(url, bytes_max)).await.map_err(|_| EgressError::Timeout)?
    }

    async fn follow(&self, url: &str, bytes_max: usize) -> Result<Fetched, EgressError> {
        let mut url = self.fetchable(url)?;
        for _ in 0..=REDIRECTS_MAX {
            let mut response = self.client.get(url.clone()).send().await?;
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            if response.status().is_redirection()
                && let Some(location) = location
            {
                let next = url.join(location).map_err(|error| EgressError::Other(error.to_string()))?;
                url = self.fetchable(next.as_str())?;
                continue;
            }
            let expected = response.content_length().unwrap_or(0);
            if usize::try_from(expected).is_ok_and(|size| size > bytes_max) {
                return Err(EgressError::TooLarge);
            }
            let mut body = BytesMut::new();
            while let Some(chunk) = response.chunk().await? {
                if body.len().saturating_add(chunk.len()) > bytes_max {
                    return Err(EgressError::TooLarge);
                }
                body.extend_from_slice(&chunk);
            }
            return Ok(Fetched {
                status: response.status().as_u16(),
                content_type: header(&response, "content-type"),
                content_disposition: header(&response, "content-disposition"),
                body: body.freeze(),
            });
        }
        Err(EgressError::Refused("too many redirects"))
    }

    /// The URL of a file, parsed and checked.
    fn fetchable(&self, url: &str) -> Result<Url, EgressError> {
        let url = Url::parse(url).map_err(|error| EgressError::Other(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EgressError::Refused("only http and https URLs are allowed"));
        }
        self.check_host(&url)?;
        match url.port_or_known_default() {
            Some(80 | 443) => Ok(url),
            Some(_) | None if self.policy().allow_private => Ok(url),
            Some(_) | None => Err(EgressError::Refused("only ports 80 and 443 are allowed")),
        }
    }

    /// The URL, parsed and checked. Literal addresses never reach the resolver hook, so they are judged here.
    fn checked(&self, url: &str) -> Result<Url, EgressError> {
        let url = Url::parse(url).map_err(|error| EgressError::Other(error.to_string()))?;
        self.check_url(&url)?;
        let literal = match url.host() {
            Some(Host::Ipv4(ip)) => Some(ip.into()),
            Some(Host::Ipv6(ip)) => Some(ip.into()),
            Some(Host::Domain(_)) | None => None,
        };
        match literal {
            Some(ip) if !self.permits(ip) => Err(PRIVATE),
            Some(_) | None => Ok(url),
        }
    }
}

/// Reads and drops the body, at most [`DRAIN_BYTES_MAX`] bytes of it.
async fn drain(response: &mut reqwest::Response) {
    let mut read = 0_usize;
    while let Ok(Some(chunk)) = response.chunk().await {
        read = read.saturating_add(chunk.len());
        if read > DRAIN_BYTES_MAX {
            return;
        }
    }
}

/// The value of a header when it is text of at most [`VALUE_BYTES_MAX`] bytes.
fn header(response: &reqwest::Response, name: &str) -> Option<String> {
    let value = response.headers().get(name)?.to_str().ok()?;
    (value.len() <= VALUE_BYTES_MAX).then(|| value.to_owned())
}
