//! Verdicts on mail with a made-up DNS.

use std::fmt::Write as _;
use std::net::IpAddr;

use mail_auth::arc::ArcSealer;
use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter as _;
use mail_auth::dkim::DkimSigner;
use mail_auth::{ArcOutput, AuthenticatedMessage, AuthenticationResults, DmarcOutput, DmarcResult};
use podmail_dns::MockResolver;
use podmail_sender_auth::{Envelope, Policy, Question, SIGNATURES_MAX, Verdict, Word};
use rustls_pki_types::PrivateKeyDer;

use super::{FULL, KEY, NOW, with_signature};

const IP: &str = "192.0.2.7";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The zone of `acme.example`, whose key is published.
fn zone() -> MockResolver {
    MockResolver::new().with_txt("pod1._domainkey.acme.example", &KEY.record())
}

async fn judge_at(
    dns: &MockResolver,
    from: Option<&str>,
    raw: &[u8],
    sealers: &[String],
    now: u64,
) -> Verdict {
    let envelope = Envelope { ip: ip(IP), helo: "mx.acme.example", mail_from: from };
    let answers = Question::of(raw, None, sealers).ask(dns, envelope).await;
    answers.judge(raw, now)
}

async fn judge(dns: &MockResolver, raw: &[u8]) -> Verdict {
    judge_at(dns, Some("one@acme.example"), raw, &[], NOW).await
}

async fn spf(dns: &MockResolver, from: Option<&str>, client: &str) -> Word {
    let envelope = Envelope { ip: ip(client), helo: "mx.acme.example", mail_from: from };
    Question::of(b"", None, &[]).ask(dns, envelope).await.judge(b"", NOW).spf
}

#[tokio::test]
async fn spf_says_what_the_record_says() {
    let address = |host: &str, text: &str| MockResolver::new().with_address(host, ip(text));
    let many = |term: &str| {
        let mut record = "v=spf1".to_owned();
        (0..11).for_each(|n| write!(record, " {term}{n}.acme.example").unwrap());
        record
    };
    for (record, dns, want) in [
        ("v=spf1 ip4:192.0.2.0/24 -all", MockResolver::new(), Word::Pass),
        ("V=SPF1 IP4:192.0.2.0/29 -ALL", MockResolver::new(), Word::Pass),
        ("v=spf1 ip4:192.0.2.8/29 -all", MockResolver::new(), Word::Fail),
        ("v=spf1 ~all", MockResolver::new(), Word::SoftFail),
        ("v=spf1 ?all", MockResolver::new(), Word::Neutral),
        ("v=spf1", MockResolver::new(), Word::Neutral),
        ("v=spf1 a -all", address("acme.example", IP), Word::Pass),
        ("v=spf1 a -all", address("acme.example", "192.0.2.8"), Word::Fail),
        ("v=spf1 a:out.acme.example/24 -all", address("out.acme.example", "192.0.2.99"), Word::Pass),
        (
            "v=spf1 mx -all",
            address("m.acme.example", IP).with_mx("acme.example", 1, "m.acme.example"),
            Word::Pass,
        ),
        (
            "v=spf1 exists:%{ir}.%{l}.ok.example -all",
            address("7.2.0.192.one.ok.example", "127.0.0.2"),
            Word::Pass,
        ),
        ("v=spf1 exists:%{i}.ok.example -all", MockResolver::new(), Word::Fail),
        (
            "v=spf1 include:b.example -all",
            MockResolver::new().with_txt("b.example", "v=spf1 +all"),
            Word::Pass,
        ),
        (
            "v=spf1 include:b.example ~all",
            MockResolver::new().with_txt("b.example", "v=spf1 -all"),
            Word::SoftFail,
        ),
        ("v=spf1 include:b.example -all", MockResolver::new(), Word::PermError),
        ("v=spf1 include:b.example -all", MockResolver::new().with_failure("b.example"), Word::TempError),
        ("v=spf1 a -all", MockResolver::new().with_failure("m.example"), Word::Fail),
        ("v=spf1 a:m.example -all", MockResolver::new().with_failure("m.example"), Word::TempError),
        ("v=spf1 redirect=b.example", MockResolver::new().with_txt("b.example", "v=spf1 -all"), Word::Fail),
        ("v=spf1 redirect=b.example", MockResolver::new(), Word::PermError),
        ("v=spf1 redirect=acme.example", MockResolver::new(), Word::PermError),
        ("v=spf1 include:acme.example -all", MockResolver::new(), Word::PermError),
        ("v=spf1 nonsense:x -all", MockResolver::new(), Word::PermError),
        // More than two questions without an answer.
        ("v=spf1 a:x.example a:y.example a:z.example -all", MockResolver::new(), Word::PermError),
        ("v=spf10 -all", MockResolver::new(), Word::None),
        ("verification=1", MockResolver::new(), Word::None),
    ] {
        let dns = dns.with_txt("acme.example", record);
        assert_eq!(spf(&dns, Some("one@acme.example"), IP).await, want, "{record}");
    }
    let mut dns = MockResolver::new().with_txt("acme.example", &many("include:"));
    for n in 0..11 {
        dns = dns.with_txt(&format!("{n}.acme.example"), "v=spf1 ?all");
    }
    assert_eq!(spf(&dns, Some("one@acme.example"), IP).await, Word::PermError, "more than ten terms");
    let two =
        MockResolver::new().with_txt("acme.example", "v=spf1 +all").with_txt("acme.example", "v=spf1 -all");
    assert_eq!(spf(&two, Some("one@acme.example"), IP).await, Word::PermError, "two records");
    let failing = MockResolver::new().with_failure("acme.example");
    assert_eq!(spf(&failing, Some("one@acme.example"), IP).await, Word::TempError);
    assert_eq!(spf(&MockResolver::new(), Some("one@acme.example"), IP).await, Word::None);
}

