//! Requests against small HTTP servers on loopback, and what is refused before a connection is made.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "helpers of tests; a panic is a failed test"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use podmail_dns::MockResolver;
use podmail_egress::{Egress, EgressError, HttpAnswer, Policy};
use rustls::RootCertStore;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const SOON: Duration = Duration::from_secs(10);

fn guard(resolver: &MockResolver, allow_private: bool) -> Egress {
    let resolver = Arc::new(resolver.clone());
    Egress::with_roots(resolver, Policy { allow_private }, RootCertStore::empty()).unwrap()
}

/// Reads one request, head and body, from a connection. `None` once it is closed.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let size = stream.read(&mut chunk).await.ok().filter(|size| *size > 0)?;
        bytes.extend_from_slice(&chunk[..size]);
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return Some(String::from_utf8(bytes).unwrap());
        }
    }
}

async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, reply: &str, seen: mpsc::Sender<String>) {
    while let Some(request) = read_request(&mut stream).await {
        seen.send(request).await.unwrap();
        stream.write_all(reply.as_bytes()).await.unwrap();
    }
}

/// A server that gives every request the same reply; yields each connection as a number, then its requests.
async fn server(reply: &'static str) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::channel(64);
    let task = async move {
        while let Ok((stream, _)) = listener.accept().await {
            sender.send("connection".to_owned()).await.unwrap();
            tokio::task::spawn(answer(stream, reply, sender.clone()));
        }
    };
    tokio::task::spawn(task);
    (address, receiver)
}

