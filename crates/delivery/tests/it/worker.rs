//! The worker against servers on loopback, on both engines.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use podmail_delivery::Route;
use podmail_dns::Mx;
use podmail_jobs::Stopped;
use serde_json::json;

use crate::sink::{Manner, Sink};
use crate::world::{World, until, worlds};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Points a domain's MX at a host on loopback.
fn mx(world: &World, domain: &str, host: &str, ip: IpAddr) {
    world.dns.set_mx(domain, vec![Mx { priority: 10, host: host.to_owned() }]);
    world.dns.set_addresses(host, vec![ip]);
}

#[tokio::test]
async fn a_message_goes_signed_to_each_destination_once() {
    for world in worlds(true).await {
        let sink = Sink::start().await;
        mx(&world, "one.test", "mx.one.test", LOCALHOST);
        mx(&world, "two.test", "mx.two.test", LOCALHOST);
        let desk = world.inbox("desk@pm.test").await;
        let worker = world.run_mx(sink.address.port());
        let all = ["a@one.test", "b@two.test", "c@one.test"];
        let id = world.send(&desk, "<1@pm.test>", &all).await;
        until!(world.count("message.delivered").await == 2);

        let mut taken = sink.taken();
        taken.sort_by(|a, b| a.to.cmp(&b.to));
        assert_eq!(taken.len(), 2, "one transaction per destination");
        assert_eq!(taken[0].to, ["a@one.test", "c@one.test"]);
        assert_eq!(taken[1].to, ["b@two.test"]);
        for taken in &taken {
            assert!(taken.from.starts_with("bounce-") && taken.from.ends_with("@pm.test"), "{}", taken.from);
            assert!(
                taken.data.starts_with("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=pm.test;")
            );
            assert!(taken.data.contains("\nMessage-ID: <1@pm.test>\n"));
            assert!(taken.data.ends_with("\nHello.\n"));
        }
        assert_eq!(world.labels(&desk, &id).await, ["sent", "delivered"]);
        let events = world.events().await;
        let at = events[0].1["timestamp"].clone();
        assert_eq!(events.len(), 3);
        assert_eq!(events[0].0, "message.sent");
        assert_eq!(events[0].1, json!({"message_id": "<1@pm.test>", "timestamp": at, "recipients": all}));
        let mut delivered: Vec<String> =
            events[1..].iter().map(|(_, f)| f["recipients"].to_string()).collect();
        delivered.sort();
        assert_eq!(delivered, [r#"["a@one.test","c@one.test"]"#, r#"["b@two.test"]"#]);

        // Nothing is sent again, however late it gets; the second message shows that the worker looked.
        world.clock.advance(Duration::from_secs(10 * 24 * 3600));
        world.send(&desk, "<2@pm.test>", &["a@one.test"]).await;
        until!(world.count("message.delivered").await == 3);
        assert_eq!(sink.taken().len(), 3);
        until!(worker.counters.read().delivered == 4);
        assert_eq!(worker.stop().await, Stopped::Clean);
    }
}

// domains.md check 22, inboxes.md check 25
#[tokio::test]
async fn a_subdomain_is_answered_for_by_the_domain_above_it() {
    for world in worlds(true).await {
        let sink = Sink::start().await;
        mx(&world, "one.test", "mx.one.test", LOCALHOST);
        world.domain("acme.test").await;
        let below = world.inbox_below("a@x.acme.test", Some("acme.test")).await;
        let tenant = world.inbox_below("support@tenant.pm.test", None).await;
        let worker = world.run_mx(sink.address.port());
        for (scope, id, from, sender, d) in [
            (&below, "<1@acme.test>", "a@x.acme.test", "@mail.acme.test", "d=acme.test;"),
            (&tenant, "<1@pm.test>", "support@tenant.pm.test", "@pm.test", "d=pm.test;"),
        ] {
            let before = sink.taken().len();
            world.send(scope, id, &["b@one.test"]).await;
            until!(sink.taken().len() == before + 1);
            let taken = sink.taken().pop().unwrap();
            assert!(taken.from.ends_with(sender), "{}", taken.from);
            assert!(taken.data.contains(&format!("\nFrom: {from}\n")), "{}", taken.data);
            let signature = taken.data.lines().next().unwrap();
            assert!(signature.starts_with("DKIM-Signature: ") && signature.contains(d), "{signature}");
        }
        until!(world.count("message.delivered").await == 2);
        worker.kill().await;
    }
}

#[tokio::test]
async fn a_refused_recipient_bounces_and_the_others_are_delivered() {
    for world in worlds(true).await {
        let sink = Sink::start().await;
        mx(&world, "one.test", "mx.one.test", LOCALHOST);
        sink.reply("gone@one.test", &["550 5.1.1 no such user"]);
        let desk = world.inbox("desk@pm.test").await;
        let worker = world.run_mx(sink.address.port());
        let id = world.send(&desk, "<1@pm.test>", &["gone@one.test", "a@one.test"]).await;
        until!(world.count("message.bounced").await == 1);
        let events = world.events().await;
        let at = events[0].1["timestamp"].clone();
        assert_eq!(world.types().await, ["message.sent", "message.delivered", "message.bounced"]);
        assert_eq!(events[1].1["recipients"], json!(["a@one.test"]));
        assert_eq!(
            events[2].1,
            json!({"message_id": "<1@pm.test>", "timestamp": at, "type": "Permanent", "sub_type": "NoEmail",
                   "recipients": [{"address": "gone@one.test", "status": "bounced"}]})
        );
        assert_eq!(world.labels(&desk, &id).await, ["sent", "delivered", "bounced"]);
        // domains.md check 23, labels-and-lists.md check 28: what is on this list is not sent to.
        let gone = podmail_domain::list::ListEntry::parse("gone@one.test").unwrap();
        let kept = world.store.remove_block_entries(&world.organization, gone).await.unwrap();
        let reasons: Vec<_> = kept.iter().map(|entry| entry.reason.as_deref()).collect();
        assert_eq!(reasons, [Some("bounced")]);
        worker.kill().await;
    }
}

#[tokio::test]
async fn greylisted_mail_is_delayed_and_delivered_by_the_next_attempt() {
    for world in worlds(true).await {
        let sink = Sink::start().await;
        mx(&world, "one.test", "mx.one.test", LOCALHOST);
        sink.reply("a@one.test", &["451 4.7.1 try again"]);
        let desk = world.inbox("desk@pm.test").await;
        let worker = world.run_mx(sink.address.port());
        let id = world.send(&desk, "<1@pm.test>", &["a@one.test"]).await;
        until!(worker.counters.read().deferred == 1);
        assert_eq!(world.labels(&desk, &id).await, ["sent", "delayed"]);
        assert_eq!(world.types().await, ["message.sent"], "it left towards the network");
        // The first delay is a minute, and at most a tenth more.
        world.clock.advance(Duration::from_secs(67));
        until!(world.count("message.delivered").await == 1);
        assert_eq!(world.labels(&desk, &id).await, ["sent", "delayed", "delivered"]);
        assert_eq!(sink.taken().len(), 1);
        worker.kill().await;
    }
}

#[tokio::test]
async fn mail_that_cannot_be_delivered_in_time_bounces_as_transient_once() {
    for world in worlds(true).await {
        let sink = Sink::start().await;
        mx(&world, "one.test", "mx.one.test", LOCALHOST);
        sink.reply("a@one.test", &["452 4.2.2 mailbox full"; 50]);
        let desk = world.inbox("desk@pm.test").await;
        let worker = world.run_mx(sink.address.port());
        let id = world.send(&desk, "<1@pm.test>", &["a@one.test"]).await;
        until!(worker.counters.read().deferred == 1);
        world.clock.advance(Duration::from_secs(5 * 24 * 3600));
        until!(world.count("message.bounced").await == 1);
        let events = world.events().await;
        let (_, facts) = events.last().unwrap();
        assert_eq!((&facts["type"], &facts["sub_type"]), (&json!("Transient"), &json!("MailboxFull")));
        assert_eq!(world.labels(&desk, &id).await, ["sent", "delayed", "bounced"]);
        worker.kill().await;
    }
}

#[tokio::test]
async fn an_unanswered_message_is_handed_over_again_under_the_same_id() {
    for world in worlds(true).await {
        let sink = Sink::start().await;
        mx(&world, "one.test", "mx.one.test", LOCALHOST);
        sink.next(&[Manner::DropAfterData]);
        let desk = world.inbox("desk@pm.test").await;
        let worker = world.run_mx(sink.address.port());
        world.send(&desk, "<1@pm.test>", &["a@one.test"]).await;
        until!(worker.counters.read().deferred == 1);
        world.clock.advance(Duration::from_secs(67));
        until!(world.count("message.delivered").await == 1);
        let taken = sink.taken();
        assert_eq!(taken.len(), 2);
        assert!(taken.iter().all(|taken| taken.data.contains("\nMessage-ID: <1@pm.test>\n")));
        worker.kill().await;
    }
}

#[tokio::test]
async fn mail_of_a_killed_worker_is_delivered_by_the_next_one() {
    for world in worlds(true).await {
        let sink = Sink::start().await;
        mx(&world, "one.test", "mx.one.test", LOCALHOST);
        sink.next(&[Manner::Hang]);
        let desk = world.inbox("desk@pm.test").await;
        let first = world.run_mx(sink.address.port());
        world.send(&desk, "<1@pm.test>", &["a@one.test"]).await;
        until!(sink.connections() == 1);
        first.kill().await;
        let second = world.run_mx(sink.address.port());
        // The lease is not over: other mail goes, this one stays.
        world.send(&desk, "<2@pm.test>", &["b@one.test"]).await;
        until!(world.count("message.delivered").await == 1);
        assert_eq!(sink.taken()[0].to, ["b@one.test"]);
        world.clock.advance(world.app.settings().work_lease);
        until!(world.count("message.delivered").await == 2);
        assert_eq!(sink.taken().len(), 2);
        second.kill().await;
    }
}

#[tokio::test]
async fn a_shutdown_gives_back_what_does_not_end_in_time() {
    for world in worlds(true).await {
        let sink = Sink::start().await;
        mx(&world, "one.test", "mx.one.test", LOCALHOST);
        sink.next(&[Manner::Hang]);
        let desk = world.inbox("desk@pm.test").await;
        let config = podmail_delivery::Config {
            mx_port: sink.address.port(),
            drain: Duration::from_millis(50),
            ..podmail_delivery::Config::new(Route::Mx, "mx.pm.test")
        };
        let first = world.run_with(config);
        world.send(&desk, "<1@pm.test>", &["a@one.test"]).await;
        until!(sink.connections() == 1);
        assert_eq!(first.stop().await, Stopped::Clean);
        // Without waiting for the lease.
        let second = world.run_mx(sink.address.port());
        until!(world.count("message.delivered").await == 1);
        second.kill().await;
    }
}

#[tokio::test]
async fn a_destination_that_hangs_delays_only_itself() {
    for world in worlds(true).await {
        let slow = Sink::start().await;
        let fast = Sink::at(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), slow.address.port()).await;
        mx(&world, "slow.test", "mx.slow.test", LOCALHOST);
        mx(&world, "fast.test", "mx.fast.test", fast.address.ip());
        slow.next(&[Manner::Hang; 100]);
        let desk = world.inbox("desk@pm.test").await;
        for n in 0..60 {
            world.send(&desk, &format!("<slow-{n}@pm.test>"), &["a@slow.test"]).await;
        }
        let worker = world.run_mx(slow.address.port());
        until!(slow.connections() == 4);
        for n in 0..60 {
            world.send(&desk, &format!("<fast-{n}@pm.test>"), &["a@fast.test"]).await;
        }
        until!(world.count("message.delivered").await == 60);
        assert_eq!(slow.connections(), 4, "bounded per destination");
        worker.kill().await;
    }
}

#[tokio::test]
async fn the_next_host_is_tried_when_one_is_dead_or_does_not_want_us() {
    for world in worlds(true).await {
        let rude = Sink::start().await;
        let good = Sink::at(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), rude.address.port()).await;
        world.dns.set_mx(
            "one.test",
            ["dead", "rude", "good"]
                .iter()
                .zip(1..)
                .map(|(name, priority)| Mx { priority, host: format!("{name}.one.test") })
                .collect(),
        );
        world.dns.set_addresses("dead.one.test", vec![IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3))]);
        world.dns.set_addresses("rude.one.test", vec![LOCALHOST]);
        world.dns.set_addresses("good.one.test", vec![good.address.ip()]);
        rude.next(&[Manner::Greet("554 5.7.1 go away")]);
        let desk = world.inbox("desk@pm.test").await;
        let worker = world.run_mx(rude.address.port());
        world.send(&desk, "<1@pm.test>", &["a@one.test"]).await;
        until!(world.count("message.delivered").await == 1);
        assert_eq!((rude.connections(), good.taken().len()), (1, 1));

        // With no other host the refusal stands.
        world.dns.set_mx("two.test", vec![Mx { priority: 1, host: "rude.one.test".to_owned() }]);
        rude.next(&[Manner::Greet("554 5.7.1 go away")]);
        world.send(&desk, "<2@pm.test>", &["a@two.test"]).await;
        until!(world.count("message.bounced").await == 1);
        let events = world.events().await;
        let (_, facts) = events.last().unwrap();
        assert_eq!((&facts["type"], &facts["sub_type"]), (&json!("Permanent"), &json!("ContentRejected")));
        worker.kill().await;
    }
}

