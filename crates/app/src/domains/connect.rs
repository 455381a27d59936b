//! Domain Connect: whether the provider of a zone carries the operator's template, and the signed link that applies it.
//! Without a template, and after every failure, there is no link and the owner publishes the records by hand.
//!
//! Invariants: what a zone or a provider says is bounded and reaches the answer only after a check; a provider is asked
//! through the guard for outgoing connections, and a link leads only where the guard would go.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use podmail_dns::{DnsError, Resolver};
use podmail_domain::{DomainName, source};
use podmail_egress::Egress;
use podmail_store::{Domain, DomainFlags};
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use crate::App;

/// How long finding the zone and asking its provider may take together.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer of a provider in bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Longest name of a provider that is shown, in characters.
const NAME_CHARS_MAX: usize = 100;
/// Longest address of a provider in bytes.
const URL_BYTES_MAX: usize = 1024;
/// Sizes of a window that are handed on, in pixels.
const PIXELS: std::ops::RangeInclusive<u64> = 100..=10_000;
/// Longest id in a template in bytes.
const ID_BYTES_MAX: usize = 64;

/// The operator's template at the DNS providers, with the key that signs links. Holds a secret.
pub struct DomainConnect {
    provider_id: String,
    service_id: String,
    key_host: String,
    redirect_url: Option<String>,
    key: KeyPair,
}

impl fmt::Debug for DomainConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DomainConnect")
            .field("provider_id", &self.provider_id)
            .field("service_id", &self.service_id)
            .finish_non_exhaustive()
    }
}

impl DomainConnect {
    /// A template. `key_domain` is the name of the TXT records with the public key, one label below the template's
    /// `syncPubKeyDomain`; `private_key` is an RSA key in DER, as PKCS#8 or PKCS#1. `redirect_url` is where a provider
    /// sends the browser afterwards.
    ///
    /// # Errors
    /// Which of the values does not fit, in words for the operator.
    pub fn new(
        provider_id: &str,
        service_id: &str,
        key_domain: &str,
        private_key: &[u8],
        redirect_url: Option<String>,
    ) -> Result<Self, &'static str> {
        let plain = |text: &str| {
            (1..=ID_BYTES_MAX).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if !plain(provider_id) || !plain(service_id) {
            return Err("the ids of a template are letters, digits, dots and dashes");
        }
        let key_host = key_domain.split_once('.').map(|(host, _)| host).filter(|host| plain(host));
        let key_host = key_host.ok_or("the name of the public key has no label below the key's domain")?;
        let key = KeyPair::from_pkcs8(private_key)
            .or_else(|_| KeyPair::from_der(private_key))
            .map_err(|_| "the key is no RSA private key")?;
        Ok(Self {
            provider_id: provider_id.to_owned(),
            service_id: service_id.to_owned(),
            key_host: key_host.to_owned(),
            redirect_url,
            key,
        })
    }

    fn path(&self) -> String {
        format!("v2/domainTemplates/providers/{}/services/{}", self.provider_id, self.service_id)
    }

    /// The link that applies the template at a provider; `None` when the key refuses.
    fn link(&self, sync_ux: &str, zone: &str, domain: &Domain, state: &str) -> Option<String> {
        let mut query = Serializer::new(String::new());
        query.append_pair("domain", zone);
        let host = domain.domain.as_str().strip_suffix(zone).map(|host| host.trim_end_matches('.'));
        if let Some(host) = host.filter(|host| !host.is_empty()) {
            query.append_pair("host", host);
        }
        query
            .append_pair("selector", &domain.dkim_selector)
            .append_pair("dkim", &domain.dkim_public)
            .append_pair("groupId", &groups(domain.flags));
        if let Some(redirect_url) = &self.redirect_url {
            query.append_pair("redirect_uri", redirect_url);
        }
        query.append_pair("state", state);
        // The signature covers everything behind the question mark but itself and the key's name.
        let query = query.finish();
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), query.as_bytes(), &mut signature).ok()?;
        let signature: String = byte_serialize(STANDARD.encode(signature).as_bytes()).collect();
        let (path, key) = (self.path(), &self.key_host);
        Some(format!("{}/{path}/apply?{query}&sig={signature}&key={key}", sync_ux.trim_end_matches('/')))
    }
}

/// The groups of the template's records that a domain needs.
fn groups(flags: DomainFlags) -> String {
    let groups = [
        (true, "sending"),
        (flags.inbound, "inbound"),
        (flags.subdomains, "subdomains"),
        (flags.tracking, "tracking"),
    ];
    groups.into_iter().filter(|(needed, _)| *needed).map(|(_, name)| name).collect::<Vec<_>>().join(",")
}

/// Why there is no link, for the log.
struct Refused(String);

fn because(reason: impl fmt::Display) -> Refused {
    Refused(reason.to_string())
}

/// A link and what goes with it.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) provider_name: Option<String>,
    pub(super) url: String,
    pub(super) width: Option<u64>,
    pub(super) height: Option<u64>,
    pub(super) state: String,
}

/// What a provider says about itself for a zone.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Provider {
    provider_name: Option<String>,
    provider_display_name: Option<String>,
    #[serde(rename = "urlSyncUX")]
    url_sync_ux: Option<String>,
    #[serde(rename = "urlAPI")]
    url_api: Option<String>,
    width: Option<serde_json::Value>,
    height: Option<serde_json::Value>,
}

