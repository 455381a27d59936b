//! Accepts connections, turns away what is too much, and drains sessions at shutdown.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use podmail_smtp_wire::write_reply;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::counters::add;
use crate::limits::{Connections, Crowded, Memory};
use crate::{Config, Counters, MailSink, connection};

/// How long to wait when the system has no more descriptors: accepting again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The certificate for STARTTLS; sessions take the newest, so it can change at any time.
pub type Tls = watch::Receiver<Arc<rustls::ServerConfig>>;

/// What all sessions share.
pub(crate) struct Context<S> {
    pub(crate) sink: Arc<S>,
    pub(crate) config: Config,
    pub(crate) tls: Option<Tls>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) shutdown: CancellationToken,
}

/// The listener for mail from the internet.
#[derive(Debug)]
pub struct Server;

impl Server {
    /// Serves until `shutdown` is cancelled: then it accepts no more, tells idle clients `421`, and waits
    /// up to [`Config::shutdown_timeout`] for messages that are on their way. Without `tls`, STARTTLS is not
    /// offered.
    pub async fn run<S: MailSink>(
        listener: TcpListener,
        sink: Arc<S>,
        config: Config,
        tls: Option<Tls>,
        counters: Arc<Counters>,
        shutdown: CancellationToken,
    ) {
        let connections = Connections::new(config.max_connections, config.max_connections_per_ip);
        let memory = Memory::new(config.max_buffered_bytes);
        let context = Arc::new(Context { sink, config, tls, counters, memory, shutdown });
        let mut sessions = JoinSet::new();
        loop {
            tokio::select! {
                () = context.shutdown.cancelled() => break,
                Some(ended) = sessions.join_next() => report(ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, remote)) => match connections.admit(remote.ip()) {
                        Ok(admission) => {
                            let context = Arc::clone(&context);
                            sessions.spawn(async move {
                                connection::serve(&context, stream, remote).await;
                                drop(admission);
                            });
                        }
                        Err(crowded) => turn_away(&context, stream, crowded),
                    },
                    Err(error) => {
                        tracing::warn!(%error, "smtp.in cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        let drain = async {
            while let Some(ended) = sessions.join_next().await {
                report(ended);
            }
        };
        if tokio::time::timeout(context.config.shutdown_timeout, drain).await.is_err() {
            tracing::warn!(sessions = sessions.len(), "smtp.in closes sessions that did not end in time");
            sessions.shutdown().await;
        }
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "smtp.in session panicked");
    }
}

/// One attempt to write without waiting: a new socket has room, and whoever is too many gets no task.
fn turn_away<S>(context: &Context<S>, stream: TcpStream, crowded: Crowded) {
    add(&context.counters.connections_refused, 1);
    let mut reply = Vec::new();
    match crowded {
        Crowded::Server => write_reply(&mut reply, 421, "4.3.2", "Too many connections, try again later"),
        Crowded::Client => write_reply(&mut reply, 421, "4.7.0", "Too many connections from your address"),
    }
    let written = stream.into_std().and_then(|mut stream| stream.write_all(&reply));
    tracing::debug!(?crowded, written = written.is_ok(), "smtp.in connection turned away");
}
