//! What becomes of a domain after a check, a change of its settings or an operator's word. Pure: a row in, a row out.
//!
//! Invariants: one bad check never takes a right away; a right that was earned survives a newly required record; an
//! operator's word holds until somebody asks for a check.

use std::time::Duration;

use podmail_domain::Timestamp;
use podmail_store::{Domain, DomainFlags, DomainStatus, NextCheck};

use super::check::{Found, judge};
use super::records::{self, Record, RecordState};
use crate::Settings;

/// Checks in a row that have to fail before a verified domain is no longer one.
const FAILED_CHECKS: i64 = 2;
/// How long a new domain is checked at the first interval.
const FIRST_STAGE: Duration = Duration::from_secs(3600);
/// How long it is checked at ten times that, afterwards.
const SECOND_STAGE: Duration = Duration::from_secs(48 * 3600);
/// How long it is checked at sixty times the first interval, afterwards; then only on demand.
const THIRD_STAGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// When a domain in this state is checked next; `None`: when somebody asks.
pub(super) fn next_check(domain: &Domain, settings: &Settings, now: Timestamp) -> Option<Timestamp> {
    if domain.forced {
        return None;
    }
    let (first, again) = (settings.domain_check_interval, settings.domain_recheck_interval);
    let interval = if domain.status == DomainStatus::Verified {
        if domain.failed_checks > 0 { first.into_iter().chain(again).min() } else { again }
    } else {
        let age = now.since(domain.checks_since);
        let factor = match age {
            age if age < FIRST_STAGE => Some(1),
            age if age < FIRST_STAGE + SECOND_STAGE => Some(10),
            age if age < FIRST_STAGE + SECOND_STAGE + THIRD_STAGE => Some(60),
            _ => None,
        };
        first.zip(factor).map(|(first, factor)| first.saturating_mul(factor))
    };
    interval.map(|interval| now.plus(interval))
}

fn set_status(domain: &mut Domain, (status, reason): (DomainStatus, Option<&str>), now: Timestamp) {
    domain.status = status;
    domain.reason = reason.map(str::to_owned);
    if status == DomainStatus::Verified {
        domain.verified_at.get_or_insert(now);
        domain.failed_checks = 0;
    }
}

/// The domain after a check that found this at the names of its records (in order).
pub(super) fn after_check(domain: &Domain, found: &[Found], settings: &Settings, now: Timestamp) -> Domain {
    let mut next = Domain { checked_at: Some(now), forced: false, ..domain.clone() };
    let mut list = records::current(domain, settings);
    let mut unknown = found.len() != list.len();
    for (record, found) in list.iter_mut().zip(found) {
        match judge(record, found) {
            Some(state) => record.state = state,
            None => unknown = true,
        }
    }
    let (status, reason) = records::status(&list);
    let carries = records::carry_sending(&list);
    let demoted = domain.status == DomainStatus::Verified && status != DomainStatus::Verified;
    let worse = demoted || (domain.sending && !carries);
    if worse {
        next.failed_checks = domain.failed_checks.saturating_add(1);
    } else if !unknown {
        next.failed_checks = 0;
    }
    let first_time = worse && next.failed_checks < FAILED_CHECKS;
    if !(demoted && first_time) {
        let failed_checks = next.failed_checks;
        set_status(&mut next, (status, reason), now);
        next.failed_checks = failed_checks;
        next.records = records::to_stored(&list);
        next.sending = next.verified_at.is_some() && (carries || (first_time && domain.sending));
        if demoted {
            next.checks_since = now;
        }
    }
    if (next.status, &next.reason, &next.records) != (domain.status, &domain.reason, &domain.records) {
        next.updated_at = now;
    }
    next.next_check_at = next_check(&next, settings, now);
    next
}

/// The domain with other settings, and what becomes of its next check.
pub(super) fn after_change(
    domain: &Domain,
    flags: DomainFlags,
    settings: &Settings,
    now: Timestamp,
) -> (Domain, NextCheck) {
    let mut next = Domain { flags, updated_at: now, ..domain.clone() };
    let needs = |flags: DomainFlags| [flags.inbound, flags.subdomains, flags.tracking];
    if needs(flags) == needs(domain.flags) {
        return (next, NextCheck::Keep);
    }
    let list = records::current(&next, settings);
    next.records = records::to_stored(&list);
    let turned_on = needs(domain.flags).into_iter().zip(needs(flags)).any(|(before, after)| after && !before);
    if domain.status == DomainStatus::NotStarted {
        return (next, NextCheck::Keep);
    }
    set_status(&mut next, records::status(&list), now);
    if next.status == DomainStatus::Verified {
        next.sending = true;
    }
    if turned_on {
        next.checks_since = now;
        // The owner has just published the record, or is about to.
        let automatic = settings.domain_check_interval.is_some() && !domain.forced;
        next.next_check_at = automatic.then_some(now);
        return (next, NextCheck::Set);
    }
    if next.status == domain.status {
        return (next, NextCheck::Keep);
    }
    next.next_check_at = next_check(&next, settings, now);
    (next, NextCheck::Set)
}

/// The domain on the operator's word.
pub(super) fn after_force(domain: &Domain, settings: &Settings, now: Timestamp) -> Domain {
    let valid = |record: Record| Record { state: RecordState::Valid, ..record };
    let list: Vec<Record> = records::current(domain, settings).into_iter().map(valid).collect();
    let mut next = Domain {
        records: records::to_stored(&list),
        forced: true,
        sending: true,
        next_check_at: None,
        updated_at: now,
        ..domain.clone()
    };
    set_status(&mut next, (DomainStatus::Verified, None), now);
    next
}
