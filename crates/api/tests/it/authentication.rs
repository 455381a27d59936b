//! What becomes of mail from the internet whose sender is confirmed, denied or unknown.

use bytes::Bytes;
use podmail_app::receive::{Incoming, Received};
use podmail_app::{InboundAuthentication, Settings};
use podmail_dns::MockResolver;
use serde_json::json;

use crate::mailbox::{DESK, Mailbox};

const IP: &str = "192.0.2.1:25";

fn standard(settings: &mut Settings) {
    settings.inbound_authentication = InboundAuthentication::Standard;
}

/// Sends a mail of `from` in the envelope and `shown` in the header; the answer.
async fn mail(mailbox: &Mailbox, from: &str, shown: &str, id: &str, more: &str) -> Received {
    let incoming = Incoming {
        from: Some(from.to_owned()),
        recipients: vec![DESK.to_owned()],
        helo: "mx.a.example".to_owned(),
        remote: Some(IP.parse().unwrap()),
        tls: true,
    };
    let raw = format!("{more}From: {shown}\r\nTo: {DESK}\r\nMessage-ID: <{id}>\r\nSubject: s\r\n\r\nHi\r\n");
    mailbox.world.app.receive(&incoming, Bytes::from(raw)).await.unwrap()
}

fn reply(received: &Received) -> (u16, &str, &str) {
    match received {
        Received::Accepted => (250, "", ""),
        Received::Refused(refusal) => (refusal.code, refusal.enhanced, &refusal.text),
    }
}

async fn is_stored(mailbox: &Mailbox, id: &str) -> bool {
    mailbox
        .list("?include_spam=true&include_unauthenticated=true&include_blocked=true")
        .await
        .contains(&format!("<{id}>"))
}

fn publish(dns: &MockResolver, name: &str, record: &str) {
    dns.set_txt(name, vec![record.to_owned()]);
}

// labels-and-lists.md "How inbound mail gets its labels", imap-smtp.md section 5
#[tokio::test]
async fn senders_are_confirmed_labelled_or_refused() {
    let mailbox = Mailbox::with(standard).await;
    let dns = &mailbox.world.dns;
    publish(dns, "good.example", "v=spf1 ip4:192.0.2.1 -all");
    publish(dns, "bad.example", "v=spf1 -all");
    publish(dns, "_dmarc.reject.example", "v=DMARC1; p=reject");
    publish(dns, "_dmarc.quarantine.example", "v=DMARC1; p=quarantine");
    publish(dns, "reject.example", "v=spf1 ip4:192.0.2.1 -all");
    dns.set_failure("slow.reject.example", true);
    dns.set_failure("_dmarc.away.example", true);
    let unconfirmed = "SPF and DKIM do not confirm the sender bad.example";
    let dmarc = "DMARC: reject.example asks to refuse mail that it does not confirm";
    let later = "The sender reject.example cannot be confirmed now, try again later";
    for (id, from, shown, want, labels, results) in [
        ("1@x", "a@good.example", "a@good.example", (250, "", ""), "", ("pass", "none", "none")),
        ("2@x", "a@bad.example", "a@bad.example", (550, "5.7.26", unconfirmed), "", ("", "", "")),
        (
            "3@x",
            "a@none.example",
            "a@none.example",
            (250, "", ""),
            "unauthenticated",
            ("none", "none", "none"),
        ),
        ("4@x", "a@reject.example", "a@reject.example", (250, "", ""), "", ("pass", "none", "pass")),
        ("5@x", "a@good.example", "a@reject.example", (550, "5.7.1", dmarc), "", ("", "", "")),
        ("6@x", "a@good.example", "a@quarantine.example", (250, "", ""), "spam", ("pass", "none", "fail")),
        ("7@x", "a@slow.reject.example", "a@reject.example", (451, "4.7.0", later), "", ("", "", "")),
        (
            "8@x",
            "a@good.example",
            "a@away.example",
            (250, "", ""),
            "unauthenticated",
            ("pass", "none", "temperror"),
        ),
    ] {
        let received = mail(&mailbox, from, shown, id, "").await;
        assert_eq!(reply(&received), want, "{id}");
        assert_eq!(is_stored(&mailbox, id).await, want.0 == 250, "{id}");
        if want.0 == 250 {
            let message = mailbox.message(&format!("<{id}>")).await;
            let mut all = vec!["received", "unread"];
            all.extend((!labels.is_empty()).then_some(labels));
            assert_eq!(message["labels"], json!(all), "{id}");
            let (spf, dkim, dmarc) = results;
            assert_eq!(
                message["authentication_results"],
                json!({"spf": spf, "dkim": dkim, "dmarc": dmarc}),
                "{id}"
            );
        }
    }
    let counters = mailbox.world.app.authentication_counters();
    let outcomes: Vec<_> = counters.outcomes().collect();
    assert_eq!(
        outcomes,
        [("delivered", 2), ("unauthenticated", 2), ("spam", 1), ("refused", 2), ("put_off", 1)]
    );
    assert!(counters.results().any(|row| row == ("dmarc", "temperror", 1)));
    let hidden = mailbox.list("").await;
    assert_eq!(hidden.len(), 2, "restricted labels are hidden: {hidden:?}");
}

