//! Checks 35 to 46 of the message specification, and each of its rules by itself.

use super::super::{extract_html, extract_text};

/// Runs a table of text bodies; the wanted value "" means that nothing remains.
pub(super) fn check_text(table: &[(&str, &str)]) {
    for (body, want) in table {
        assert_eq!(extract_text(body).unwrap_or_default(), *want, "body: {body}");
    }
}

pub(super) fn check_html(table: &[(&str, &str)]) {
    for (body, want) in table {
        assert_eq!(extract_html(body).unwrap_or_default(), *want, "body: {body}");
    }
}

/// Bodies of which everything is kept.
fn check_kept(bodies: &[&str]) {
    for body in bodies {
        assert_eq!(extract_text(body).as_deref(), Some(*body), "body: {body}");
    }
}

// messages.md checks 35, 36, 37, 38, 39, 40, 41, 42, 43, 46
#[test]
fn the_text_checks_of_the_specification_hold() {
    check_text(&[
        (
            "Thursday at 2pm works. I'll send an invite.\nSent from my iPhone\nOn Tue, Sep 22, 2026 at 9:00 AM Bob <b@x.test> wrote:\n> Which day?\n> Bob",
            "Thursday at 2pm works. I'll send an invite.",
        ),
        ("Sounds good!\n\nOn Mon, Jun 1 Bob <bob@x.test> wrote:\n> old", "Sounds good!"),
        ("Hello\n> note\nand more", "Hello\n> note\nand more"),
        ("Hi\n_____\nConfidentiality notice: keep this secret.\nReally.", "Hi\n_____"),
        ("Fine.\n\nOn Mon, Jun 1, 2026\nBob <b@x.test>\nwrote:\n\n> old\n> older", "Fine."),
        ("Ja\n\nAm 01.06.2026 um 10:00 schrieb Bob <b@x.test>:\n> alt", "Ja"),
        ("Yes\n________________________________\nFrom: Bob <b@x.test>\nSent: Mon\n\nold", "Yes"),
        ("Thanks\n\nOn Wed, Mar 4, 2026 at 9:30 AM UTC, Bob <b@x.test> wrote:\n> one\n>\n> two", "Thanks"),
    ]);
    check_kept(&[
        "Delivery has failed to these recipients or groups:\n\nbob@x.test\n\nOn Mon, Jun 1 Al <a@x.test> wrote:\n> one\n> two",
        "> one\n> two\n\nThis is an answer in words.\n\n> three\n> four",
        "FYI\n\n---------- Forwarded message ---------\nFrom: Bob <b@x.test>\nDate: Mon, Jun 1, 2026\n\nold",
    ]);
}

// messages.md checks 44, 45
#[test]
fn the_html_checks_of_the_specification_hold() {
    check_html(&[
        ("<div>Sounds good!</div><blockquote>old</blockquote>", "<div>Sounds good!</div>"),
        (
            "<div dir=\"ltr\">Thanks</div><br><div class=\"gmail_quote\">On Mon Bob wrote:<br>old</div>",
            "<div dir=\"ltr\">Thanks</div><br>",
        ),
    ]);
}

#[test]
fn nothing_remains_of_nothing() {
    check_text(&[("", ""), (" \n\t\n", ""), ("> a\n> b", ""), ("Sent from my iPhone", "")]);
    check_html(&[("", ""), ("<div><br></div>", ""), ("<p>&nbsp;</p><blockquote>old</blockquote>", "")]);
}

#[test]
fn bounces_are_kept_whole() {
    check_kept(&[
        "** Address not found **\n\nYour message wasn't delivered.\n\n> a\n> b",
        "[EXTERNAL]\n\nhttps://x.test/logo\nUndelivered Mail returned\n> a\n> b",
        "This is the mail system at host mx.x.test.\n\n-----Original Message-----\nold",
        "Your message to bob@x.test couldn't be delivered.\nFrom: Bob <b@x.test>",
        "Reporting-MTA: dns; mx.x.test\n> a\n> b",
        "Status: 5.1.1\n> a\n> b",
        "mx.x.test rejected your message:\n> a\n> b",
        "I'm sorry to have to inform you that\n> a\n> b",
    ]);
    check_text(&[
        ("Status: 2.0\n> a\n> b", "Status: 2.0"),
        ("My delivery failed\n> a\n> b", "My delivery failed"),
    ]);
}

