//! Allow and block lists: entries at three levels, and the look-up that decides about addresses.

use podmail_domain::list::{ListDirection, ListEntry, ListLevel, ListMatch, ListType};
use podmail_domain::{InboxId, OrganizationId, PodId, Timestamp};

use crate::db::{Conn, Query, Value, args};
use crate::messages::lock_inbox;
use crate::page::{Cursor, Page};
use crate::pods::lock_pod;
use crate::scope::{Scope, id};
use crate::writer::Tx;
use crate::{Error, Result, Store};

/// An entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredListEntry {
    /// Owner.
    pub organization_id: OrganizationId,
    /// The pod whose list it is, or that of the inbox.
    pub pod_id: Option<PodId>,
    /// The inbox whose list it is.
    pub inbox_id: Option<InboxId>,
    /// What the list is about.
    pub direction: ListDirection,
    /// What it does.
    pub list_type: ListType,
    /// The entry.
    pub entry: ListEntry,
    /// Why it is there.
    pub reason: Option<String>,
    /// Only the operator removes it.
    pub read_only: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Which list of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListName {
    /// What it is about.
    pub direction: ListDirection,
    /// What it does.
    pub list_type: ListType,
}

/// Outcome of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListEntryDeleted {
    /// It is gone.
    Done,
    /// There is none.
    Absent,
    /// Only the operator removes it.
    ReadOnly,
}

/// What the lists of an inbox hold about some addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListMatches {
    /// Entries for the addresses and their domains.
    pub found: Vec<ListMatch>,
    /// The narrowest level with any allow entry.
    pub allow: Option<ListLevel>,
}

/// Why an entry is made without anybody asking for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suppression {
    /// A permanent bounce.
    Bounce,
    /// A complaint by way of a feedback loop.
    Complaint,
    /// List-Unsubscribe.
    Unsubscribe,
}

impl Suppression {
    const fn reason(self) -> &'static str {
        match self {
            Self::Bounce => "bounced",
            Self::Complaint => "complained",
            Self::Unsubscribe => "Unsubscribed via List-Unsubscribe",
        }
    }
    const fn read_only(self) -> bool {
        match self {
            Self::Bounce => false,
            Self::Complaint | Self::Unsubscribe => true,
        }
    }
}

const COLUMNS: &str = "e.organization_id, e.pod_id, e.inbox_id, e.direction, e.list_type, e.entry, e.reason, \
    e.read_only, e.created_at";

#[derive(sqlx::FromRow, serde::Deserialize)]
struct EntryRow {
    organization_id: String,
    pod_id: Option<String>,
    inbox_id: Option<String>,
    direction: String,
    list_type: String,
    entry: String,
    reason: Option<String>,
    read_only: i64,
    created_at: i64,
}

impl TryFrom<EntryRow> for StoredListEntry {
    type Error = Error;
    fn try_from(row: EntryRow) -> Result<Self> {
        Ok(Self {
            organization_id: id(&row.organization_id, OrganizationId::parse)?,
            pod_id: row.pod_id.map(|pod| id(&pod, PodId::parse)).transpose()?,
            inbox_id: row.inbox_id.map(|inbox| id(&inbox, InboxId::parse)).transpose()?,
            direction: ListDirection::parse(&row.direction).ok_or(Error::Corrupt("a list"))?,
            list_type: ListType::parse(&row.list_type).ok_or(Error::Corrupt("a list"))?,
            entry: ListEntry::stored(&row.entry),
            reason: row.reason,
            read_only: row.read_only != 0,
            created_at: Timestamp::from_micros(row.created_at),
        })
    }
}

/// Whose list a scope means, as the key has it.
fn owner(scope: &Scope) -> (ListLevel, String) {
    match (scope.inbox(), scope.pod()) {
        (Some(inbox), _) => (ListLevel::Inbox, inbox.key.to_string()),
        (None, Some(pod)) => (ListLevel::Pod, pod.to_string()),
        (None, None) => (ListLevel::Organization, String::new()),
    }
}

/// The owners whose lists apply to an inbox.
fn owners(scope: &Scope) -> Result<Vec<Value>> {
    Ok(args![scope.inbox_key()?, scope.pod_or_default(), ""])
}