#[tokio::test]
async fn bounces_are_checked_by_helo_and_ipv6_clients_by_ipv6_records() {
    let dns = MockResolver::new()
        .with_txt("mx.acme.example", "v=spf1 ip4:192.0.2.7 -all")
        .with_txt("six.example", "v=spf1 ip6:2001:db8::/32 ip4:192.0.2.7 -all");
    assert_eq!(spf(&dns, None, IP).await, Word::Pass);
    assert_eq!(spf(&dns, None, "192.0.2.8").await, Word::Fail);
    assert_eq!(spf(&dns, Some("a@six.example"), "2001:db8::1").await, Word::Pass);
    assert_eq!(spf(&dns, Some("a@six.example"), "2001:db9::1").await, Word::Fail);
    assert_eq!(spf(&dns, Some("a@six.example"), "::ffff:192.0.2.7").await, Word::Pass);
    assert_eq!(spf(&dns, Some("a@localhost"), IP).await, Word::None);
}

#[tokio::test]
async fn a_signature_passes_fails_or_cannot_be_evaluated() {
    let signed = with_signature(FULL, FULL);
    assert_eq!(judge(&zone(), &signed).await.dkim, Word::Pass);
    let broken = with_signature(FULL, &FULL.replace("Hello", "Hullo"));
    assert_eq!(judge(&zone(), &broken).await.dkim, Word::Fail);
    let subject = with_signature(FULL, &FULL.replace("folded", "foiled"));
    assert_eq!(judge(&zone(), &subject).await.dkim, Word::Fail);
    assert_eq!(judge(&zone(), FULL.as_bytes()).await.dkim, Word::None);
    // No key, a withdrawn one, nonsense, a domain that is testing, no answer.
    let dns = |record: &str| MockResolver::new().with_txt("pod1._domainkey.acme.example", record);
    assert_eq!(judge(&MockResolver::new(), &signed).await.dkim, Word::PermError);
    assert_eq!(judge(&dns("v=DKIM1; p="), &signed).await.dkim, Word::PermError);
    assert_eq!(judge(&dns("nonsense"), &signed).await.dkim, Word::PermError);
    let testing = KEY.record().replace("k=rsa;", "k=rsa; t=y;");
    assert_eq!(judge(&dns(&testing), &broken).await.dkim, Word::Neutral);
    assert_eq!(judge(&dns(&testing), &signed).await.dkim, Word::Pass);
    let failing = MockResolver::new().with_failure("pod1._domainkey.acme.example");
    assert_eq!(judge(&failing, &signed).await.dkim, Word::TempError);
    // One good signature is enough, and one that cannot be read changes nothing.
    let both = [
        &b"DKIM-Signature: v=1; nonsense\r\n"[..],
        &with_signature(&FULL.replace("Hello", "x"), ""),
        &signed,
    ]
    .concat();
    assert_eq!(judge(&zone(), &both).await.dkim, Word::Pass);
}

fn signed_by_others(
    change: impl FnOnce(DkimSigner<Ed25519Key, mail_auth::dkim::NeedDomain>) -> String,
) -> (Vec<u8>, MockResolver) {
    let pair = Ed25519Key::generate_pkcs8().unwrap();
    let key = Ed25519Key::from_pkcs8_der(&pair).unwrap();
    let public = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, key.public_key());
    let header = change(DkimSigner::from_key(key));
    let dns =
        MockResolver::new().with_txt("e._domainkey.acme.example", &format!("v=DKIM1; k=ed25519; p={public}"));
    ([header.as_bytes(), FULL.as_bytes()].concat(), dns)
}