#[tokio::test]
async fn a_post_carries_the_headers_and_body_and_reuses_the_connection() {
    let reply = "HTTP/1.1 202 Accepted\r\nWebhook-Delivery: abort-message\r\nContent-Length: 3\r\n\r\nyes";
    let (address, mut seen) = server(reply).await;
    let resolver = MockResolver::new().with_address("hook.example", address.ip());
    let egress = guard(&resolver, true);
    let url = format!("http://hook.example:{}/in", address.port());
    for _ in 0..2 {
        let headers = vec![("X-Own".to_owned(), "1".to_owned())];
        let got = egress.post(&url, headers, Bytes::from_static(b"{}"), SOON).await;
        let want = HttpAnswer { status: 202, webhook_delivery: Some("abort-message".to_owned()) };
        assert_eq!(got, Ok(want));
    }
    assert_eq!(seen.recv().await.unwrap(), "connection");
    for _ in 0..2 {
        let request = seen.recv().await.unwrap();
        assert!(request.starts_with("POST /in HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("x-own: 1\r\n"), "{request}");
        assert!(request.contains(&format!("host: hook.example:{}\r\n", address.port())), "{request}");
        assert!(request.ends_with("\r\n\r\n{}"), "{request}");
    }
}

#[tokio::test]
async fn private_addresses_are_refused_after_resolution_and_as_literals() {
    let (address, mut seen) = server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let resolver = MockResolver::new()
        .with_address("inside.example", address.ip())
        .with_address("metadata.example", "169.254.169.254".parse().unwrap())
        .with_address("mapped.example", "::ffff:127.0.0.1".parse().unwrap());
    let egress = guard(&resolver, false);
    let port = address.port();
    let refused = EgressError::Refused("the address is not public");
    for host in [
        "inside.example",
        "metadata.example",
        "mapped.example",
        "localhost",
        "LOCALHOST.",
        "x.localhost",
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
    ] {
        let url = format!("https://{host}:{port}/");
        assert_eq!(egress.post(&url, vec![], Bytes::new(), SOON).await, Err(refused.clone()), "{host}");
        for url in [format!("http://{host}/"), format!("https://{host}/")] {
            assert_eq!(egress.fetch(&url, 10, SOON).await, Err(refused.clone()), "{url}");
        }
    }
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn urls_are_checked_when_they_are_given() {
    let strict = guard(&MockResolver::new(), false);
    let open = guard(&MockResolver::new(), true);
    // URL, passes where only public addresses are allowed, passes where private ones are.
    let table = [
        ("https://x.example/h", true, true),
        ("https://x.example:8443/h?a=b", true, true),
        ("http://x.example/h", false, true),
        ("https://10.0.0.1/", false, true),
        ("https://1.1.1.1/", true, true),
        ("https://[fd00::1]/", false, true),
        ("https://localhost/", false, true),
        ("https://user@x.example/", false, false),
        ("https://:pass@x.example/", false, false),
        ("ftp://x.example/", false, false),
        ("file:///etc/passwd", false, false),
        ("data:text/plain,x", false, false),
    ];
    for (url, want_strict, want_open) in table {
        let parsed = url.parse().unwrap();
        assert_eq!(strict.check_url(&parsed).is_ok(), want_strict, "{url}");
        assert_eq!(open.check_url(&parsed).is_ok(), want_open, "{url}");
    }
}

#[tokio::test]
async fn a_post_does_not_follow_redirects_and_a_fetch_checks_them() {
    let (address, mut seen) =
        server("HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n").await;
    let egress = guard(&MockResolver::new(), true);
    let url = format!("http://localhost:{}/a", address.port());
    let got = egress.post(&url, vec![], Bytes::new(), SOON).await;
    assert_eq!(got, Ok(HttpAnswer { status: 302, webhook_delivery: None }));
    assert_eq!(seen.recv().await.unwrap(), "connection");
    assert!(seen.recv().await.unwrap().starts_with("POST /a "));
    assert_eq!(egress.fetch(&url, 10, SOON).await, Err(EgressError::Refused("too many redirects")));

    let (address, _seen) =
        server("HTTP/1.1 302 Found\r\nLocation: file:///x\r\nContent-Length: 0\r\n\r\n").await;
    let url = format!("http://{address}/a");
    let refused = EgressError::Refused("only http and https URLs are allowed");
    assert_eq!(egress.fetch(&url, 10, SOON).await, Err(refused));
}

#[tokio::test]
async fn a_fetch_is_bounded_in_size() {
    let (address, _seen) =
        server("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello").await;
    let egress = guard(&MockResolver::new(), true);
    let url = format!("http://{address}/file");
    let got = egress.fetch(&url, 5, SOON).await.unwrap();
    assert_eq!(
        (got.status, got.content_type.as_deref(), &got.body[..]),
        (200, Some("text/plain"), &b"hello"[..])
    );
    assert_eq!(egress.fetch(&url, 4, SOON).await, Err(EgressError::TooLarge));
}

#[tokio::test]
async fn failures_are_told_apart() {
    let resolver = MockResolver::new().with_failure("broken.example");
    let egress = guard(&resolver, true);
    let post = async |url: String| egress.post(&url, vec![], Bytes::new(), Duration::from_millis(300)).await;

    assert!(matches!(post("http://absent.example/".to_owned()).await, Err(EgressError::Dns(_))));
    assert!(matches!(post("http://broken.example/".to_owned()).await, Err(EgressError::Dns(_))));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(post(format!("http://{address}/")).await, Err(EgressError::Timeout));
    drop(listener);
    assert!(matches!(post(format!("http://{address}/")).await, Err(EgressError::Connect(_))));

    let (address, _seen) = server("nonsense\r\n\r\n").await;
    assert!(matches!(post(format!("http://{address}/")).await, Err(EgressError::Other(_))));
}

#[tokio::test]
async fn tls_is_verified_against_the_given_roots() {
    let signed = rcgen::generate_simple_self_signed(["tls.example".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async move {
        let (sender, _keep) = mpsc::channel(64);
        while let Ok((stream, _)) = listener.accept().await {
            let stream: TcpStream = stream;
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let reply = "HTTP/1.1 204 No Content\r\n\r\n";
            tokio::task::spawn(answer(stream, reply, sender.clone()));
        }
    };
    tokio::task::spawn(serve);

    let resolver = MockResolver::new()
        .with_address("tls.example", address.ip())
        .with_address("other.example", address.ip());
    let policy = Policy { allow_private: true };
    let mut roots = RootCertStore::empty();
    roots.add(signed.cert.der().clone()).unwrap();
    let trusting = Egress::with_roots(Arc::new(resolver.clone()), policy, roots).unwrap();
    let url = format!("https://tls.example:{}/", address.port());
    let got = trusting.post(&url, vec![], Bytes::new(), SOON).await;
    assert_eq!(got, Ok(HttpAnswer { status: 204, webhook_delivery: None }));
    let other = format!("https://other.example:{}/", address.port());
    let got = trusting.post(&other, vec![], Bytes::new(), SOON).await;
    assert!(matches!(got, Err(EgressError::Tls(_))), "{got:?}");
    let got = guard(&resolver, true).post(&url, vec![], Bytes::new(), SOON).await;
    assert!(matches!(got, Err(EgressError::Tls(_))), "{got:?}");
}

#[tokio::test]
async fn connection_targets_leave_refused_addresses_out() {
    let public = "93.184.215.14".parse().unwrap();
    let resolver = MockResolver::new()
        .with_address("mixed.example", "10.0.0.1".parse().unwrap())
        .with_address("mixed.example", public)
        .with_address("inside.example", "10.0.0.1".parse().unwrap());
    let strict = guard(&resolver, false);
    assert_eq!(strict.connect_targets("mixed.example", 25).await, Ok(vec![SocketAddr::new(public, 25)]));
    let refused = EgressError::Refused("the address is not public");
    assert_eq!(strict.connect_targets("inside.example", 25).await, Err(refused));
    assert!(matches!(strict.connect_targets("absent.example", 25).await, Err(EgressError::Dns(_))));
    let open = guard(&resolver, true);
    assert_eq!(
        open.connect_targets("inside.example", 2525).await,
        Ok(vec!["10.0.0.1:2525".parse().unwrap()])
    );
    assert_eq!(
        open.connect_targets("localhost", 25).await,
        Ok(vec!["127.0.0.1:25".parse().unwrap(), "[::1]:25".parse().unwrap()])
    );
}

#[tokio::test]
async fn the_systems_roots_can_be_loaded() {
    // Whatever the machine has, loading does not fail.
    let roots = podmail_egress::trusted_roots();
    drop(Egress::with_roots(Arc::new(MockResolver::new()), Policy::default(), roots).unwrap());
}