impl Store {
    /// Adds an entry to the list of the scope's own level. One that is there stays as it is. `None`: the pod or inbox is
    /// gone.
    pub async fn create_list_entry(
        &self,
        scope: &Scope,
        list: ListName,
        entry: ListEntry,
        reason: Option<String>,
        now: Timestamp,
    ) -> Result<Option<StoredListEntry>> {
        self.write((scope.clone(), list, entry, reason, now), |tx, (scope, list, entry, reason, now)| {
            Box::pin(async move {
                let organization = scope.organization();
                let there = match (scope.inbox(), scope.pod()) {
                    (Some(inbox), _) => lock_inbox(tx, organization, inbox.key).await?,
                    (None, Some(pod)) => lock_pod(tx, organization, pod).await?,
                    (None, None) => true,
                };
                if !there {
                    return Ok(None);
                }
                insert(tx, scope, *list, entry, reason.as_deref(), None, *now).await?;
                find(tx, scope, *list, entry).await
            })
        })
        .await
    }

    /// An entry of the list of the scope's own level.
    pub async fn list_entry(
        &self,
        scope: &Scope,
        list: ListName,
        entry: &ListEntry,
    ) -> Result<Option<StoredListEntry>> {
        find(&mut self.reader().await?, scope, list, entry).await
    }

    /// A page of the list of the scope's own level, in the order of the entries' bytes.
    pub async fn list_entries(
        &self,
        scope: &Scope,
        list: ListName,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<StoredListEntry>> {
        let (_, owner) = owner(scope);
        let mut query = Query::new(
            &format!(
                "SELECT {COLUMNS} FROM list_entries e WHERE e.organization_id = $1 AND e.owner = $2 \
                 AND e.direction = $3 AND e.list_type = $4"
            ),
            args![scope.organization(), owner, list.direction.as_str(), list.list_type.as_str()],
        );
        if let Some(after) = after {
            query.and("e.entry > ?", args![after.id.as_str()]);
        }
        query.push(" ORDER BY e.entry LIMIT ?", args![limit + 1]);
        let rows: Vec<EntryRow> = query.all(&mut self.reader().await?).await?;
        let entries = rows.into_iter().map(StoredListEntry::try_from).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(entries, limit, |entry| Cursor::new(Timestamp::from_micros(0), &entry.entry)))
    }

    /// Removes an entry of the list of the scope's own level, unless only the operator may.
    pub async fn delete_list_entry(
        &self,
        scope: &Scope,
        list: ListName,
        entry: ListEntry,
    ) -> Result<ListEntryDeleted> {
        self.write((scope.clone(), list, entry), |tx, (scope, list, entry)| {
            Box::pin(async move {
                let Some(found) = find(tx, scope, *list, entry).await? else {
                    return Ok(ListEntryDeleted::Absent);
                };
                if found.read_only {
                    return Ok(ListEntryDeleted::ReadOnly);
                }
                let (_, owner) = owner(scope);
                tx.run(
                    "DELETE FROM list_entries WHERE organization_id = $1 AND owner = $2 AND direction = $3 \
                     AND list_type = $4 AND entry = $5",
                    args![
                        scope.organization(),
                        owner,
                        list.direction.as_str(),
                        list.list_type.as_str(),
                        entry.as_str()
                    ],
                )
                .await?;
                Ok(ListEntryDeleted::Done)
            })
        })
        .await
    }

    /// Removes an entry from every block list of sending within an organization or pod scope, read-only ones too: the
    /// operator's way. Returns what was removed.
    pub async fn remove_block_entries(
        &self,
        scope: &Scope,
        entry: ListEntry,
    ) -> Result<Vec<StoredListEntry>> {
        self.write((scope.clone(), entry), |tx, (scope, entry)| {
            Box::pin(async move {
                let mut query = Query::new(
                    &format!(
                        "SELECT {COLUMNS} FROM list_entries e WHERE e.organization_id = $1 AND e.entry = $2 \
                         AND e.direction = 'send' AND e.list_type = 'block'"
                    ),
                    args![scope.organization(), entry.as_str()],
                );
                if let Some(pod) = scope.pod() {
                    query.and("e.pod_id = ?", args![pod]);
                }
                let rows: Vec<EntryRow> = query.all(tx).await?;
                let found = rows.into_iter().map(StoredListEntry::try_from).collect::<Result<Vec<_>>>()?;
                tx.run(
                    "DELETE FROM list_entries WHERE organization_id = $1 AND entry = $2 AND direction = 'send' \
                     AND list_type = 'block' AND ($3 = '' OR pod_id = $3)",
                    args![
                        scope.organization(),
                        entry.as_str(),
                        scope.pod().map_or_else(String::new, |pod| pod.to_string())
                    ],
                )
                .await?;
                Ok(found)
            })
        })
        .await
    }

