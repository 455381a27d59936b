//! Notices through a NATS server, for installations that have one or whose database knows no `NOTIFY`.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Subscriber};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::OnceCell;

use crate::{Error, Notices, Wire};

/// What all nodes publish to and subscribe.
const SUBJECT: &str = "podmail.news";
/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Clone)]
pub struct Nats {
    url: Arc<str>,
    client: Arc<OnceCell<Client>>,
}

impl std::fmt::Debug for Nats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may hold a password.
        f.write_str("Nats")
    }
}

impl Nats {
    /// Connects when first used. `url` is `nats://[user:password@]host[:port]` or `tls://…`; several are separated by
    /// commas.
    pub fn new(url: &str) -> Self {
        Self { url: url.into(), client: Arc::default() }
    }

    /// The client, which connects again by itself once it was connected.
    async fn client(&self) -> Result<&Client, Error> {
        self.client
            .get_or_try_init(|| async {
                let servers: Vec<&str> = self.url.split(',').map(str::trim).collect();
                ConnectOptions::new()
                    .name("podmail")
                    .connection_timeout(CONNECT_TIMEOUT)
                    .connect(servers)
                    .await
                    .map_err(|error| Error::Nats(error.to_string()))
            })
            .await
    }
}

impl Wire for Nats {
    fn send<'a>(&'a self, notice: &'a str) -> BoxFuture<'a, Result<(), Error>> {
        async move {
            let client = self.client().await?;
            let payload = notice.as_bytes().to_vec().into();
            client.publish(SUBJECT, payload).await.map_err(|error| Error::Nats(error.to_string()))?;
            client.flush().await.map_err(|error| Error::Nats(error.to_string()))
        }
        .boxed()
    }

    fn listen(&self) -> BoxFuture<'_, Result<Box<dyn Notices>, Error>> {
        async move {
            let client = self.client().await?;
            let failed = |error: &dyn std::fmt::Display| Error::Nats(error.to_string());
            let subscriber = client.subscribe(SUBJECT).await.map_err(|error| failed(&error))?;
            // The server knows of the subscription once it answered what was sent after it.
            client.flush().await.map_err(|error| failed(&error))?;
            let notices: Box<dyn Notices> = Box::new(Listening { subscriber });
            Ok(notices)
        }
        .boxed()
    }
}

struct Listening {
    subscriber: Subscriber,
}

impl Notices for Listening {
    fn next(&mut self) -> BoxFuture<'_, Result<String, Error>> {
        async move {
            let message = self.subscriber.next().await.ok_or(Error::Lost)?;
            // What is no text is nobody's notice.
            Ok(String::from_utf8(message.payload.to_vec()).unwrap_or_default())
        }
        .boxed()
    }
}
