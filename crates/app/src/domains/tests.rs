//! Tables for the pure parts: records, comparison, zone file, decisions.

mod connect;
mod flow;

use std::time::Duration;

use podmail_dns::MockResolver;
use podmail_domain::{DomainName, OrganizationId, Timestamp};
use podmail_store::{Domain, DomainFlags, DomainStatus, NextCheck};

use super::check::{Found, is_google, judge, look};
use super::decide::{after_change, after_check, after_force, next_check};
use super::records::{Purpose, Record, RecordState, current, status, to_stored, wanted};
use super::{records, zone};
use crate::Settings;

const DEFAULT: DomainFlags =
    DomainFlags { feedback: true, inbound: true, subdomains: false, tracking: false };

fn settings() -> Settings {
    Settings::for_domain("podmail.test")
}

fn key() -> String {
    "M".repeat(392)
}

fn domain(name: &str, flags: DomainFlags) -> Domain {
    let created_at = Timestamp::from_seconds(1_000_000);
    let mut domain = Domain {
        organization_id: OrganizationId::parse("00000000-0000-7000-8000-000000000001").unwrap(),
        domain: DomainName::parse(name).unwrap(),
        pod_id: None,
        client_id: None,
        status: DomainStatus::Pending,
        reason: Some("dns_records_missing".to_owned()),
        flags,
        dkim_selector: "podmail1".to_owned(),
        dkim_public: key(),
        records: String::new(),
        verified_at: None,
        sending: false,
        forced: false,
        failed_checks: 0,
        next_check_at: None,
        checked_at: None,
        checks_since: created_at,
        verify_requested_at: None,
        version: 1,
        created_at,
        updated_at: created_at,
    };
    domain.records = to_stored(&wanted(records::Wanted::of(&domain), &settings()));
    domain
}

fn verified() -> Domain {
    let domain = domain("acme.example", DEFAULT);
    let now = domain.created_at.plus(Duration::from_secs(60));
    after_check(&domain, &right(&domain), &settings(), now)
}

/// What the DNS says when everything is published as asked.
fn right(domain: &Domain) -> Vec<Found> {
    current(domain, &settings())
        .into_iter()
        .map(|record| Found { values: Some(vec![record.value]), inherited: Vec::new() })
        .collect()
}

fn without(domain: &Domain, purpose: Purpose) -> Vec<Found> {
    let list = current(domain, &settings());
    let mut found = right(domain);
    for (record, found) in list.iter().zip(&mut found) {
        if record.purpose == purpose {
            found.values = Some(Vec::new());
        }
    }
    found
}

#[test]
fn records_stand_in_the_documented_order() {
    let all = DomainFlags { subdomains: true, tracking: true, ..DEFAULT };
    let send_only = DomainFlags { inbound: false, ..DEFAULT };
    let d = "acme.example";
    let base = [
        "TXT podmail1._domainkey.acme.example",
        "TXT mail.acme.example",
        "MX mail.acme.example",
        "TXT _dmarc.acme.example",
    ];
    for (flags, before, after) in [
        (DEFAULT, vec!["MX acme.example"], vec![]),
        (send_only, vec![], vec![]),
        (all, vec!["MX acme.example", "MX *.acme.example"], vec!["CNAME link.acme.example"]),
    ] {
        let names: Vec<String> = current(&domain(d, flags), &settings())
            .iter()
            .map(|record| format!("{} {}", record.purpose.kind(), record.name))
            .collect();
        let want: Vec<&str> = before.into_iter().chain(base).chain(after).collect();
        assert_eq!(names, want, "{flags:?}");
    }
    let list = current(&domain(d, DEFAULT), &settings());
    let values: Vec<(&str, Option<u16>)> = list.iter().map(|r| (r.value.as_str(), r.priority())).collect();
    let dkim = format!("v=DKIM1; k=rsa; p={}", key());
    assert_eq!(
        values,
        vec![
            ("mx.podmail.test", Some(10)),
            (dkim.as_str(), None),
            ("v=spf1 include:spf.podmail.test -all", None),
            ("mx.podmail.test", Some(10)),
            ("v=DMARC1; p=reject; rua=mailto:dmarc@podmail.test", None),
        ]
    );
}

