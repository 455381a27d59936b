//! Where a new inbox may lie, and which names are kept back there.

use podmail_domain::DomainName;
use podmail_store::Scope;

use crate::{App, Error, Result};

/// Names that must reach the operator of the shared domain (RFC 2142, and feedback loops) or that would pass for his.
const RESERVED_ON_SHARED: &[&str] = &[
    "postmaster",
    "abuse",
    "complaints",
    "hostmaster",
    "webmaster",
    "mailer-daemon",
    "noreply",
    "no-reply",
    "root",
    "dmarc",
    "admin",
    "administrator",
    "security",
];
/// Names that must reach the operator on the subdomain of a pod.
const RESERVED_ON_POD: &[&str] = &["postmaster", "abuse", "mailer-daemon"];
/// What bounces come from; nobody's inbox, not even on its own domain.
const RESERVED_ON_OWN: &[&str] = &["mailer-daemon"];

/// A domain that an inbox may lie on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// The installation's shared domain, or the pod's subdomain of it when the settings say so.
    Shared {
        /// The shared domain.
        domain: String,
        /// Without an own address on the shared domain.
        only_pod: bool,
    },
    /// The subdomain of the inbox's pod, asked for by name.
    Pod(String),
    /// A registered domain or a name below one.
    Own {
        /// Where the address lies.
        domain: String,
        /// What is registered.
        governing: String,
    },
}

impl Location {
    pub(super) fn domain(&self) -> &str {
        match self {
            Self::Shared { domain, .. } | Self::Pod(domain) | Self::Own { domain, .. } => domain,
        }
    }

    pub(super) fn governing_domain(&self) -> Option<&str> {
        match self {
            Self::Shared { .. } | Self::Pod(_) => None,
            Self::Own { governing, .. } => Some(governing),
        }
    }

    /// Whether a user name is kept back here.
    pub(super) fn reserves(&self, username: &str) -> bool {
        let names = match self {
            Self::Shared { only_pod: false, .. } => RESERVED_ON_SHARED,
            Self::Shared { only_pod: true, .. } | Self::Pod(_) => RESERVED_ON_POD,
            Self::Own { .. } => RESERVED_ON_OWN,
        };
        names.contains(&username) || crate::reports::address::reserves(username)
    }
}

impl App {
    /// The domain that a create asks for, if it may be used by the scope's pod.
    pub(super) async fn locate(&self, scope: &Scope, domain: Option<&str>) -> Result<Location> {
        let shared = self.settings().domain.as_str();
        let Some(domain) = domain else {
            let always = self.settings().pod_subdomains == crate::PodSubdomains::Always;
            let only_pod = always && scope.pod_or_default() != default_pod(scope);
            return Ok(Location::Shared { domain: shared.to_owned(), only_pod });
        };
        let unknown = || Error::NotFound("Domain");
        if domain.trim().trim_end_matches('.').eq_ignore_ascii_case(shared) {
            return Ok(Location::Shared { domain: shared.to_owned(), only_pod: false });
        }
        let name = DomainName::parse(domain).ok_or_else(unknown)?;
        if name.is_below(shared) {
            let label = self.store().pod_subdomain(scope).await?.ok_or_else(unknown)?;
            let own = format!("{label}.{shared}");
            return if own == name.as_str() { Ok(Location::Pod(own)) } else { Err(unknown()) };
        }
        let registered = self.store().governing_domains(scope, &name).await?;
        let nearest = registered.first().ok_or_else(unknown)?;
        if nearest.pod_id.is_some_and(|pod| pod != scope.pod_or_default()) {
            return Err(unknown());
        }
        let tracking = registered.iter().filter(|above| above.tracking_enabled).find(|above| {
            let host = format!("link.{}", above.domain);
            name.as_str() == host || name.is_below(&host)
        });
        if let Some(above) = tracking {
            let host = format!("link.{}", above.domain);
            return Err(Error::Unprocessable(format!("{host} is reserved while tracking is enabled")));
        }
        if nearest.domain == name.as_str() {
            if !nearest.verified {
                return Err(Error::DomainNotVerified { domain: nearest.domain.clone() });
            }
        } else if !nearest.subdomains_enabled {
            return Err(Error::Unprocessable(format!("Subdomains are not enabled for {}", nearest.domain)));
        } else if !nearest.complete {
            return Err(Error::Unprocessable(format!(
                "{} is not verified for its subdomains",
                nearest.domain
            )));
        }
        Ok(Location::Own { domain: name.as_str().to_owned(), governing: nearest.domain.clone() })
    }
}

fn default_pod(scope: &Scope) -> podmail_domain::PodId {
    podmail_domain::PodId::default_of(scope.organization())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_operator_are_kept_back_where_he_answers_for_them() {
        let shared = Location::Shared { domain: "pm.test".to_owned(), only_pod: false };
        let pod = Location::Pod("acme.pm.test".to_owned());
        let own = Location::Own { domain: "a.test".to_owned(), governing: "a.test".to_owned() };
        for (name, want) in [
            ("admin", [true, false, false]),
            ("postmaster", [true, true, false]),
            ("mailer-daemon", [true, true, true]),
            ("support", [false, false, false]),
            ("bounce-support", [false, false, false]),
            (&format!("bounce-{}", "0".repeat(50)), [true, true, true]),
            (&format!("unsubscribe-{}", "z".repeat(50)), [true, true, true]),
        ] {
            assert_eq!([&shared, &pod, &own].map(|place| place.reserves(name)), want, "{name}");
        }
    }
}
