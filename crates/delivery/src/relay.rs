//! The route through a relay: where it is, and by which names it calls a message afterwards.

use std::net::{IpAddr, SocketAddr};

use podmail_app::App;

use crate::client::Target;
use crate::route::Relay;

/// Bytes of a relay's id at most; a longer one is no id.
const ID_BYTES_MAX: usize = 250;

/// Where to connect. The operator chose the host, so no address is refused.
pub(crate) async fn target(app: &App, relay: &Relay, helo: &str) -> Result<Target, String> {
    let addresses = match relay.host.parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, relay.port)],
        Err(_) => addresses(app, &relay.host, relay.port).await?,
    };
    Ok(Target {
        addresses,
        host: relay.host.clone(),
        tls: relay.tls,
        credentials: relay.credentials.clone(),
        helo: helo.to_owned(),
    })
}

/// Our resolver first; names that only this machine knows (hosts file, search list) next.
async fn addresses(app: &App, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    if let Ok(found) = app.host_addresses(host).await {
        return Ok(found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect());
    }
    let found = tokio::net::lookup_host((host, port)).await;
    found.map(Iterator::collect).map_err(|error| format!("the relay's address is not known: {error}"))
}

/// Names under which answers may arrive, given the id in the relay's final reply.
///
/// Some relays put an id of their own in place of our Message-ID. Those whose id has a domain say it all; SES names
/// the part before the `@` only, and the domain depends on the region: `email.amazonses.com` in the oldest one,
/// `<region>.amazonses.com` elsewhere.
pub(crate) fn aliases(id: &str, host: &str) -> Vec<String> {
    let fits = !id.is_empty()
        && id.len() <= ID_BYTES_MAX
        && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'<' && byte != b'>');
    if !fits {
        return Vec::new();
    }
    let mut names = vec![format!("<{id}>")];
    if id.contains('@') {
        return names;
    }
    let host = host.to_ascii_lowercase();
    let region = host.strip_suffix(".amazonses.com").and_then(|rest| rest.rsplit('.').next());
    if let Some(region) = region {
        names.push(format!("<{id}@{region}.amazonses.com>"));
    } else if host.parse::<IpAddr>().is_err() {
        names.push(format!("<{id}@{host}>"));
    }
    // Also behind a proxy or an endpoint of one's own, where the host does not tell.
    if region.is_some() || is_ses_id(id) {
        names.push(format!("<{id}@email.amazonses.com>"));
    }
    names
}

/// `0100018f1b2c3d4e-5f6a7b8c-1234-5678-9abc-def012345678-000000`: sixteen digits, a UUID, six digits.
fn is_ses_id(id: &str) -> bool {
    let parts: Vec<&str> = id.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    lengths == [16, 8, 4, 4, 4, 12, 6] && parts.iter().all(|part| part.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relays_id_becomes_the_names_that_answers_use() {
        let ses = "0100018f1b2c3d4e-5f6a7b8c-1234-5678-9abc-def012345678-000000";
        for (id, host, want) in [
            ("abc.def@relay.example", "relay.example", vec!["<abc.def@relay.example>".to_owned()]),
            ("4XyZ1234abc", "127.0.0.1", vec!["<4XyZ1234abc>".to_owned()]),
            (
                "4XyZ1234abc",
                "Relay.example",
                vec!["<4XyZ1234abc>".to_owned(), "<4XyZ1234abc@relay.example>".to_owned()],
            ),
            (
                ses,
                "email-smtp.eu-west-1.amazonses.com",
                vec![
                    format!("<{ses}>"),
                    format!("<{ses}@eu-west-1.amazonses.com>"),
                    format!("<{ses}@email.amazonses.com>"),
                ],
            ),
            (ses, "127.0.0.1", vec![format!("<{ses}>"), format!("<{ses}@email.amazonses.com>")]),
            ("a b", "relay.example", vec![]),
            ("a><b", "relay.example", vec![]),
            ("", "relay.example", vec![]),
        ] {
            assert_eq!(aliases(id, host), want, "{id} of {host}");
        }
    }
}