#[tokio::test]
async fn ed25519_signatures_verify_and_expire_by_our_clock() {
    let (signed, dns) = signed_by_others(|signer| {
        signer
            .domain("acme.example")
            .selector("e")
            .headers(["From", "Subject"])
            .expiration(60)
            .sign(FULL.as_bytes())
            .unwrap()
            .to_header()
    });
    let text = String::from_utf8_lossy(&signed).into_owned();
    let expires: u64 = text.split(" x=").nth(1).unwrap().split(';').next().unwrap().trim().parse().unwrap();
    for (now, want) in [(expires - 1, Word::Pass), (expires, Word::PermError)] {
        assert_eq!(judge_at(&dns, Some("one@acme.example"), &signed, &[], now).await.dkim, want);
    }
}

fn policy(record: &str) -> MockResolver {
    zone().with_txt("_dmarc.acme.example", record)
}

#[tokio::test]
async fn dmarc_passes_through_an_aligned_mechanism_and_fails_otherwise() {
    let signed = with_signature(FULL, FULL);
    let own = |from: &str, body: &str| format!("From: {from}\r\nSubject: x\r\n\r\n{body}\r\n").into_bytes();
    let pass = "v=spf1 +all";
    for (record, raw, mail_from, spf, word, wanted) in [
        ("v=DMARC1; p=reject", signed.clone(), "b@other.example", pass, Word::Pass, Policy::Reject),
        ("v=DMARC1; p=reject", own("a@acme.example", ""), "b@acme.example", pass, Word::Pass, Policy::Reject),
        (
            "v=DMARC1; p=reject",
            own("a@acme.example", ""),
            "b@n.acme.example",
            pass,
            Word::Pass,
            Policy::Reject,
        ),
        (
            "v=DMARC1; p=reject; aspf=s",
            own("a@acme.example", ""),
            "b@n.acme.example",
            pass,
            Word::Fail,
            Policy::Reject,
        ),
        (
            "v=DMARC1; p=reject",
            own("a@acme.example", ""),
            "b@other.example",
            pass,
            Word::Fail,
            Policy::Reject,
        ),
        (
            "v=DMARC1; p=quarantine",
            own("a@acme.example", ""),
            "b@other.example",
            pass,
            Word::Fail,
            Policy::Quarantine,
        ),
        ("v=DMARC1; p=none", own("a@acme.example", ""), "b@other.example", pass, Word::Fail, Policy::None),
        (
            "v=DMARC1; p=reject; t=y",
            own("a@acme.example", ""),
            "b@other.example",
            pass,
            Word::Fail,
            Policy::Quarantine,
        ),
        (
            "v=DMARC1; p=none; sp=reject",
            own("a@s.acme.example", ""),
            "b@other.example",
            pass,
            Word::Fail,
            Policy::Reject,
        ),
        ("nonsense", own("a@acme.example", ""), "b@other.example", pass, Word::None, Policy::None),
        // Of several domains in From the worst counts.
        (
            "v=DMARC1; p=reject",
            own("a@free.example, b@acme.example", ""),
            "b@free.example",
            pass,
            Word::Fail,
            Policy::Reject,
        ),
    ] {
        let dns = policy(record);
        for domain in ["other.example", "acme.example", "n.acme.example", "free.example"] {
            dns.set_txt(domain, vec![spf.to_owned()]);
        }
        let verdict = judge_at(&dns, Some(mail_from), &raw, &[], NOW).await;
        assert_eq!((verdict.dmarc, verdict.policy), (word, wanted), "{record} {mail_from}");
        assert!(!verdict.pass_may_be_hidden);
    }
}

#[tokio::test]
async fn a_temporary_error_of_an_aligned_mechanism_may_hide_a_pass() {
    let signed = with_signature(FULL, FULL);
    let dns = MockResolver::new()
        .with_txt("_dmarc.acme.example", "v=DMARC1; p=reject")
        .with_failure("pod1._domainkey.acme.example");
    let verdict = judge(&dns, &signed).await;
    assert_eq!(
        (verdict.dmarc, verdict.dkim, verdict.pass_may_be_hidden),
        (Word::Fail, Word::TempError, true)
    );
    let foreign = policy("v=DMARC1; p=reject").with_failure("other.example");
    let verdict = judge_at(&foreign, Some("a@other.example"), FULL.as_bytes(), &[], NOW).await;
    assert_eq!(
        (verdict.dmarc, verdict.spf, verdict.pass_may_be_hidden),
        (Word::Fail, Word::TempError, false)
    );
    let verdict = judge(&zone().with_failure("_dmarc.acme.example"), FULL.as_bytes()).await;
    assert_eq!((verdict.dmarc, verdict.domain.as_str()), (Word::TempError, "acme.example"));
}

