//! The route by DNS: which hosts take mail for a domain (RFC 5321 §5.1), in the order to try.

use podmail_app::App;
use podmail_dns::{DnsError, Mx};
use podmail_egress::EgressError;

use crate::client::{Target, TlsMode};

/// Most hosts of one destination that one attempt tries.
pub(crate) const HOSTS_MAX: usize = 5;

/// Why there is no host to speak with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoHost {
    /// DNS says for good that there is none.
    Permanent { enhanced: &'static str, text: &'static str },
    /// We are its best host, and have no such inbox.
    Ourselves,
    /// DNS did not answer.
    Later(String),
}

/// Hosts of a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hosts {
    /// Best first, at most [`HOSTS_MAX`].
    pub(crate) names: Vec<String>,
    /// The domain itself stands in for a missing MX record.
    pub(crate) implicit: bool,
}

/// Looks a destination up. `helo` is our own name: hosts that are no better than ourselves are left out, or mail would
/// come back to us.
pub(crate) async fn hosts(app: &App, destination: &str, helo: &str) -> Result<Hosts, NoHost> {
    match app.mail_exchangers(destination).await {
        Ok(found) => order(found, helo),
        Err(DnsError::NotFound) if destination == helo => Err(NoHost::Ourselves),
        Err(DnsError::NotFound) => Ok(Hosts { names: vec![destination.to_owned()], implicit: true }),
        Err(DnsError::Temporary(reason)) => Err(NoHost::Later(format!("MX look-up failed: {reason}"))),
    }
}

fn order(mut found: Vec<Mx>, helo: &str) -> Result<Hosts, NoHost> {
    if found.iter().all(|mx| mx.host.is_empty()) {
        // RFC 7505.
        return Err(NoHost::Permanent { enhanced: "5.1.10", text: "the domain takes no mail (null MX)" });
    }
    found.sort();
    if let Some(own) = found.iter().find(|mx| mx.host == helo).map(|mx| mx.priority) {
        found.retain(|mx| mx.priority < own);
        if found.is_empty() {
            return Err(NoHost::Ourselves);
        }
    }
    let names = found.into_iter().map(|mx| mx.host).filter(|host| !host.is_empty()).take(HOSTS_MAX).collect();
    Ok(Hosts { names, implicit: false })
}

/// Why a host cannot be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreachable {
    /// Its addresses are private.
    Refused,
    /// It has none, for good.
    Nowhere,
    /// Not known at the moment.
    Later(String),
}

/// Where to connect for a host, private addresses refused unless the operator allows them.
pub(crate) async fn target(app: &App, host: &str, port: u16, helo: &str) -> Result<Target, Unreachable> {
    let addresses = match app.egress().connect_targets(host, port).await {
        Ok(addresses) => addresses,
        Err(EgressError::Refused(_)) => return Err(Unreachable::Refused),
        Err(error) => {
            return Err(match app.host_addresses(host).await {
                Err(DnsError::NotFound) => Unreachable::Nowhere,
                _ => Unreachable::Later(error.to_string()),
            });
        }
    };
    Ok(Target {
        addresses,
        host: host.to_owned(),
        tls: TlsMode::Opportunistic,
        credentials: None,
        helo: helo.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mx(list: &[(u16, &str)]) -> Vec<Mx> {
        list.iter().map(|(priority, host)| Mx { priority: *priority, host: (*host).to_owned() }).collect()
    }

    #[test]
    fn hosts_are_tried_by_preference_and_never_ourselves_or_worse() {
        let names = |names: &[&str]| {
            Ok(Hosts { names: names.iter().map(|name| (*name).to_owned()).collect(), implicit: false })
        };
        for (found, want) in [
            (mx(&[(20, "b.example"), (10, "a.example")]), names(&["a.example", "b.example"])),
            (mx(&[(10, "a.example"), (20, "we.example"), (30, "c.example")]), names(&["a.example"])),
            (mx(&[(10, "we.example"), (10, "a.example")]), Err(NoHost::Ourselves)),
            (
                mx(&[(0, "")]),
                Err(NoHost::Permanent { enhanced: "5.1.10", text: "the domain takes no mail (null MX)" }),
            ),
        ] {
            assert_eq!(order(found.clone(), "we.example"), want, "{found:?}");
        }
        let many: Vec<Mx> = (0..40).map(|n| Mx { priority: n, host: format!("h{n}.example") }).collect();
        assert_eq!(order(many, "we.example").expect("hosts").names.len(), HOSTS_MAX);
    }
}