#[tokio::test]
async fn dns_decides_about_domains_without_mail() {
    for world in worlds(true).await {
        world.dns.set_mx("null.test", vec![Mx { priority: 0, host: String::new() }]);
        world.dns.set_failure("broken.test", true);
        let sink = Sink::start().await;
        world.dns.set_addresses("implicit.test", vec![LOCALHOST]);
        let desk = world.inbox("desk@pm.test").await;
        let worker = world.run_mx(sink.address.port());
        let null = world.send(&desk, "<1@pm.test>", &["a@null.test"]).await;
        let nowhere = world.send(&desk, "<2@pm.test>", &["a@nowhere.test"]).await;
        let broken = world.send(&desk, "<3@pm.test>", &["a@broken.test"]).await;
        let implicit = world.send(&desk, "<4@pm.test>", &["a@implicit.test"]).await;
        until!(worker.counters.read().attempts == 4);
        for (id, label) in
            [(null, "bounced"), (nowhere, "bounced"), (broken, "delayed"), (implicit, "delivered")]
        {
            assert_eq!(world.labels(&desk, &id).await, ["sent", label], "{id}");
        }
        let events = world.events().await;
        for (_, facts) in events.iter().filter(|(kind, _)| kind == "message.bounced") {
            assert_eq!((&facts["type"], &facts["sub_type"]), (&json!("Permanent"), &json!("NoEmail")));
        }
        worker.kill().await;
    }
}

