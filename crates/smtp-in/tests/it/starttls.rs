//! STARTTLS (RFC 3207).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::{Client, Running, config, within};

fn certificate() -> (Arc<ServerConfig>, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["mx.podmail.example".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    (Arc::new(server), certificate)
}

async fn handshake(
    stream: TcpStream,
    trusted: CertificateDer<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted).unwrap();
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("mx.podmail.example").unwrap();
    within(TlsConnector::from(Arc::new(client)).connect(name, stream)).await
}

#[tokio::test]
async fn a_message_comes_in_over_tls() {
    let (server, trusted) = certificate();
    let (_sender, tls) = watch::channel(server);
    let running = Running::start(config(), Some(tls)).await;
    let mut plain = running.connect().await;
    plain.expect(220).await;
    let offers = plain.command("EHLO client.example", 250).await;
    assert!(offers.lines.iter().any(|line| line == "STARTTLS"));
    plain.command("STARTTLS", 220).await;
    let mut client = Client::new(handshake(plain.stream, trusted).await.unwrap());
    assert_eq!(client.codes("MAIL FROM:<a@b.example>").await, "503 5.5.1", "EHLO is forgotten");
    let offers = client.command("EHLO client.example", 250).await;
    assert!(offers.lines.iter().all(|line| line != "STARTTLS"));
    assert_eq!(client.codes("STARTTLS").await, "503 5.5.1");
    client.begin_message().await;
    client.command("body\r\n.", 250).await;
    client.command("QUIT", 221).await;
    assert!(client.rest().await.is_empty());
    let messages = running.sink.take();
    assert!(messages.len() == 1 && messages[0].0.tls);
    assert_eq!(running.counters.tls_sessions.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn plain_text_behind_starttls_is_thrown_away() {
    let (server, trusted) = certificate();
    let (_sender, tls) = watch::channel(server);
    let running = Running::start(config(), Some(tls)).await;
    let mut plain = running.greeted().await;
    plain.send(b"STARTTLS\r\nEHLO evil.example\r\nMAIL FROM:<evil@a.example>\r\n").await;
    plain.expect(220).await;
    let mut client = Client::new(handshake(plain.stream, trusted).await.unwrap());
    assert_eq!(client.codes("RCPT TO:<desk@podmail.example>").await, "503 5.5.1");
    client.command("EHLO client.example", 250).await;
    assert_eq!(client.codes("MAIL FROM:<a@b.example>").await, "250 2.1.0", "no transaction was smuggled in");
}

#[tokio::test]
async fn starttls_within_a_transaction_is_refused() {
    let (server, _) = certificate();
    let (_sender, tls) = watch::channel(server);
    let running = Running::start(config(), Some(tls)).await;
    let mut client = running.greeted().await;
    client.command("MAIL FROM:<a@b.example>", 250).await;
    assert_eq!(client.codes("STARTTLS").await, "503 5.5.1");
}

#[tokio::test]
async fn a_new_certificate_is_used_at_once() {
    let (first, _) = certificate();
    let (second, trusted) = certificate();
    let (sender, tls) = watch::channel(first);
    let running = Running::start(config(), Some(tls)).await;
    let mut old = running.greeted().await;
    old.command("STARTTLS", 220).await;
    assert!(handshake(old.stream, trusted.clone()).await.is_err());
    sender.send(second).unwrap();
    let mut new = running.greeted().await;
    new.command("STARTTLS", 220).await;
    assert!(handshake(new.stream, trusted).await.is_ok());
}