#[test]
fn answers_between_quotes_are_kept_whole() {
    check_kept(&["Hi\n\nOn Mon Bob wrote:\n> a\n> b\n\nWe can certainly do that.\n\n> c\n> d\n\nAlso fine."]);
    check_text(&[
        // Too short for an answer, and an attribution is none.
        ("Hi\n> a\n> b\n\nshort\n\n> c\n> d", "Hi"),
        ("Hi\n\n> a\n> b\n\nOn Sunday the first of June Al <a@x.test>\nwrote:\n\n> c\n> d", "Hi"),
        // A lone line is no block.
        ("Hi\n> a\n> b\n\nWe can certainly do that.\n\n> c", "Hi"),
    ]);
}

#[test]
fn forwards_are_kept_whole() {
    check_kept(&[
        "Fwd: Plan\n\n> a\n> b",
        "Fw: Plan\nFrom: Bob <b@x.test>",
        "See below.\n\nBegin forwarded message:\n\n> From: Bob <b@x.test>\n> Date: Mon",
    ]);
    check_text(&[
        ("Fwd:\n> a\n> b", "Fwd:"),
        ("Hi\n> a\n> b\n---------- Forwarded message ---------\nold", "Hi"),
    ]);
}

#[test]
fn every_quote_signal_cuts() {
    for quote in [
        "> a\n> b",
        "> On Mon Bob wrote:\nrest",
        "-----Original Message-----\nFrom: Bob",
        "----- Ursprüngliche Nachricht -----\nold",
        "-----Oprindelig meddelelse-----\nold",
        "---- Reply Message ----\nold",
        "----Antwort Nachricht----\nold",
        "_____\n\n\nFrom: Bob\nSent: Mon",
        "On Mon, Bob\nsent: b@x.test",
        "---- On Mon, 01 Jun 2026 Bob <b@x.test> wrote ----\nold",
        "Sent from Samsung Mobile. Bob <b@x.test> wrote",
        "From : Bob <b@x.test>\nold",
        "*From:* Bob\n*Sent:* Monday",
        "Von: Bob\nGesendet: Montag",
        "De : Bob\nEnvoyé : lundi\nÀ : a@x.test",
        "De: Bob\nEnviado el: lunes\nPara: a@x.test",
        "De: Bob <b@x.test>",
        "Van: Bob\nVerzonden: maandag\nAan: a@x.test",
        "Da: Bob\nInviato: lunedì\nA: a@x.test",
        "Fra: Bob\nSendt: mandag\nTil: a@x.test",
        "Från: Bob\nSkickat: måndag\nTill: a@x.test",
        "Le lun. 1 juin 2026 à 10:00, Bob\n<b@x.test> a\nécrit :",
        "El lun, 1 jun 2026 a las 10:00, Bob escribió:",
        "Il giorno lun 1 giu 2026 alle ore 10:00 Bob ha scritto:",
        "Em seg., 1 de jun. de 2026 às 10:00, Bob escreveu:",
        "Op ma 1 jun 2026 om 10:00 schreef Bob:",
        "1 juni 2026 Bob skrev:",
        "pon., 1 cze 2026 o 10:00 Bob napisał(a):",
        "пн, 1 июн. 2026 Bob написал:",
        "Vào Th 2, 1 thg 6, 2026 Bob đã viết:",
        "1 Haz 2026 Pzt, 10:00 tarihinde Bob şunu yazdı:",
        "Pe lun., 1 iun. 2026 Bob a scris:",
        "Bob 于2026年6月1日周一 写道:",
        "في الاثنين كتب:",
        "发件人\u{ff1a}Bob",
        "Bob 写道\u{ff1a}",
        "2026年6月1日(月) 10:00 Bob <b@x.test>:",
    ] {
        assert_eq!(extract_text(&format!("Yes\n\n{quote}\n\nold")).as_deref(), Some("Yes"), "quote: {quote}");
    }
}

#[test]
fn what_only_resembles_a_signal_is_kept() {
    check_kept(&[
        "From: Bob, with love",
        "Da: ja\nFra: nej",
        "_____\nIngredients\nsalt\npepper\nDate: today",
        "One thing\nBob wrote: yes",
        "On Monday we meet.\n\nBob wrote: yes",
        "Er beschrieb:\nalles",
        "- original message attached",
        "Meeting 2026 at 10:00\nRoom:",
    ]);
}