// domains.md checks 7, 8, 10
#[test]
fn answers_are_compared_by_the_rules_of_their_kind() {
    let list = current(&domain("acme.example", DomainFlags { tracking: true, ..DEFAULT }), &settings());
    let record = |purpose| list.iter().find(|r| r.purpose == purpose).unwrap().clone();
    let dkim = record(Purpose::Dkim).value;
    let other_key = format!("v=DKIM1; k=rsa; p={}", "N".repeat(392));
    let spf = record(Purpose::Spf).value;
    use RecordState::{Duplicate, Mismatch, Missing, Valid};
    for (purpose, values, want) in [
        (Purpose::Inbound, vec![], Missing),
        (Purpose::Inbound, vec!["mx.podmail.test"], Valid),
        (Purpose::Inbound, vec!["smtp.google.com", "mx.podmail.test"], Valid),
        (Purpose::Inbound, vec!["smtp.google.com"], Mismatch),
        (Purpose::Inbound, vec![""], Mismatch),
        (Purpose::Dkim, vec![], Missing),
        (Purpose::Dkim, vec![dkim.as_str()], Valid),
        (Purpose::Dkim, vec![&dkim.replace("; ", ";")], Valid),
        (Purpose::Dkim, vec![other_key.as_str()], Mismatch),
        (Purpose::Dkim, vec![&other_key, &dkim], Duplicate),
        (Purpose::Dkim, vec!["unrelated"], Mismatch),
        (Purpose::Dkim, vec!["unrelated", &dkim], Valid),
        (Purpose::Dkim, vec!["v=DKI\u{fffd}"], Mismatch),
        (Purpose::Spf, vec![], Missing),
        (Purpose::Spf, vec!["google-site-verification=1"], Missing),
        (Purpose::Spf, vec![spf.as_str()], Valid),
        (Purpose::Spf, vec!["V=SPF1  ip4:192.0.2.1 include:SPF.podmail.test ~all"], Valid),
        (Purpose::Spf, vec!["v=spf1 include:other.test -all"], Mismatch),
        (Purpose::Spf, vec!["v=spf1 -all", &spf], Duplicate),
        (Purpose::Spf, vec!["v=spf1 -all", "v=spf1 ~all"], Mismatch),
        (Purpose::Dmarc, vec![], Missing),
        (Purpose::Dmarc, vec!["v=DMARC1; p=none"], Valid),
        (Purpose::Dmarc, vec!["v=DMARC1; p=none", "v=DMARC1; p=reject"], Duplicate),
        (Purpose::Tracking, vec!["link.podmail.test"], Valid),
        (Purpose::Tracking, vec!["elsewhere.test"], Mismatch),
        (Purpose::Tracking, vec![], Missing),
    ] {
        let found =
            Found { values: Some(values.iter().map(|v| (*v).to_owned()).collect()), inherited: Vec::new() };
        assert_eq!(judge(&record(purpose), &found), Some(want), "{purpose:?} {values:?}");
    }
    assert_eq!(judge(&record(Purpose::Spf), &Found { values: None, inherited: Vec::new() }), None);
}

#[tokio::test]
async fn a_policy_of_the_organizational_domain_counts_for_a_domain_below_it() {
    let resolver = MockResolver::new().with_txt("_dmarc.acme.example", "v=DMARC1; p=quarantine");
    for (name, want) in [("eu.acme.example", RecordState::Valid), ("other.example", RecordState::Missing)] {
        let domain = domain(name, DEFAULT);
        let list = current(&domain, &settings());
        let found = look(&resolver, &domain.domain, &list).await;
        let at = list.iter().position(|record| record.purpose == Purpose::Dmarc).unwrap();
        assert_eq!(judge(&list[at], &found[at]), Some(want), "{name}");
    }
}

#[tokio::test]
async fn only_google_counts_as_a_conflicting_provider() {
    for (host, want) in [
        ("smtp.google.com", true),
        ("ASPMX.L.GOOGLE.COM.", true),
        ("aspmx2.googlemail.com", true),
        ("acme-example.mail.protection.outlook.com", false),
        ("notgoogle.com", false),
    ] {
        let resolver = MockResolver::new().with_mx("acme.example", 1, host);
        assert_eq!(is_google(&resolver, &DomainName::parse("acme.example").unwrap()).await, want, "{host}");
    }
    let failing = MockResolver::new().with_failure("acme.example");
    assert!(!is_google(&failing, &DomainName::parse("acme.example").unwrap()).await);
}