#[tokio::test]
async fn the_sender_that_readers_see_is_the_one_that_counts() {
    let dns = MockResolver::new().with_txt("_dmarc.shown.example", "v=DMARC1; p=reject");
    let envelope = Envelope { ip: ip(IP), helo: "h.example", mail_from: None };
    let answers = Question::of(FULL.as_bytes(), Some("shown.example"), &[]).ask(&dns, envelope).await;
    let verdict = answers.judge(FULL.as_bytes(), NOW);
    assert_eq!((verdict.dmarc, verdict.domain.as_str()), (Word::Fail, "shown.example"));
}

#[tokio::test]
async fn signatures_beyond_the_bound_are_temporary_errors_and_the_senders_own_come_first() {
    let foreign = "DKIM-Signature: v=1; a=rsa-sha256; d=x.example; s=s; h=from; bh=AAAA; b=AAAA\r\n";
    let many = foreign.repeat(SIGNATURES_MAX + 1);
    let verdict = judge(&zone(), [many.as_bytes(), FULL.as_bytes()].concat().as_slice()).await;
    assert_eq!(verdict.dkim, Word::TempError);
    let own_last = [many.as_bytes(), &with_signature(FULL, FULL)].concat();
    assert_eq!(judge(&zone(), &own_last).await.dkim, Word::Pass);
    let padding = format!("X-Long: {}\r\n", "x".repeat(300_000));
    let long = [padding.as_bytes(), &with_signature(FULL, FULL)].concat();
    assert_eq!(judge(&zone(), &long).await.dkim, Word::TempError);
}

#[tokio::test]
async fn bytes_of_strangers_do_no_harm() {
    for raw in [
        &b""[..],
        b"\r\n\r\n",
        b":\n",
        b"From:\r\n",
        b"DKIM-Signature:\r\n\r\n",
        b"DKIM-Signature: v=1; d=; s=; b=; bh=; h=\r\nFrom: @\r\n\r\n",
        b"ARC-Seal: i=1; cv=none; d=f.example\r\nFrom: a@\xff\xfe\r\n\r\n",
        b"\xff\xfe\x00",
    ] {
        let verdict = judge_at(&zone(), Some("@"), raw, &["f.example".to_owned()], NOW).await;
        assert_ne!(verdict.dkim, Word::Pass, "{raw:?}");
        assert!(!verdict.vouched);
    }
}

#[tokio::test]
async fn a_trusted_sealer_vouches_for_what_it_forwards() {
    let der = PrivateKeyDer::Pkcs8(KEY.private_pkcs8.clone().into());
    let key = RsaKey::<Sha256>::from_key_der(der).unwrap();
    let parsed = AuthenticatedMessage::parse(FULL.as_bytes()).unwrap();
    let passed = DmarcOutput::new("acme.example".to_owned()).with_spf_result(DmarcResult::Pass);
    let results = AuthenticationResults::new("f.example").with_dmarc_result(&passed);
    let set = ArcSealer::from_key(key)
        .domain("f.example")
        .selector("pod1")
        .headers(["From", "Subject", "To"])
        .seal(&parsed, &results, &ArcOutput::default())
        .unwrap();
    let sealed = [set.to_header().as_bytes(), FULL.as_bytes()].concat();
    let dns = policy("v=DMARC1; p=reject").with_txt("pod1._domainkey.f.example", &KEY.record());
    let trusted = ["f.example".to_owned()];
    let vouched = async |raw: &[u8], sealers: &[String]| {
        judge_at(&dns, Some("list@f.example"), raw, sealers, NOW).await.vouched
    };
    assert!(vouched(&sealed, &trusted).await);
    assert!(!vouched(&sealed, &[]).await, "nobody is trusted");
    assert!(!vouched(&sealed, &["g.example".to_owned()]).await, "somebody else is trusted");
    let text = String::from_utf8(sealed).unwrap();
    assert!(!vouched(text.replace("Hello", "Hullo").as_bytes(), &trusted).await, "changed below the seal");
    assert!(
        !vouched(text.replace("dmarc=pass", "dmarc=fail").as_bytes(), &trusted).await,
        "a changed report"
    );
    assert!(!vouched(text.replace("i=1", "i=2").as_bytes(), &trusted).await, "half a chain");
}
