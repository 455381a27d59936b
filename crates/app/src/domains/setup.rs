//! Setting a domain up with one click: the link, who runs the DNS, and whose mail would be cut off. The link needs a
//! template of the operator's at the DNS provider (`connect`).

use podmail_api_types::domains::SetupLink;
use podmail_domain::DomainName;
use podmail_store::{Domain, DomainStatus};

use super::check::{self, PROBE_TIMEOUT};
use super::records::{Purpose, current};
use crate::error::{Error, Explained, Result};
use crate::{App, Caller};

/// Companies by the names below which their name servers lie.
const DNS_PROVIDERS: &[(&str, &str)] = &[
    ("cloudflare.com", "Cloudflare"),
    ("domaincontrol.com", "GoDaddy"),
    ("googledomains.com", "Google Cloud DNS"),
    ("registrar-servers.com", "Namecheap"),
    ("digitalocean.com", "DigitalOcean"),
    ("gandi.net", "Gandi"),
    ("hetzner.com", "Hetzner"),
    ("ovh.net", "OVHcloud"),
    ("dnsimple.com", "DNSimple"),
    ("nsone.net", "NS1"),
    ("vercel-dns.com", "Vercel"),
    ("linode.com", "Linode"),
];
/// Parts of host names of providers whose name servers lie below many names.
const DNS_PROVIDERS_BY_PART: &[(&str, &str)] =
    &[(".awsdns-", "Amazon Route 53"), (".azure-dns.", "Azure DNS"), (".ui-dns.", "IONOS")];
/// Mail providers by the names below which their mail hosts lie.
const MAIL_PROVIDERS: &[(&str, &str)] = &[
    ("google.com", "Google Workspace"),
    ("googlemail.com", "Google Workspace"),
    ("mail.protection.outlook.com", "Microsoft 365"),
    ("mx.microsoft", "Microsoft 365"),
];

impl App {
    /// Whether the records of a domain can be set with one click, and what is known of its providers.
    ///
    /// # Errors
    /// [`Error::WrongState`] once the domain is verified, [`Error::Unprocessable`] when the DNS gives no answer about it.
    pub async fn domain_setup_link(&self, caller: &Caller, domain_id: &str) -> Result<SetupLink> {
        let domain = self.stored_domain(&caller.scope, domain_id).await?;
        if domain.status == DomainStatus::Verified {
            return Err(Error::WrongState(Explained {
                message: format!("{} is verified already", domain.domain),
                fix: "Nothing is left to do: its records are in place.",
            }));
        }
        if !check::answers(self.resolver(), &domain.domain).await {
            return Err(Error::Unprocessable(format!("No name server answers for {}", domain.domain)));
        }
        let (offer, dns_provider, conflicting_provider) = tokio::join!(
            self.setup_offer(&domain, super::connect::TIMEOUT),
            self.dns_provider(&domain.domain),
            self.other_mail_provider(&domain)
        );
        let Some(offer) = offer else {
            return Ok(SetupLink {
                provider_name: dns_provider,
                conflicting_provider,
                ..SetupLink::default()
            });
        };
        Ok(SetupLink {
            supported: true,
            provider_name: offer.provider_name.or(dns_provider),
            url: Some(offer.url),
            width: offer.width,
            height: offer.height,
            state: Some(offer.state),
            conflicting_provider,
        })
    }

    /// Who runs the DNS of a name, as far as it can be told from its name servers or those of the registered domain.
    async fn dns_provider(&self, domain: &DomainName) -> Option<String> {
        let zone = domain.organizational().filter(|zone| zone != domain);
        for name in [Some(domain), zone.as_ref()].into_iter().flatten() {
            let asked = tokio::time::timeout(PROBE_TIMEOUT, self.resolver().ns(name.as_str())).await;
            if let Some(host) =
                asked.ok().and_then(|answer| answer.ok()).and_then(|hosts| hosts.into_iter().min())
            {
                return Some(dns_provider_of(&host));
            }
        }
        None
    }

    /// Who receives the mail of a domain that is to receive here.
    async fn other_mail_provider(&self, domain: &Domain) -> Option<String> {
        let ours =
            current(domain, self.settings()).into_iter().find(|record| record.purpose == Purpose::Inbound)?;
        let asked = tokio::time::timeout(PROBE_TIMEOUT, self.resolver().mx(domain.domain.as_str())).await;
        let best = asked.ok()?.ok()?.into_iter().min()?.host;
        (!best.is_empty() && best != ours.value).then(|| mail_provider_of(&best))
    }
}

fn below(host: &str, name: &str) -> bool {
    host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn dns_provider_of(host: &str) -> String {
    let by_name = DNS_PROVIDERS.iter().find(|(name, _)| below(host, name));
    let by_part = || DNS_PROVIDERS_BY_PART.iter().find(|(part, _)| host.contains(part));
    match by_name.or_else(by_part) {
        Some((_, provider)) => (*provider).to_owned(),
        None => DomainName::parse(host)
            .and_then(|name| name.organizational())
            .map_or_else(|| host.to_owned(), |name| name.to_string()),
    }
}

fn mail_provider_of(host: &str) -> String {
    let known = MAIL_PROVIDERS.iter().find(|(name, _)| below(host, name));
    known.map_or(host, |(_, provider)| provider).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_known_by_the_names_of_their_hosts() {
        for (host, want) in [
            ("ada.ns.cloudflare.com", "Cloudflare"),
            ("ns-12.awsdns-34.co.uk", "Amazon Route 53"),
            ("ns1-07.azure-dns.com", "Azure DNS"),
            ("ns1.example.net", "example.net"),
            ("ns1.notcloudflare.com", "notcloudflare.com"),
        ] {
            assert_eq!(dns_provider_of(host), want, "{host}");
        }
        for (host, want) in [
            ("smtp.google.com", "Google Workspace"),
            ("aspmx.l.google.com", "Google Workspace"),
            ("acme-example.mail.protection.outlook.com", "Microsoft 365"),
            ("mx.fastmail.example", "mx.fastmail.example"),
        ] {
            assert_eq!(mail_provider_of(host), want, "{host}");
        }
    }
}
