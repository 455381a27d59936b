//! Which objects of the blob store rows refer to. An object is put before the row that names it commits, so one that is
//! old and that no row names was left behind: by a transaction that failed, or by a node that died in between.
//!
//! Invariant: every column that holds the name of an object is asked here; a test compares this file with the schema.

use std::collections::HashSet;

use podmail_domain::OrganizationId;

use crate::db::{Query, Value, args};
use crate::{Result, Store};

/// Names in one statement.
const CHUNK: usize = 256;

impl Store {
    /// Those of an organization's objects that no message, delivery or draft refers to, as of one moment. Of an
    /// organization that is not known here: none, because they are somebody else's.
    pub async fn unreferenced_objects(
        &self,
        organization: OrganizationId,
        names: Vec<String>,
    ) -> Result<Vec<String>> {
        if self.organization_scope(organization).await?.is_none() {
            return Ok(Vec::new());
        }
        let mut conn = self.reader().await?;
        let mut referenced: HashSet<String> = HashSet::new();
        for part in names.chunks(CHUNK) {
            // Padded to a power of two, so that the statement cache holds few texts.
            let count = part.len().next_power_of_two();
            let marks = vec!["?"; count].join(",");
            let values = || {
                let padding = part.iter().chain(std::iter::repeat(part.last()).flatten()).take(count);
                padding.map(|name| Value::from(name.as_str())).collect::<Vec<_>>()
            };
            let mut query = Query::new(
                "SELECT m.object FROM messages m WHERE m.organization_id = $1 AND m.object IS NOT NULL",
                args![organization],
            );
            query.and(&format!("m.object IN ({marks})"), values());
            query.push(
                " UNION ALL SELECT d.object FROM deliveries d WHERE d.organization_id = ? AND d.object IS NOT NULL",
                args![organization],
            );
            query.and(&format!("d.object IN ({marks})"), values());
            query.push(
                " UNION ALL SELECT a.object FROM draft_attachments a WHERE a.organization_id = ? \
                 AND a.object IS NOT NULL",
                args![organization],
            );
            query.and(&format!("a.object IN ({marks})"), values());
            referenced.extend(query.all::<(String,)>(&mut conn).await?.into_iter().map(|(name,)| name));
        }
        Ok(names.into_iter().filter(|name| !referenced.contains(name)).collect())
    }
}
