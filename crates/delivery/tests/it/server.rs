//! A fake SMTP server: says and expects what its script says, one script per connection.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

pub(crate) enum Step {
    /// Writes these lines, CR LF added.
    Say(&'static str),
    /// Reads one line, which must be this.
    Hear(&'static str),
    /// Reads up to the end of the message, which must be this.
    Message(&'static str),
    /// Answers nothing until the client leaves.
    Hang,
    /// Continues inside of TLS; a failed handshake ends the connection.
    Tls,
}

pub(crate) use Step::{Hang, Hear, Message, Say, Tls};

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A certificate for `mx.example`, and a server that uses it.
pub(crate) struct Certificate {
    pub(crate) der: CertificateDer<'static>,
    acceptor: TlsAcceptor,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let signed = rcgen::generate_simple_self_signed(["mx.example".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into());
        let der = signed.cert.der().clone();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![der.clone()], key)
            .unwrap();
        Self { der, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }
}

/// Serves one connection per script, then stops. Join the task to see that all was as expected.
pub(crate) async fn start(scripts: Vec<Vec<Step>>) -> (SocketAddr, JoinHandle<()>) {
    start_with(scripts, &Certificate::new()).await
}

pub(crate) async fn start_with(
    scripts: Vec<Vec<Step>>,
    certificate: &Certificate,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = certificate.acceptor.clone();
    let task = tokio::spawn(async move {
        for script in scripts {
            let (stream, _) = listener.accept().await.unwrap();
            play(stream, script, &acceptor).await;
        }
    });
    (address, task)
}

async fn play(stream: TcpStream, script: Vec<Step>, acceptor: &TlsAcceptor) {
    let mut stream: Box<dyn Stream> = Box::new(stream);
    for step in script {
        match step {
            Say(lines) => {
                let text = format!("{}\r\n", lines.replace('\n', "\r\n"));
                stream.write_all(text.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
            }
            Hear(want) => assert_eq!(read_until(&mut stream, "\r\n").await, format!("{want}\r\n")),
            Message(want) => assert_eq!(read_until(&mut stream, "\r\n.\r\n").await, want),
            Hang => {
                let mut rest = Vec::new();
                drop(stream.read_to_end(&mut rest).await);
            }
            Tls => match acceptor.accept(stream).await {
                Ok(encrypted) => stream = Box::new(encrypted),
                Err(_) => return,
            },
        }
    }
}

/// Reads byte by byte, so that nothing behind the end is taken; what was read when the client leaves.
async fn read_until(stream: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end.as_bytes()) {
        match stream.read_u8().await {
            Ok(byte) => bytes.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(bytes).unwrap()
}
