//! One-click setup of a domain's records (extras, section 2).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use percent_encoding::percent_decode_str;
use podmail_app::Settings;
use podmail_app::domains::DomainConnect;
use podmail_dns::Mx;
use podmail_sender_auth::generate_rsa_2048;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::{Answer, World};

const D: &str = "agents.acme.example";
const ZONE: &str = "acme.example";
const TEMPLATE: &str = "/api/v2/domainTemplates/providers/mail.test/services/inboxes";

async fn domain(world: &World, key: &str, body: &Value) -> Value {
    let answer = world.call(&Method::POST, "/v0/domains", Some(key), &body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

async fn link(world: &World, key: &str, name: &str) -> Answer {
    world.get(&format!("/v0/domains/{name}/setup-link"), key).await
}

fn mx(priority: u16, host: &str) -> Mx {
    Mx { priority, host: host.to_owned() }
}

/// A DNS provider: what it answers by path, changeable while it runs.
struct Provider {
    base: String,
    answers: Arc<Mutex<HashMap<String, String>>>,
    _tasks: JoinSet<()>,
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let answers: Arc<Mutex<HashMap<String, String>>> = Arc::default();
        let (known, mut tasks) = (answers.clone(), JoinSet::new());
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap_or(0) > 0
                {
                }
                let path = String::from_utf8_lossy(&request).split(' ').nth(1).unwrap_or("").to_owned();
                let body = known.lock().unwrap().get(&path).cloned();
                let (status, body) = body.map_or((404, String::new()), |body| (200, body));
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} -\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
        Self { base, answers, _tasks: tasks }
    }

    fn answer(&self, path: &str, body: Option<String>) {
        let mut answers = self.answers.lock().unwrap();
        match body {
            Some(body) => answers.insert(path.to_owned(), body),
            None => answers.remove(path),
        };
    }
}

fn with_template(settings: &mut Settings, private: &[u8]) {
    let redirect = Some("https://mail.test/done".to_owned());
    let template = DomainConnect::new("mail.test", "inboxes", "_dck1.mail.test", private, redirect).unwrap();
    settings.domain_connect = Some(Arc::new(template));
    settings.allow_private_egress = true;
}

// extras.md section 2
#[tokio::test]
async fn a_template_that_the_provider_carries_gives_a_signed_link() {
    let pair = generate_rsa_2048().unwrap();
    let public: PublicKeyX509Der<'_> =
        KeyPair::from_pkcs8(&pair.private_pkcs8).unwrap().public_key().as_der().unwrap();
    for world in World::each(|settings| with_template(settings, &pair.private_pkcs8)).await {
        let provider = Provider::start().await;
        let (_, key) = world.organization("one").await;
        let made = domain(&world, &key, &json!({ "domain": D, "tracking_enabled": true })).await;
        assert_eq!(link(&world, &key, D).await.body, json!({ "supported": false }), "no zone");
        world.dns.set_failure(ZONE, true);
        assert_eq!(link(&world, &key, D).await.body, json!({ "supported": false }), "no answer");
        world.dns.set_failure(ZONE, false);
        world.dns.set_ns(ZONE, vec!["ns.dns.test".to_owned()]);
        let unsupported = json!({ "supported": false, "provider_name": "dns.test" });
        assert_eq!(link(&world, &key, D).await.body, unsupported, "a provider without Domain Connect");

        let settings = "/v2/acme.example/settings";
        let about = |size: Value| {
            json!({
                "providerId": "dns.test", "providerName": "DNS Inc.", "width": size, "height": 700,
                "urlSyncUX": "https://owner.dns.test/ux/", "urlAPI": format!("{}/api", provider.base),
            })
        };
        world.dns.set_txt("_domainconnect.acme.example", vec![provider.base.clone()]);
        for answer in
            [None, Some("<html>".to_owned()), Some("{}".to_owned()), Some(about(json!(750)).to_string())]
        {
            provider.answer(settings, answer);
            assert_eq!(link(&world, &key, D).await.body, unsupported, "the template is not there");
        }
        provider.answer(TEMPLATE, Some("{\"version\":1}".to_owned()));
        world.dns.set_mx(D, vec![mx(1, "smtp.google.com")]);
        let answer = link(&world, &key, D).await;
        let state = answer.body["state"].as_str().unwrap().to_owned();
        let url = answer.body["url"].as_str().unwrap().to_owned();
        assert_eq!(
            answer.body,
            json!({
                "supported": true, "provider_name": "DNS Inc.", "url": url, "width": 750, "height": 700,
                "state": state, "conflicting_provider": "Google Workspace",
            })
        );
        assert_ne!(link(&world, &key, D).await.body["state"], json!(state), "a state is used once");

        let start =
            "https://owner.dns.test/ux/v2/domainTemplates/providers/mail.test/services/inboxes/apply?";
        let (query, rest) = url.strip_prefix(start).unwrap().split_once("&sig=").unwrap();
        let (signature, key_host) = rest.split_once("&key=").unwrap();
        assert_eq!(key_host, "_dck1");
        let signature = percent_decode_str(signature).decode_utf8().unwrap();
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public.as_ref())
            .verify(query.as_bytes(), &STANDARD.decode(&*signature).unwrap())
            .unwrap();
        let parameters: Vec<(String, String)> = query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(name, value)| {
                (name.to_owned(), percent_decode_str(value).decode_utf8().unwrap().into_owned())
            })
            .collect();
        let dkim = made["records"]
            .as_array()
            .unwrap()
            .iter()
            .find(|record| record["name"].as_str().unwrap().contains("._domainkey."));
        let dkim = dkim.unwrap();
        let selector = dkim["name"].as_str().unwrap().split('.').next().unwrap();
        let public_key = dkim["value"].as_str().unwrap().strip_prefix("v=DKIM1; k=rsa; p=").unwrap();
        let want = [
            ("domain", ZONE),
            ("host", "agents"),
            ("selector", selector),
            ("dkim", public_key),
            ("groupId", "sending,inbound,tracking"),
            ("redirect_uri", "https://mail.test/done"),
            ("state", &state),
        ];
        let want = want.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(parameters, want);

        // Sizes and addresses of strangers are checked.
        provider.answer(settings, Some(about(json!("9")).to_string()));
        assert_eq!(link(&world, &key, D).await.body.get("width"), None);
        let mut script = about(json!(750));
        script["urlSyncUX"] = json!("javascript:alert(1)");
        provider.answer(settings, Some(script.to_string()));
        let refused = link(&world, &key, D).await.body;
        assert_eq!((&refused["supported"], refused.get("url")), (&json!(false), None));
    }
}