#[test]
fn an_attribution_behind_other_text_is_cut() {
    check_text(&[
        ("Sounds good! On Mon, Jun 1, 2026 at 9:00 AM Bob <b@x.test> wrote: > old > older", "Sounds good!"),
        ("Danke! Am 01.06.2026 um 10:00 schrieb Bob <b@x.test>: > alt", "Danke!"),
        ("See you on Friday at 9:00. On Mon, Jun 1 Bob <b@x.test> wrote: old", "See you on Friday at 9:00."),
        ("On it! On Mon, Jun 1 Bob <b@x.test> wrote: old", "On it!"),
        ("Come on Friday at 9:00 On Mon, Jun 1 Bob <b@x.test> wrote: old", "Come on Friday at 9:00"),
        ("On Mon, Jun 1 Bob on Air on 2/2 <b@x.test> wrote: old\n> a", ""),
        ("Bien. Le 1 juin 2026, Bob <b@x.test> a écrit : vieux", "Bien."),
        ("Based on what Bob wrote: no", "Based on what Bob wrote: no"),
    ]);
}

#[test]
fn an_answer_below_the_quote_is_kept() {
    check_text(&[
        (
            "On Mon, Jun 1 Bob <b@x.test> wrote:\n> Which day?\n> Bob\n\nThursday.\n\n-- \nAl",
            "Thursday.\n\n-- \nAl",
        ),
        ("> one\n> two\n\nBelow.\nSent from my iPhone", "Below."),
        ("Bob wrote:\n> one\n> two\n\nBelow.", "Below."),
        ("Am 01.06.2026 um 10:00 schrieb Bob <b@x.test>:\n\n> alt\n\nNeu.", "Neu."),
        ("On Mon Bob wrote:\n> one\n\nBelow.\n\n-----Original Message-----\nold", "Below."),
        ("Hi\n> one\n> two\n\nnot an answer", "Hi"),
    ]);
}

#[test]
fn a_signature_below_the_quote_is_rescued() {
    check_text(&[
        ("Thanks\n\nOn Mon Bob wrote:\n> one\n> two\n\n-- \nAl\nAcme", "Thanks\n\n-- \nAl\nAcme"),
        ("Thanks\n> one\n> two\n--\nAl\n--\nAcme\nRoad 1", "Thanks\n--\nAcme\nRoad 1"),
        ("Thanks\n> one\n> two\n--\nAl\nAcme\n--\nlist\nfooter", "Thanks\n--\nAl\nAcme\n--\nlist\nfooter"),
        // Quoted without marks: the signature is the other person's.
        ("Thanks\n\nFrom: Bob <b@x.test>\nSent: Mon\n\nold\n-- \nBob\nAcme", "Thanks"),
        ("Thanks\n-- \nAl\n\nOn Mon Bob wrote:\n> one\n> two", "Thanks\n-- \nAl"),
    ]);
}

#[test]
fn footers_are_dropped() {
    for footer in [
        "Sent from my Galaxy",
        "Sent from Outlook for Android",
        "Sent from Mail for Windows",
        "Get Outlook for iOS<https://x.test>",
        "View this email in your browser",
        "You are receiving this because you signed up",
        "You received this message because you are subscribed",
        "Manage preferences",
        "To unsubscribe from this group send a mail",
        "Unsubscribe here",
        "Click the link to unsubscribe",
        "Unsubscribe <https://x.test/u>",
        "This e-mail and its attachments are confidential.",
        "CONFIDENTIALITY NOTICE",
        "If you are not the intended recipient, delete it",
        "It is intended solely for the addressee",
        "This email is not secure",
        "Please do not print this email",
        "Your personal data is safe",
    ] {
        assert_eq!(
            extract_text(&format!("Yes\n\n{footer}\nmore")).as_deref(),
            Some("Yes"),
            "footer: {footer}"
        );
        let html = format!("<p>Yes</p><p>{}</p><p>more</p>", footer.replace('<', "&lt;"));
        assert_eq!(extract_html(&html).as_deref(), Some("<p>Yes</p>"), "footer: {footer}");
    }
    check_kept(&[
        "I want to unsubscribe from this list.",
        "It was sent from my office.",
        "Please tell me how to unsubscribe.",
    ]);
}