impl App {
    /// The link for a domain, when there is a template and the provider of the domain's zone carries it.
    /// Finding the zone and asking its provider takes `limit` at most.
    pub(super) async fn setup_offer(&self, domain: &Domain, limit: Duration) -> Option<Offer> {
        let template = self.settings().domain_connect.as_ref()?;
        let asked = Box::pin(self.ask_provider(template, domain));
        let reason = match tokio::time::timeout(limit, asked).await {
            Ok(Ok(offer)) => return Some(offer),
            Ok(Err(Refused(reason))) => reason,
            Err(_) => "no answer in time".to_owned(),
        };
        tracing::info!(domain = %domain.domain, reason, "no one-click setup");
        None
    }

    async fn ask_provider(&self, template: &DomainConnect, domain: &Domain) -> Result<Offer, Refused> {
        let zone = zone_of(self.resolver(), &domain.domain).await?;
        let texts = self.resolver().txt(&format!("_domainconnect.{zone}")).await.map_err(because)?;
        let host = texts.first().map(|text| text.trim().trim_matches('/')).unwrap_or_default();
        // Plain http passes the guard only where private addresses do.
        let settings_host = if host.contains("://") { host.to_owned() } else { format!("https://{host}") };
        let settings_host = web_address(self.egress(), &settings_host)?;
        let about = fetch(self.egress(), &format!("{settings_host}/v2/{zone}/settings")).await?;
        let provider: Provider = serde_json::from_slice(&about).map_err(because)?;
        let api = provider.url_api.ok_or_else(|| because("the provider has no API"))?;
        let sync_ux = provider.url_sync_ux.ok_or_else(|| because("the provider has no page for owners"))?;
        let (api, sync_ux) = (web_address(self.egress(), &api)?, web_address(self.egress(), &sync_ux)?);
        let carried = format!("{}/{}", api.trim_end_matches('/'), template.path());
        fetch(self.egress(), &carried).await?;

        let state = source::hex(&source::random::<16>(self.ids()));
        let url = template.link(&sync_ux, &zone, domain, &state).ok_or_else(|| because("the key refused"))?;
        let pixels = |size: Option<serde_json::Value>| {
            size.and_then(|size| size.as_u64()).filter(|size| PIXELS.contains(size))
        };
        let name = provider.provider_display_name.or(provider.provider_name);
        let (width, height) = (pixels(provider.width), pixels(provider.height));
        Ok(Offer { provider_name: name.and_then(|name| shown(&name)), url, width, height, state })
    }
}

/// The zone that a name lies in: the nearest name with name servers, not above the registrable domain.
async fn zone_of(resolver: &dyn Resolver, domain: &DomainName) -> Result<String, Refused> {
    let top = domain.organizational();
    let parents = domain.parents().into_iter().filter(|parent| {
        top.as_ref().is_some_and(|top| parent == top.as_str() || parent.ends_with(&format!(".{top}")))
    });
    for name in std::iter::once(domain.as_str().to_owned()).chain(parents) {
        match resolver.ns(&name).await {
            Ok(_) => return Ok(name),
            Err(DnsError::NotFound) => {}
            Err(error @ DnsError::Temporary(_)) => return Err(because(error)),
        }
    }
    Err(because("no zone"))
}

/// A stranger's address without its query, when the guard lets it pass.
fn web_address(egress: &Egress, text: &str) -> Result<String, Refused> {
    if text.len() > URL_BYTES_MAX {
        return Err(because("an address of the provider is too long"));
    }
    let mut url = Url::parse(text).map_err(because)?;
    egress.check_url(&url).map_err(because)?;
    url.set_query(None);
    url.set_fragment(None);
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// What lies at an address, if there is anything.
async fn fetch(egress: &Egress, url: &str) -> Result<Bytes, Refused> {
    let fetched = egress.fetch(url, ANSWER_BYTES_MAX, TIMEOUT).await.map_err(because)?;
    if fetched.status != 200 {
        return Err(because(format_args!("{url} answers {}", fetched.status)));
    }
    Ok(fetched.body)
}

/// A stranger's name, short and on one line.
fn shown(name: &str) -> Option<String> {
    let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_says_which_value_does_not_fit() {
        let key = podmail_sender_auth::generate_rsa_2048().unwrap().private_pkcs8;
        for (provider, service, domain, key, want) in [
            ("p/x", "s", "_dck1.p.test", &key[..], "the ids of a template"),
            ("p", "", "_dck1.p.test", &key, "the ids of a template"),
            ("p", "s", "_dck1", &key, "the name of the public key"),
            ("p", "s", "_dck1.p.test", b"no key", "the key is no RSA"),
        ] {
            let error = DomainConnect::new(provider, service, domain, key, None).unwrap_err();
            assert!(error.starts_with(want), "{error}");
        }
        let made = DomainConnect::new("p.test", "mail", "_dck1.p.test", &key, None).unwrap();
        assert_eq!(
            format!("{made:?}"),
            "DomainConnect { provider_id: \"p.test\", service_id: \"mail\", .. }"
        );
    }

    #[test]
    fn names_of_providers_are_short_and_on_one_line() {
        assert_eq!(shown(" DNS\n Inc. ").as_deref(), Some("DNS Inc."));
        assert_eq!(shown("\r\n"), None);
        assert_eq!(shown(&"é".repeat(500)).map(|name| name.chars().count()), Some(100));
    }
}