#[tokio::test]
async fn hosts_at_private_addresses_are_refused_before_anything_leaves() {
    for world in worlds(false).await {
        let sink = Sink::start().await;
        mx(&world, "one.test", "mx.one.test", LOCALHOST);
        let desk = world.inbox("desk@pm.test").await;
        let worker = world.run_mx(sink.address.port());
        let id = world.send(&desk, "<1@pm.test>", &["a@one.test"]).await;
        until!(world.count("message.rejected").await == 1);
        assert_eq!(world.types().await, ["message.rejected"]);
        assert_eq!(world.labels(&desk, &id).await, ["sent", "rejected"]);
        assert_eq!(sink.connections(), 0);
        worker.kill().await;
    }
}

#[tokio::test]
async fn mail_between_inboxes_does_not_leave_and_unknown_ones_bounce() {
    for world in worlds(true).await {
        let desk = world.inbox("desk@pm.test").await;
        let shop = world.inbox("shop@pm.test").await;
        let worker = world.run(Route::Capture);
        let id = world.send(&desk, "<1@pm.test>", &["shop+tag@pm.test", "nobody@pm.test"]).await;
        until!(world.count("message.bounced").await == 1);
        assert_eq!(world.types().await, ["message.sent", "message.delivered", "message.bounced"]);
        let events = world.events().await;
        assert_eq!(events[1].1["recipients"], json!(["shop+tag@pm.test"]));
        assert_eq!(events[2].1["sub_type"], json!("NoEmail"));
        assert_eq!(world.labels(&desk, &id).await, ["sent", "delivered", "bounced"]);
        assert_eq!(world.messages(&shop).await, 1);
        assert!(world.labels(&shop, &id).await.contains(&"received".to_owned()));
        worker.kill().await;
    }
}

