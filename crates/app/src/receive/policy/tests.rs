use super::*;
use InboundAuthentication::{Label, Off, Standard, Strict};
use Policy::{Quarantine, Reject};

fn verdict(spf: Word, dkim: Word, dmarc: Word, policy: Policy) -> Verdict {
    let domain = "a.example".to_owned();
    Verdict { spf, dkim, dmarc, policy, domain, pass_may_be_hidden: false, vouched: false }
}

fn facts(mode: InboundAuthentication, verdict: Option<&Verdict>) -> Facts<'_> {
    Facts { received_headers: 1, is_spam: false, mode, verdict, sender_domain: "b.example" }
}

/// `""` for plain delivery, else the label or the reply.
fn outcome(mode: InboundAuthentication, verdict: &Verdict) -> String {
    match decide(&facts(mode, Some(verdict))) {
        Decision::Accept { labels } => {
            assert_eq!(labels[..2], ["received", "unread"]);
            labels[2..].join(",")
        }
        Decision::Refuse(refusal) => format!("{} {} {}", refusal.code, refusal.enhanced, refusal.text),
    }
}

const LATER: &str = "451 4.7.0 The sender a.example cannot be confirmed now, try again later";
const DMARC: &str = "550 5.7.1 DMARC: a.example asks to refuse mail that it does not confirm";
const UNCONFIRMED: &str = "550 5.7.26 SPF and DKIM do not confirm the sender b.example";

// imap-smtp.md section 5, the table and the other values of the setting
#[test]
fn the_first_line_of_the_table_that_fits_decides() {
    use Word::{Fail, Neutral, None, Pass, PermError, SoftFail, TempError};
    let hidden = |policy| Verdict { pass_may_be_hidden: true, ..verdict(TempError, None, Fail, policy) };
    let vouched = Verdict { vouched: true, ..verdict(Fail, Fail, Fail, Reject) };
    let unauthenticated = "unauthenticated";
    for (verdict, standard, strict, label) in [
        (verdict(Pass, None, Pass, Reject), "", "", ""),
        (verdict(Fail, Pass, Pass, Reject), "", UNCONFIRMED, ""),
        (verdict(Pass, Fail, Pass, Reject), "", UNCONFIRMED, ""),
        (vouched, "", UNCONFIRMED, ""),
        (hidden(Reject), LATER, LATER, unauthenticated),
        (hidden(Quarantine), LATER, LATER, unauthenticated),
        (hidden(Policy::None), unauthenticated, unauthenticated, unauthenticated),
        (verdict(Pass, Pass, Fail, Reject), DMARC, DMARC, unauthenticated),
        (verdict(None, None, Fail, Reject), DMARC, DMARC, unauthenticated),
        (verdict(Pass, None, Fail, Quarantine), "spam", "spam", "spam"),
        (verdict(None, None, Fail, Quarantine), "spam", "spam", "spam"),
        (verdict(Pass, Pass, TempError, Policy::None), unauthenticated, unauthenticated, unauthenticated),
        (verdict(Fail, None, TempError, Policy::None), unauthenticated, UNCONFIRMED, unauthenticated),
        (verdict(Fail, None, None, Policy::None), UNCONFIRMED, UNCONFIRMED, unauthenticated),
        (verdict(Fail, Fail, Fail, Policy::None), UNCONFIRMED, UNCONFIRMED, unauthenticated),
        (verdict(Fail, TempError, None, Policy::None), UNCONFIRMED, UNCONFIRMED, unauthenticated),
        (verdict(Fail, Pass, None, Policy::None), "", UNCONFIRMED, ""),
        (verdict(Pass, None, None, Policy::None), "", "", ""),
        (verdict(Pass, Fail, None, Policy::None), "", UNCONFIRMED, ""),
        (verdict(None, Pass, None, Policy::None), "", "", ""),
        (verdict(SoftFail, Pass, Fail, Policy::None), "", "", ""),
        (verdict(None, Fail, None, Policy::None), UNCONFIRMED, UNCONFIRMED, unauthenticated),
        (verdict(SoftFail, Fail, None, Policy::None), UNCONFIRMED, UNCONFIRMED, unauthenticated),
        (verdict(None, None, None, Policy::None), unauthenticated, unauthenticated, unauthenticated),
        (verdict(SoftFail, None, None, Policy::None), unauthenticated, unauthenticated, unauthenticated),
        (verdict(Neutral, PermError, None, Policy::None), unauthenticated, unauthenticated, unauthenticated),
        (
            verdict(TempError, TempError, None, Policy::None),
            unauthenticated,
            unauthenticated,
            unauthenticated,
        ),
    ] {
        for (mode, want) in [(Standard, standard), (Strict, strict), (Label, label), (Off, "")] {
            assert_eq!(outcome(mode, &verdict), want, "{mode:?} {verdict:?}");
        }
    }
}

#[test]
fn mail_without_a_verdict_is_delivered() {
    for mode in [Standard, Strict, Label, Off] {
        let labels = vec!["received".to_owned(), "unread".to_owned()];
        assert_eq!(decide(&facts(mode, None)), Decision::Accept { labels });
    }
}

#[test]
fn spam_is_labelled_once_and_may_also_be_unauthenticated() {
    let quarantined = verdict(Word::None, Word::None, Word::Fail, Quarantine);
    let unknown = verdict(Word::None, Word::None, Word::None, Policy::None);
    for (verdict, want) in [(&quarantined, &["spam"][..]), (&unknown, &["spam", "unauthenticated"])] {
        let decision = decide(&Facts { is_spam: true, ..facts(Standard, Some(verdict)) });
        let Decision::Accept { labels } = decision else { panic!("{decision:?}") };
        assert_eq!(labels[2..], *want);
    }
}

#[test]
fn a_loop_is_refused_whatever_the_checks_say() {
    let fine = verdict(Word::Pass, Word::Pass, Word::Pass, Reject);
    let looped = Facts { received_headers: limits::RECEIVED_HEADERS + 2, ..facts(Standard, Some(&fine)) };
    let decision = decide(&looped);
    let Decision::Refuse(refusal) = decision else { panic!("{decision:?}") };
    assert_eq!((refusal.code, refusal.enhanced), (554, "5.4.6"));
}
