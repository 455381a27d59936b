//! The resolvers against a name server on loopback and against the table of the mock.

use std::net::{IpAddr, Ipv4Addr};

use podmail_dns::{DnsError, MockResolver, Mx, Resolver, SystemResolver};
use podmail_testkit::DnsServer;

fn ip(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

async fn check_answers(resolver: &dyn Resolver) {
    assert_eq!(
        resolver.mx("Acme.Example.").await,
        Ok(vec![
            Mx { priority: 5, host: "a.mx.example".to_owned() },
            Mx { priority: 10, host: "b.mx.example".to_owned() }
        ])
    );
    let long = "k".repeat(600);
    assert_eq!(resolver.txt("sel._domainkey.acme.example").await, Ok(vec![long]));
    assert_eq!(resolver.addresses("a.mx.example").await, Ok(vec![ip(1), ip(2)]));
    assert_eq!(resolver.addresses("alias.example").await, Ok(vec![ip(1), ip(2)]));
    assert_eq!(resolver.cname("alias.example").await, Ok("a.mx.example".to_owned()));
    assert_eq!(resolver.mx("absent.example").await, Err(DnsError::NotFound));
    assert_eq!(resolver.txt("acme.example").await, Err(DnsError::NotFound));
    assert_eq!(resolver.addresses("acme.example").await, Err(DnsError::NotFound));
    assert_eq!(resolver.ns("acme.example").await, Err(DnsError::NotFound));
}

#[tokio::test]
async fn both_resolvers_give_the_same_answers() {
    let mock = MockResolver::new()
        .with_mx("acme.example", 10, "B.mx.example.")
        .with_mx("acme.example", 5, "a.mx.example")
        .with_txt("sel._domainkey.acme.example", &"k".repeat(600))
        .with_address("a.mx.example", ip(1))
        .with_address("a.mx.example", ip(2))
        .with_cname("alias.example", "a.mx.example");
    check_answers(&mock).await;

    let server = DnsServer::start().await.unwrap();
    server.set_mx("acme.example", &[(10, "B.mx.example."), (5, "a.mx.example")]);
    server.set_txt("sel._domainkey.acme.example", &[&"k".repeat(600)]);
    server.set_addresses("a.mx.example", &[ip(1), ip(2)]);
    server.set_cname("alias.example", Some("a.mx.example"));
    check_answers(&SystemResolver::new(Some(server.address())).unwrap()).await;
}

#[tokio::test]
async fn a_changed_record_is_seen_at_once() {
    let server = DnsServer::start().await.unwrap();
    let resolver = SystemResolver::new(Some(server.address())).unwrap();
    assert_eq!(resolver.txt("_dmarc.acme.example").await, Err(DnsError::NotFound));
    server.set_txt("_dmarc.acme.example", &["v=DMARC1; p=none"]);
    assert_eq!(resolver.txt("_dmarc.acme.example").await, Ok(vec!["v=DMARC1; p=none".to_owned()]));
    server.set_txt("_dmarc.acme.example", &["v=DMARC1; p=reject"]);
    assert_eq!(resolver.txt("_dmarc.acme.example").await, Ok(vec!["v=DMARC1; p=reject".to_owned()]));
    server.set_mx("*.acme.example", &[(10, "mx.example")]);
    assert_eq!(
        resolver.mx("*.acme.example").await,
        Ok(vec![Mx { priority: 10, host: "mx.example".to_owned() }])
    );
    server.set_mx("silent.example", &[(0, ".")]);
    assert_eq!(resolver.mx("silent.example").await, Ok(vec![Mx { priority: 0, host: String::new() }]));
}

#[tokio::test]
async fn a_failing_server_is_temporary_and_nonsense_is_not_found() {
    let server = DnsServer::start().await.unwrap();
    server.set_failure("broken.example", true);
    let resolver = SystemResolver::new(Some(server.address())).unwrap();
    assert!(matches!(resolver.txt("broken.example").await, Err(DnsError::Temporary(_))));
    let endless = "a.".repeat(200);
    for name in ["", ".", "a..b", "\u{fc}mlaut.example", endless.as_str()] {
        assert_eq!(resolver.txt(name).await, Err(DnsError::NotFound), "{name:?}");
    }
}
