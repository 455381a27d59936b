//! Finding and asking a DNS provider, whatever it does: hang, redirect, answer nonsense or without end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::flow::{World, world_with};
use super::{DEFAULT, domain};
use crate::Settings;
use crate::domains::DomainConnect;
use crate::domains::connect::{Offer, TIMEOUT};

const D: &str = "agents.acme.example";
const SETTINGS: &str = "/v2/acme.example/settings";
const TEMPLATE: &str = "/api/v2/domainTemplates/providers/mail.test/services/inboxes";
/// Larger than any answer that is read.
const TOO_MUCH: usize = 256 * 1024 + 1;
/// Far longer than any of these tests takes.
const LONG: Duration = Duration::from_secs(60);

/// What a provider does on a path.
#[derive(Clone)]
enum Does {
    /// Sends these bytes and closes.
    Sends(Vec<u8>),
    /// Sends these bytes and then nothing, without closing.
    Hangs(Vec<u8>),
}

/// A DNS provider; what it does can be changed while it runs.
struct Provider {
    base: String,
    does: Arc<Mutex<HashMap<String, Does>>>,
    asked: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let does: Arc<Mutex<HashMap<String, Does>>> = Arc::default();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (known, seen, mut tasks) = (does.clone(), asked.clone(), JoinSet::new());
        tasks.spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap_or(0) > 0
                {
                }
                let path = String::from_utf8_lossy(&request).split(' ').nth(1).unwrap_or("").to_owned();
                let what = known.lock().unwrap_or_else(PoisonError::into_inner).get(&path).cloned();
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(path);
                let (bytes, hangs) = match what {
                    Some(Does::Sends(bytes)) => (bytes, false),
                    Some(Does::Hangs(bytes)) => (bytes, true),
                    None => (answer("404 -", ""), false),
                };
                drop(stream.write_all(&bytes).await);
                if hangs {
                    open.push(stream);
                }
            }
        });
        Self { base, does, asked, _tasks: tasks }
    }

    fn set(&self, path: &str, does: Does) {
        self.does.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), does);
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What a provider with the template says about itself.
    fn about(&self) -> Value {
        json!({
            "providerName": "DNS Inc.", "urlSyncUX": "https://owner.dns.test/ux",
            "urlAPI": format!("{}/api", self.base),
        })
    }
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").into_bytes()
}

fn ok(body: &str) -> Does {
    Does::Sends(answer("200 OK", body))
}

