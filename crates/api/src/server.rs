//! Connections: HTTP/1.1 with bounds on their number, on the time that a request's head takes, and on the end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Api;
use crate::refusal::{Refusing, Told};

/// Connections at a time; further ones wait in the listener's queue.
const CONNECTIONS_MAX: usize = 10_000;
/// How long the head of a request may take, and how long a connection may be idle.
const HEADER_TIME: Duration = Duration::from_secs(30);
/// How long requests may run on after the shutdown began.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// Pause after a failed accept, which mostly means that file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `api` until `shutdown` is cancelled and the open requests are answered, or 10 seconds later.
pub async fn serve(listener: TcpListener, api: Api, shutdown: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let slot = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            slot = slots.clone().acquire_owned() => slot.expect("the semaphore is never closed"),
        };
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection ended badly");
                }
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (api, shutdown) = (api.clone(), shutdown.clone());
                connections.spawn(async move {
                    connection(stream, api, shutdown).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let drained =
        tokio::time::timeout(DRAIN_TIME, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(connections = connections.len(), "requests were cut off by the shutdown");
        connections.shutdown().await;
    }
}

async fn connection(stream: TcpStream, api: Api, shutdown: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone at once");
        return;
    }
    let told = Told::default();
    let stream = Refusing::new(stream, api.clone(), told.clone());
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (api, told) = (api.clone(), told.clone());
        async move {
            let answer = api.handle(request).await;
            told.served(&answer);
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}