#[test]
fn the_status_follows_from_the_records_and_wrong_comes_before_missing() {
    let with = |states: &[RecordState]| -> Vec<Record> {
        current(&domain("acme.example", DEFAULT), &settings())
            .into_iter()
            .zip(states)
            .map(|(record, state)| Record { state: *state, ..record })
            .collect()
    };
    use RecordState::{Duplicate, Mismatch, Missing, Valid};
    for (states, want) in [
        ([Valid; 5], (DomainStatus::Verified, None)),
        ([Valid, Valid, Missing, Valid, Valid], (DomainStatus::Pending, Some("dns_records_missing"))),
        ([Missing, Mismatch, Valid, Valid, Valid], (DomainStatus::Invalid, Some("dns_records_invalid"))),
        ([Valid, Valid, Duplicate, Valid, Valid], (DomainStatus::Invalid, Some("dns_records_invalid"))),
    ] {
        assert_eq!(status(&with(&states)), want, "{states:?}");
    }
}

#[test]
fn zone_files_hold_every_record_in_short_strings() {
    let domain = domain("acme.example", DomainFlags { subdomains: true, tracking: true, ..DEFAULT });
    let text = zone::zone_file("acme.example", &current(&domain, &settings()));
    let dkim = format!("v=DKIM1; k=rsa; p={}", key());
    let (first, second) = dkim.split_at(255);
    let want = format!(
        "; acme.example\n\
         acme.example. 300 IN MX 10 mx.podmail.test.\n\
         *.acme.example. 300 IN MX 10 mx.podmail.test.\n\
         podmail1._domainkey.acme.example. 300 IN TXT \"{first}\" \"{second}\"\n\
         mail.acme.example. 300 IN TXT \"v=spf1 include:spf.podmail.test -all\"\n\
         mail.acme.example. 300 IN MX 10 mx.podmail.test.\n\
         _dmarc.acme.example. 300 IN TXT \"v=DMARC1; p=reject; rua=mailto:dmarc@podmail.test\"\n\
         link.acme.example. 300 IN CNAME link.podmail.test.\n"
    );
    assert_eq!(text, want);
}

#[test]
fn a_domain_whose_records_are_all_there_is_verified_and_may_send() {
    let domain = verified();
    assert_eq!(
        (domain.status, domain.reason.as_deref(), domain.sending),
        (DomainStatus::Verified, None, true)
    );
    assert_eq!(domain.verified_at, domain.checked_at);
    assert!(current(&domain, &settings()).iter().all(|record| record.state == RecordState::Valid));
}

#[test]
fn two_failed_checks_in_a_row_demote_a_verified_domain_and_one_does_not() {
    let (settings, minute) = (settings(), Duration::from_secs(60));
    let domain = verified();
    let now = domain.created_at.plus(minute * 1440);
    let once = after_check(&domain, &without(&domain, Purpose::Dkim), &settings, now);
    assert_eq!((once.status, once.sending, once.failed_checks), (DomainStatus::Verified, true, 1));
    assert_eq!((&once.records, once.updated_at), (&domain.records, domain.updated_at));
    assert_eq!(once.next_check_at, Some(now.plus(minute)), "the second look comes soon");

    let back = after_check(&once, &right(&domain), &settings, now.plus(minute));
    assert_eq!((back.status, back.failed_checks), (DomainStatus::Verified, 0));

    let silent: Vec<Found> =
        right(&domain).into_iter().map(|_| Found { values: None, inherited: Vec::new() }).collect();
    let blind = after_check(&once, &silent, &settings, now.plus(minute));
    assert_eq!(
        (blind.status, blind.failed_checks),
        (DomainStatus::Verified, 1),
        "no answer is not a failure"
    );

    let twice = after_check(&once, &without(&domain, Purpose::Dkim), &settings, now.plus(minute));
    assert_eq!((twice.status, twice.sending), (DomainStatus::Pending, false));
    let dkim = current(&twice, &settings).into_iter().find(|record| record.purpose == Purpose::Dkim).unwrap();
    assert_eq!(dkim.state, RecordState::Missing);
    assert_eq!(twice.verified_at, domain.verified_at);

    let no_mx = after_check(&once, &without(&domain, Purpose::Inbound), &settings, now.plus(minute));
    assert_eq!(
        (no_mx.status, no_mx.sending),
        (DomainStatus::Pending, true),
        "receiving is not needed to send"
    );
}