#[tokio::test]
async fn captured_mail_is_reported_as_delivered() {
    for world in worlds(false).await {
        let desk = world.inbox("desk@pm.test").await;
        let worker = world.run(Route::Capture);
        let id = world.send(&desk, "<1@pm.test>", &["a@one.test", "b@two.test"]).await;
        until!(world.count("message.delivered").await == 2);
        assert_eq!(world.count("message.sent").await, 1);
        assert_eq!(world.labels(&desk, &id).await, ["sent", "delivered"]);
        worker.kill().await;
    }
}

#[tokio::test]
async fn a_relay_at_a_private_address_takes_mail_and_its_id_becomes_an_alias() {
    for world in worlds(false).await {
        let relay = Sink::start().await;
        relay.last_word("250 2.0.0 Ok: queued as 4XyZ1234abc@relay.example");
        relay.next(&[Manner::Greet("554 5.7.1 account closed")]);
        let desk = world.inbox("desk@acme.test").await;
        let worker = world.run(Route::Relay(podmail_delivery::Relay {
            host: relay.address.ip().to_string(),
            port: relay.address.port(),
            tls: podmail_delivery::client::TlsMode::WhenOffered,
            credentials: None,
        }));
        let id = world.send(&desk, "<1@acme.test>", &["a@one.test"]).await;
        // A relay that does not want us is the operator's to mend.
        until!(worker.counters.read().deferred == 1);
        assert_eq!(world.types().await, Vec::<String>::new());
        world.clock.advance(Duration::from_secs(67));
        until!(world.count("message.delivered").await == 1);
        let restricted = podmail_domain::label::Restricted::ALL;
        let message = world.store.message(&desk, &id, restricted).await.unwrap().unwrap();
        let aliases = world.store.message_aliases(&desk, &message).await.unwrap();
        assert_eq!(aliases, ["<4XyZ1234abc@relay.example>"]);
        let taken = relay.taken();
        let (user, domain) = taken[0].from.split_once('@').unwrap();
        assert_eq!((domain, user.len()), ("mail.acme.test", "bounce-".len() + 50));
        assert!(world.app.takes_mail(&taken[0].from).await.unwrap(), "it names {}", message.message_key);
        let shared = world.inbox("desk@pm.test").await;
        world.send(&shared, "<2@pm.test>", &["a@one.test"]).await;
        until!(relay.taken().len() == 2);
        let from = &relay.taken()[1].from;
        assert!(from.starts_with("bounce-") && from.ends_with("@pm.test"), "{from}");
        worker.kill().await;
    }
}