fn moved(to: &str) -> Does {
    Does::Sends(
        format!("HTTP/1.1 302 -\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into(),
    )
}

/// A product with a template, and a provider that carries it and runs the zone of [`D`].
async fn world(private: bool) -> (World, Provider) {
    let key = podmail_sender_auth::generate_rsa_2048().expect("a key").private_pkcs8;
    let template = DomainConnect::new("mail.test", "inboxes", "_dck1.mail.test", &key, None).expect("fits");
    let mut settings = Settings::for_domain("pm.test");
    settings.domain_connect = Some(Arc::new(template));
    settings.allow_private_egress = private;
    let (world, provider) = (world_with(settings).await, Provider::start().await);
    world.dns.set_ns("acme.example", vec!["ns.dns.test".to_owned()]);
    world.dns.set_txt("_domainconnect.acme.example", vec![provider.base.clone()]);
    provider.set(SETTINGS, ok(&provider.about().to_string()));
    provider.set(TEMPLATE, ok("{}"));
    (world, provider)
}

async fn offer(world: &World, limit: Duration) -> Option<Offer> {
    world.app.setup_offer(&domain(D, DEFAULT), limit).await
}

#[tokio::test]
async fn the_zone_is_asked_for_its_provider_and_the_provider_for_the_template() {
    let (world, provider) = world(true).await;
    let found = offer(&world, LONG).await.expect("a link");
    assert_eq!(found.provider_name.as_deref(), Some("DNS Inc."));
    assert!(found.url.starts_with("https://owner.dns.test/ux/v2/domainTemplates/"), "{}", found.url);
    assert!(found.url.contains("?domain=acme.example&host=agents&"), "{}", found.url);
    assert_eq!(provider.asked(), [SETTINGS, TEMPLATE]);

    // A name with name servers of its own is its own zone: there is no host below it.
    world.dns.set_ns(D, vec!["ns.dns.test".to_owned()]);
    assert!(offer(&world, LONG).await.is_none(), "that zone names no provider");
    world.dns.set_txt(&format!("_domainconnect.{D}"), vec![format!("{}/", provider.base)]);
    provider.set(&format!("/v2/{D}/settings"), ok(&provider.about().to_string()));
    let found = offer(&world, LONG).await.expect("a link");
    assert!(found.url.contains(&format!("?domain={D}&selector=")), "{}", found.url);
}

#[tokio::test]
async fn a_provider_that_hangs_costs_the_limit_and_no_more() {
    assert_eq!(TIMEOUT, Duration::from_secs(5), "what an owner who waits for the page is asked to bear");
    let (world, provider) = world(true).await;
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_vec();
    for (path, silence) in [(SETTINGS, Vec::new()), (SETTINGS, head.clone()), (TEMPLATE, head)] {
        provider.set(SETTINGS, ok(&provider.about().to_string()));
        provider.set(path, Does::Hangs(silence));
        let (asked, limit) = (std::time::Instant::now(), Duration::from_secs(1));
        let found = tokio::time::timeout(LONG, offer(&world, limit)).await.expect("the limit holds");
        assert!(found.is_none(), "{path}");
        assert!(asked.elapsed() >= limit, "{path}: it was waited for");
        assert_eq!(provider.asked().last().map(String::as_str), Some(path));
    }
}

#[tokio::test]
async fn nonsense_of_a_provider_is_no_link() {
    let (world, provider) = world(true).await;
    let about = provider.about();
    let with = |name: &str, value: Value| {
        let mut about = about.clone();
        about[name] = value;
        about.to_string()
    };
    for body in [
        String::new(),
        "<html>".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "\u{0}\u{0}".to_owned(),
        "[".repeat(100_000),
        with("urlAPI", Value::Null),
        with("urlAPI", json!(7)),
        with("urlAPI", json!("ftp://dns.test/api")),
        with("urlAPI", json!("https://")),
        with("urlSyncUX", json!("javascript:alert(1)")),
        with("urlSyncUX", json!("https://owner:secret@localhost/ux")),
        with("urlSyncUX", json!(format!("https://owner.dns.test/{}", "x".repeat(1024)))),
    ] {
        provider.set(SETTINGS, ok(&body));
        let start: String = body.chars().take(60).collect();
        assert!(offer(&world, LONG).await.is_none(), "{start}");
    }
    provider.set(SETTINGS, Does::Sends(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec()));
    assert!(offer(&world, LONG).await.is_none(), "another protocol");
    provider.set(SETTINGS, Does::Sends(Vec::new()));
    assert!(offer(&world, LONG).await.is_none(), "nothing at all");
    provider.set(SETTINGS, Does::Sends(answer("500 -", &about.to_string())));
    assert!(offer(&world, LONG).await.is_none(), "a failure with the right body");

    // Names and sizes are shown as far as they make sense.
    let mut odd = about.clone();
    odd["providerDisplayName"] = json!(format!("DNS\r\n{}", "é".repeat(500)));
    (odd["width"], odd["height"]) = (json!(-5), json!("750"));
    provider.set(SETTINGS, ok(&odd.to_string()));
    let found = offer(&world, LONG).await.expect("a link");
    assert_eq!(found.provider_name.map(|name| name.chars().count()), Some(100));
    assert_eq!((found.width, found.height), (None, None));
}

#[tokio::test]
async fn what_the_zone_names_is_an_address_or_nothing() {
    let (world, provider) = world(true).await;
    for text in
        ["", "/", " ", "http://", "ftp://dns.test", "javascript:alert(1)", "a b", "https://[::", "\u{7f}"]
    {
        world.dns.set_txt("_domainconnect.acme.example", vec![text.to_owned()]);
        assert!(offer(&world, LONG).await.is_none(), "{text:?}");
    }
    world.dns.set_txt("_domainconnect.acme.example", vec!["x".repeat(5000)]);
    assert!(offer(&world, LONG).await.is_none());
    world.dns.set_failure("_domainconnect.acme.example", true);
    assert!(offer(&world, LONG).await.is_none());
    assert_eq!(provider.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_read_to_its_end() {
    let (world, provider) = world(true).await;
    let mut long = provider.about();
    long["padding"] = json!("x".repeat(TOO_MUCH));
    let long = long.to_string();
    provider.set(SETTINGS, ok(&long));
    assert!(offer(&world, LONG).await.is_none(), "announced");
    // Without a length, and without an end: what is too long is known before.
    let endless = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{long}");
    provider.set(SETTINGS, Does::Hangs(endless.into_bytes()));
    let found = tokio::time::timeout(LONG, offer(&world, LONG * 10)).await;
    assert!(found.expect("not waited for").is_none(), "unannounced");
    provider.set(SETTINGS, ok(&provider.about().to_string()));
    provider.set(TEMPLATE, ok(&long));
    assert!(offer(&world, LONG).await.is_none(), "a template");
}

#[tokio::test]
async fn redirects_are_followed_as_far_as_the_guard_goes() {
    let (world, provider) = world(true).await;
    provider.set("/about", ok(&provider.about().to_string()));
    provider.set(SETTINGS, moved("/about"));
    assert!(offer(&world, LONG).await.is_some());
    assert_eq!(provider.asked(), [SETTINGS, "/about", TEMPLATE]);
    for to in ["file:///etc/passwd", "ftp://dns.test/", "//", "https://"] {
        provider.set(SETTINGS, moved(to));
        assert!(offer(&world, LONG).await.is_none(), "{to}");
        assert_eq!(provider.asked(), [SETTINGS], "{to}");
    }
    provider.set(SETTINGS, moved(SETTINGS));
    assert!(offer(&world, LONG).await.is_none(), "round in circles");
    assert_eq!(provider.asked().len(), 6, "five redirects are followed");
}

#[tokio::test]
async fn a_provider_at_a_private_address_is_not_asked() {
    let (world, provider) = world(false).await;
    assert!(offer(&world, LONG).await.is_none());
    assert_eq!(provider.asked(), Vec::<String>::new());
}