#[test]
fn a_newly_needed_record_makes_a_verified_domain_pending_without_costing_it_rights() {
    let (settings, domain) = (settings(), verified());
    let now = domain.updated_at.plus(Duration::from_secs(60));
    let (pending, check) =
        after_change(&domain, DomainFlags { subdomains: true, ..domain.flags }, &settings, now);
    assert_eq!(
        (pending.status, pending.reason.as_deref()),
        (DomainStatus::Pending, Some("dns_records_missing"))
    );
    assert_eq!((pending.sending, pending.verified_at), (true, domain.verified_at));
    assert_eq!((check, pending.next_check_at), (NextCheck::Set, Some(now)));
    let states: Vec<(Purpose, RecordState)> =
        current(&pending, &settings).iter().map(|record| (record.purpose, record.state)).collect();
    assert_eq!(states[1], (Purpose::WildcardInbound, RecordState::Missing));
    assert_eq!(states.iter().filter(|(_, state)| *state == RecordState::Valid).count(), 5);

    let (back, _) = after_change(&pending, domain.flags, &settings, now);
    assert_eq!((back.status, back.reason), (DomainStatus::Verified, None), "turning off never lowers");

    let (same, check) =
        after_change(&domain, DomainFlags { feedback: false, ..domain.flags }, &settings, now);
    assert_eq!(
        (same.status, same.next_check_at, check),
        (domain.status, domain.next_check_at, NextCheck::Keep)
    );
}

#[test]
fn an_operators_word_verifies_and_is_not_checked() {
    let settings = settings();
    let domain = domain("acme.example", DEFAULT);
    let now = domain.created_at.plus(Duration::from_secs(5));
    let forced = after_force(&domain, &settings, now);
    assert_eq!((forced.status, forced.sending, forced.forced), (DomainStatus::Verified, true, true));
    assert_eq!((forced.next_check_at, forced.verified_at), (None, Some(now)));
    assert_eq!(next_check(&forced, &settings, now), None);
}

#[test]
fn checks_become_rarer_with_age() {
    let settings = settings();
    let domain = domain("acme.example", DEFAULT);
    let hour = 3600;
    for (age, want) in [
        (0, Some(60)),
        (hour - 1, Some(60)),
        (hour, Some(600)),
        (49 * hour - 1, Some(600)),
        (49 * hour, Some(3600)),
        (49 * hour + 30 * 24 * hour - 1, Some(3600)),
        (49 * hour + 30 * 24 * hour, None),
    ] {
        let now = domain.created_at.plus(Duration::from_secs(age));
        let next = next_check(&domain, &settings, now).map(|next| next.since(now).as_secs());
        assert_eq!(next, want, "{age} s");
    }
    let domain = verified();
    let next = next_check(&domain, &settings, domain.updated_at);
    assert_eq!(next.map(|next| next.since(domain.updated_at).as_secs()), Some(24 * 3600));
    let off = Settings { domain_check_interval: None, domain_recheck_interval: None, ..settings };
    assert_eq!(next_check(&domain, &off, domain.updated_at), None);
}

// domains.md check 9: a DKIM key is longer than one string
#[tokio::test]
async fn every_kind_of_record_is_found_through_a_real_resolver() {
    let domain = domain("acme.example", DomainFlags { subdomains: true, tracking: true, ..DEFAULT });
    let list = current(&domain, &settings());
    let server = podmail_testkit::DnsServer::start().await.unwrap();
    for record in &list {
        match record.purpose.kind() {
            "TXT" => server.set_txt(&record.name, &[&record.value]),
            "MX" => server.set_mx(&record.name, &[(10, &record.value)]),
            _ => server.set_cname(&record.name, Some(&record.value)),
        }
    }
    let resolver = podmail_dns::SystemResolver::new(Some(server.address())).unwrap();
    let found = look(&resolver, &domain.domain, &list).await;
    for (record, found) in list.iter().zip(&found) {
        assert_eq!(judge(record, found), Some(RecordState::Valid), "{record:?} {found:?}");
    }
    server.set_failure("mail.acme.example", true);
    let found = look(&resolver, &domain.domain, &list).await;
    let spf = list.iter().position(|record| record.purpose == Purpose::Spf).unwrap();
    assert_eq!(judge(&list[spf], &found[spf]), None, "a failing server is no answer");
}