// messages.md check 51
#[tokio::test]
async fn a_forged_authentication_results_header_is_not_shown_and_not_believed() {
    let mailbox = Mailbox::with(standard).await;
    let forged = "Authentication-Results: evil; dkim=pass; dmarc=pass\r\nX-Other: 1\r\n";
    assert_eq!(mail(&mailbox, "a@none.example", "a@none.example", "f@x", forged).await, Received::Accepted);
    let message = mailbox.message("<f@x>").await;
    assert_eq!(message["headers"], json!({"X-Other": "1"}));
    assert_eq!(message["authentication_results"], json!({"spf": "none", "dkim": "none", "dmarc": "none"}));
    assert_eq!(message["labels"], json!(["received", "unread", "unauthenticated"]));
    assert!(mailbox.raw("<f@x>").await.contains("\nAuthentication-Results: evil; dkim=pass; dmarc=pass\n"));
    let items = mailbox.get("/messages?include_unauthenticated=true").await;
    assert!(items["messages"][0].get("authentication_results").is_none(), "not in list items");
}

#[tokio::test]
async fn switched_off_nothing_is_looked_up_and_nothing_recorded() {
    let mailbox = Mailbox::new().await;
    publish(&mailbox.world.dns, "bad.example", "v=spf1 -all");
    assert_eq!(mail(&mailbox, "a@bad.example", "a@bad.example", "o@x", "").await, Received::Accepted);
    let message = mailbox.message("<o@x>").await;
    assert_eq!(message["labels"], json!(["received", "unread"]));
    assert!(message.get("authentication_results").is_none());
    assert!(mailbox.world.app.authentication_counters().outcomes().all(|(_, count)| count == 0));
}

#[tokio::test]
async fn the_other_modes_refuse_more_or_nothing() {
    for (mode, bad, mixed) in [
        (InboundAuthentication::Strict, 550, 550),
        (InboundAuthentication::Label, 250, 250),
        (InboundAuthentication::Standard, 550, 250),
    ] {
        let mailbox = Mailbox::with(|settings| settings.inbound_authentication = mode).await;
        let dns = &mailbox.world.dns;
        publish(dns, "bad.example", "v=spf1 -all");
        publish(dns, "key._domainkey.good.example", "v=DKIM1; p=");
        publish(dns, "good.example", "v=spf1 ip4:192.0.2.1 -all");
        assert_eq!(
            reply(&mail(&mailbox, "a@bad.example", "a@bad.example", "b@x", "").await).0,
            bad,
            "{mode:?}"
        );
        if mode == InboundAuthentication::Label {
            assert_eq!(
                mailbox.message("<b@x>").await["labels"],
                json!(["received", "unread", "unauthenticated"])
            );
        }
        // SPF passes and there is a signature that was broken on the way.
        let (signature, record) = broken_signature();
        publish(dns, "s._domainkey.good.example", &record);
        let answer = mail(&mailbox, "a@good.example", "a@good.example", "m@x", &signature).await;
        assert_eq!(reply(&answer).0, mixed, "{mode:?}");
    }
}

/// A signature over another message, and its key.
fn broken_signature() -> (String, String) {
    let key = podmail_sender_auth::generate_rsa_2048().unwrap();
    let signer = podmail_sender_auth::Signer::new("good.example", "s", &key.private_pkcs8).unwrap();
    (signer.sign(b"From: a@good.example\r\n\r\nSomething else\r\n", 1).unwrap(), key.record())
}

#[tokio::test]
async fn mail_between_inboxes_counts_as_passed() {
    let mailbox = Mailbox::with(standard).await;
    let stored = mailbox
        .world
        .app
        .deliver_internally(
            Some("other@mail.test"),
            &[DESK.to_owned()],
            Bytes::from_static(b"From: other@mail.test\r\nMessage-ID: <i@x>\r\n\r\nHi\r\n"),
        )
        .await
        .unwrap();
    assert_eq!(stored.len(), 1);
    let message = mailbox.message("<i@x>").await;
    assert_eq!(message["labels"], json!(["received", "unread"]));
    assert_eq!(message["authentication_results"], json!({"spf": "pass", "dkim": "pass", "dmarc": "pass"}));
}