    /// What the lists that apply to the scope's inbox hold about these addresses and their domains.
    pub async fn list_matches(
        &self,
        scope: &Scope,
        direction: ListDirection,
        addresses: &[ListEntry],
    ) -> Result<ListMatches> {
        let mut conn = self.reader().await?;
        let organization = scope.organization();
        let mut entries: Vec<Value> = addresses
            .iter()
            .flat_map(|address| [Some(address.clone()), address.domain()])
            .flatten()
            .map(|entry| Value::from(entry.as_str()))
            .collect();
        let Some(last) = entries.last().cloned() else {
            let allow = allow_level(&mut conn, scope, direction).await?;
            return Ok(ListMatches { found: Vec::new(), allow });
        };
        // Padded to a power of two, so that the statement cache holds few texts.
        entries.resize(entries.len().next_power_of_two(), last);
        let mut query = Query::new(
            "SELECT e.level, e.list_type, e.entry, e.reason, e.read_only, e.automatic FROM list_entries e \
             WHERE e.organization_id = $1 AND e.direction = $2",
            args![organization, direction.as_str()],
        );
        query.and("e.owner IN (?, ?, ?)", owners(scope)?);
        query.and(&format!("e.entry IN ({})", vec!["?"; entries.len()].join(",")), entries);
        let rows: Vec<(String, String, String, Option<String>, i64, i64)> = query.all(&mut conn).await?;
        let found = rows
            .into_iter()
            .map(|(level, list_type, entry, reason, read_only, automatic)| {
                Ok(ListMatch {
                    level: ListLevel::parse(&level).ok_or(Error::Corrupt("a list"))?,
                    list_type: ListType::parse(&list_type).ok_or(Error::Corrupt("a list"))?,
                    entry: ListEntry::stored(&entry),
                    reason,
                    read_only: read_only != 0,
                    automatic: automatic != 0,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let allow = allow_level(&mut conn, scope, direction).await?;
        Ok(ListMatches { found, allow })
    }

    /// Whether the scope's inbox sent a message that one of these names means, an alias included.
    pub async fn sent_by_inbox(&self, scope: &Scope, names: &[String]) -> Result<bool> {
        if names.is_empty() {
            return Ok(false);
        }
        let marks = vec!["?"; names.len()].join(",");
        let values = || names.iter().map(|name| Value::from(name.as_str())).collect::<Vec<_>>();
        let mut query = Query::new(
            "SELECT m.direction FROM messages m WHERE m.organization_id = $1 AND m.inbox_key = $2 AND m.direction = 1",
            args![scope.organization(), scope.inbox_key()?],
        );
        query.and(&format!("m.message_id IN ({marks})"), values());
        query.push(
            " UNION ALL SELECT m.direction FROM message_aliases a JOIN messages m \
             ON m.organization_id = a.organization_id AND m.inbox_key = a.inbox_key \
             AND m.message_key = a.message_key WHERE a.organization_id = ? AND a.inbox_key = ? AND m.direction = 1",
            args![scope.organization(), scope.inbox_key()?],
        );
        query.and(&format!("a.alias IN ({marks})"), values());
        let found: Vec<(i64,)> = query.all(&mut self.reader().await?).await?;
        Ok(!found.is_empty())
    }
}

async fn allow_level(conn: &mut Conn, scope: &Scope, direction: ListDirection) -> Result<Option<ListLevel>> {
    for (level, owner) in ListLevel::ALL.iter().zip(owners(scope)?) {
        let mut values = args![scope.organization(), direction.as_str()];
        values.push(owner);
        let any: Option<(String,)> = conn
            .one(
                "SELECT entry FROM list_entries WHERE organization_id = $1 AND direction = $2 AND owner = $3 \
                 AND list_type = 'allow' LIMIT 1",
                values,
            )
            .await?;
        if any.is_some() {
            return Ok(Some(*level));
        }
    }
    Ok(None)
}

async fn find(
    conn: &mut Conn,
    scope: &Scope,
    list: ListName,
    entry: &ListEntry,
) -> Result<Option<StoredListEntry>> {
    let (_, owner) = owner(scope);
    let row: Option<EntryRow> = conn
        .one(
            &format!(
                "SELECT {COLUMNS} FROM list_entries e WHERE e.organization_id = $1 AND e.owner = $2 \
                 AND e.direction = $3 AND e.list_type = $4 AND e.entry = $5"
            ),
            args![
                scope.organization(),
                owner,
                list.direction.as_str(),
                list.list_type.as_str(),
                entry.as_str()
            ],
        )
        .await?;
    row.map(StoredListEntry::try_from).transpose()
}

/// Adds an entry. One that is there stays, but an automatic cause marks it as such.
async fn insert(
    tx: &mut Tx,
    scope: &Scope,
    list: ListName,
    entry: &ListEntry,
    reason: Option<&str>,
    cause: Option<Suppression>,
    now: Timestamp,
) -> Result<()> {
    let (level, owner) = owner(scope);
    let tail = if cause.is_some() {
        // A complaint is not softened by a bounce that follows it.
        "ON CONFLICT (organization_id, owner, direction, list_type, entry) DO UPDATE SET automatic = 1, \
         reason = CASE WHEN list_entries.read_only = 1 THEN list_entries.reason ELSE excluded.reason END, \
         read_only = CASE WHEN list_entries.read_only = 1 THEN 1 ELSE excluded.read_only END"
    } else {
        "ON CONFLICT (organization_id, owner, direction, list_type, entry) DO NOTHING"
    };
    tx.run(
        &format!(
            "INSERT INTO list_entries (organization_id, owner, direction, list_type, entry, level, pod_id, inbox_key, \
             inbox_id, reason, read_only, automatic, created_at) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13) {tail}"
        ),
        args![
            scope.organization(),
            owner,
            list.direction.as_str(),
            list.list_type.as_str(),
            entry.as_str(),
            level.as_str(),
            scope.pod(),
            scope.inbox().map(|inbox| inbox.key),
            scope.inbox().map(|inbox| inbox.id.clone()),
            cause.map(Suppression::reason).or(reason),
            cause.is_some_and(Suppression::read_only),
            cause.is_some(),
            now
        ],
    )
    .await?;
    Ok(())
}

/// Keeps an address from being mailed again, within the transaction that learned the cause. At the level of the tenant
/// that caused it: its bounces must neither stop another tenant nor tell of it.
pub(crate) async fn suppress(
    tx: &mut Tx,
    inbox: &Scope,
    address: &str,
    cause: Suppression,
    whole_organization: bool,
    now: Timestamp,
) -> Result<()> {
    let entry = ListEntry::of_address(address);
    let pod = inbox.pod_or_default();
    let organization = inbox.organization();
    let at_pod = !whole_organization && pod != PodId::default_of(organization);
    let scope = Scope::new(organization, at_pod.then_some(pod), None);
    let list = ListName { direction: ListDirection::Send, list_type: ListType::Block };
    insert(tx, &scope, list, &entry, None, Some(cause), now).await
}

impl Store {
    /// Keeps an address from being mailed again, at the level of the tenant that the scope lies in: see [`Suppression`].
    pub async fn suppress(
        &self,
        inbox: &Scope,
        address: String,
        cause: Suppression,
        whole_organization: bool,
        now: Timestamp,
    ) -> Result<()> {
        self.write((inbox.clone(), address, cause, whole_organization, now), |tx, args| {
            Box::pin(async move {
                let (inbox, address, cause, whole, now) = args;
                suppress(tx, inbox, address, *cause, *whole, *now).await
            })
        })
        .await
    }
}
