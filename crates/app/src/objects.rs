//! Removes objects that nothing refers to. An object is put before the row that names it commits, so a transaction that
//! fails, or a node that dies in between, leaves one behind.
//!
//! Invariants: only what this product named is touched, only of organizations that this database knows, and only when
//! both its name and the store say that it is older than [`AGE_MIN`]; no transaction runs that long.

use std::sync::atomic::Ordering;
use std::time::Duration;

use podmail_blob::{Listing, Object};
use podmail_domain::{MessageKey, OrganizationId, Timestamp};

use crate::{App, Result};

/// How old an object is at least before anybody asks whether it is needed.
pub const AGE_MIN: Duration = Duration::from_secs(24 * 3600);
/// Pause between the end of one round over all objects and the start of the next.
const ROUND_REST: Duration = Duration::from_secs(24 * 3600);
/// How long a node runs before its first round.
const FIRST: Duration = Duration::from_secs(3600);
/// Objects that one step looks at.
const STEP: usize = 256;
/// End of the name of every object.
const SUFFIX: &str = ".eml.zst";

/// The name of an object of an organization.
pub(crate) fn name(organization: OrganizationId, id: impl std::fmt::Display) -> String {
    format!("{organization}/{id}{SUFFIX}")
}

/// Whose object that is and when it was named; `None`: not one of ours.
fn named(text: &str) -> Option<(OrganizationId, Timestamp)> {
    let (organization, id) = text.split_once('/')?;
    let organization = OrganizationId::parse(organization)?;
    let id = MessageKey::parse(id.strip_suffix(SUFFIX)?)?;
    if name(organization, id) != text {
        return None;
    }
    // The first 48 bits of a UUID of version 7 are milliseconds (RFC 9562 §5.7).
    let millis = i64::try_from(id.uuid().as_u128() >> 80).ok()?;
    Some((organization, Timestamp::from_micros(millis.checked_mul(1000)?)))
}

/// Where the rounds over all objects stand.
#[derive(Debug)]
pub struct ObjectRounds {
    next_at: Timestamp,
    listing: Option<Listing>,
    seen: u64,
    removed: u64,
}

impl App {
    /// Rounds that have not begun: the first one is due after an hour.
    pub fn object_rounds(&self) -> ObjectRounds {
        ObjectRounds { next_at: self.now().plus(FIRST), listing: None, seen: 0, removed: 0 }
    }

    /// One step of a round that is due; `true` when the round goes on.
    ///
    /// # Errors
    /// When the blob store cannot be listed or the database does not answer; the next round is a day later.
    pub async fn sweep_objects_once(&self, rounds: &mut ObjectRounds) -> Result<bool> {
        let now = self.now();
        if now < rounds.next_at {
            return Ok(false);
        }
        let stepped = self.sweep_step(rounds, now).await;
        if !matches!(stepped, Ok(true)) {
            if rounds.removed > 0 {
                tracing::info!(
                    seen = rounds.seen,
                    removed = rounds.removed,
                    "objects that nothing referred to were removed"
                );
            }
            *rounds = ObjectRounds { next_at: now.plus(ROUND_REST), listing: None, seen: 0, removed: 0 };
        }
        stepped
    }

    async fn sweep_step(&self, rounds: &mut ObjectRounds, now: Timestamp) -> Result<bool> {
        let listing = rounds.listing.get_or_insert_with(|| self.blobs().list());
        let found = listing.next(STEP).await?;
        if found.is_empty() {
            return Ok(false);
        }
        rounds.seen += found.len() as u64;
        let before = now.minus(AGE_MIN);
        for (organization, names) in by_organization(found, before) {
            for name in self.store().unreferenced_objects(organization, names).await? {
                match self.blobs().delete(&name).await {
                    Ok(()) => {
                        rounds.removed += 1;
                        self.inner.objects_removed.fetch_add(1, Ordering::Relaxed);
                        tracing::debug!(object = name, "an unreferenced object was removed");
                    }
                    Err(error) => {
                        tracing::warn!(error = %error, "an unreferenced object could not be removed");
                    }
                }
            }
        }
        Ok(true)
    }

    /// Objects that nothing referred to and that this node removed since it started.
    pub fn objects_removed(&self) -> u64 {
        self.inner.objects_removed.load(Ordering::Relaxed)
    }
}

/// The names of those that are ours and old enough.
fn by_organization(found: Vec<Object>, before: Timestamp) -> Vec<(OrganizationId, Vec<String>)> {
    let mut all: Vec<(OrganizationId, Vec<String>)> = Vec::new();
    for object in found {
        let Some((organization, named_at)) = named(&object.name) else { continue };
        if named_at >= before || Timestamp::from_micros(object.modified_micros) >= before {
            continue;
        }
        match all.iter_mut().find(|(known, _)| *known == organization) {
            Some((_, names)) => names.push(object.name),
            None => all.push((organization, vec![object.name])),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_our_own_are_read() {
        let organization = "0192f3c1-7e5a-7c3d-9b0e-4a1f6d2c8b71";
        let id = "0192f3c1-7e5a-7c3d-9b0e-4a1f6d2c8b72";
        let (owner, at) = named(&format!("{organization}/{id}.eml.zst")).unwrap();
        assert_eq!(owner.to_string(), organization);
        assert_eq!(at, Timestamp::from_micros(0x0192_f3c1_7e5a * 1000));
        for text in [
            "podmail-probe".to_owned(),
            format!("{organization}/{id}"),
            format!("{organization}/{id}.eml.zst.bak"),
            format!("{organization}/{id}.EML.ZST"),
            format!("{organization}/x/{id}.eml.zst"),
            format!("/{organization}/{id}.eml.zst"),
            format!("{}/{id}.eml.zst", organization.to_uppercase()),
            format!("{organization}/{}.eml.zst", id.replace('-', "")),
            format!("backup/{id}.eml.zst"),
        ] {
            assert!(named(&text).is_none(), "{text}");
        }
    }
}
