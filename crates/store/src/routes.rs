//! Where mail goes. Every mail asks at least twice (at RCPT and after DATA), from many sessions at once, so questions
//! that come while one look-up runs are answered by the next one together.

use std::collections::{BTreeSet, HashMap};

use tokio::sync::{mpsc, oneshot};

use crate::db::{Db, Query, args};
use crate::scope::{Scope, stored_scope};
use crate::{Error, Result, Store};

/// Questions that may wait; more and the caller waits for a place.
const QUEUE: usize = 1024;
/// Addresses in one look-up: bounds the statement, and how many texts of it there are.
const ADDRESSES: usize = 256;

/// Where mail to an address goes.
#[derive(Clone, Debug)]
pub struct Route {
    /// The inbox.
    pub scope: Scope,
    /// Whether it is paused: mail is then accepted and discarded.
    pub paused: bool,
    /// Whether any list about senders applies to it.
    pub listed: bool,
}

#[derive(sqlx::FromRow, serde::Deserialize)]
struct RouteRow {
    organization_id: String,
    pod_id: String,
    inbox_key: String,
    inbox_id: String,
    paused: i64,
    inbound: i64,
    listed: i64,
}

type Routes = Vec<(String, Route)>;

struct Question {
    addresses: Vec<String>,
    reply: oneshot::Sender<Result<Routes>>,
}

/// The handle through which routes are asked for.
#[derive(Clone)]
pub(crate) struct Router(mpsc::Sender<Question>);

impl Router {
    /// The handle and the task that has to be run for it.
    pub(crate) fn new(db: Db) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (questions, inbox) = mpsc::channel(QUEUE);
        (Self(questions), run(db, inbox))
    }
}

async fn run(db: Db, mut inbox: mpsc::Receiver<Question>) {
    while let Some(first) = inbox.recv().await {
        let mut waiting = vec![first];
        let mut addresses = waiting.iter().map(|question| question.addresses.len()).sum::<usize>();
        while addresses < ADDRESSES {
            let Ok(question) = inbox.try_recv() else { break };
            addresses += question.addresses.len();
            waiting.push(question);
        }
        let wanted: BTreeSet<&String> = waiting.iter().flat_map(|question| &question.addresses).collect();
        match look_up(&db, &wanted).await {
            Ok(found) => {
                for Question { addresses, reply } in waiting {
                    let own = addresses
                        .into_iter()
                        .filter_map(|a| found.get(&a).map(|route| (a.clone(), route.clone())));
                    drop(reply.send(Ok(own.collect())));
                }
            }
            Err(error) => {
                tracing::error!(error = %error, "routes could not be looked up");
                for question in waiting {
                    drop(question.reply.send(Err(Error::Busy)));
                }
            }
        }
    }
}

async fn look_up(db: &Db, wanted: &BTreeSet<&String>) -> Result<HashMap<String, Route>> {
    let mut found = HashMap::new();
    let wanted: Vec<&String> = wanted.iter().copied().collect();
    for part in wanted.chunks(ADDRESSES) {
        let mut query = Query::new(
            "SELECT d.organization_id, d.pod_id, i.inbox_key, i.inbox_id, i.paused, \
             CASE WHEN i.governing_domain IS NULL THEN 1 ELSE COALESCE(m.inbound_enabled, 0) END AS inbound, \
             CAST(CASE WHEN EXISTS (SELECT 1 FROM list_entries e WHERE e.organization_id = d.organization_id \
             AND e.owner IN ('', d.pod_id, d.inbox_key) AND e.direction <> 'send') THEN 1 ELSE 0 END AS BIGINT) AS listed \
             FROM address_directory d \
             JOIN inboxes i ON i.organization_id = d.organization_id AND i.inbox_key = d.inbox_key \
             LEFT JOIN domains m ON m.organization_id = i.organization_id AND m.domain = i.governing_domain \
             WHERE d.inbox_key IS NOT NULL",
            args![],
        );
        // Padded to a power of two, so that the statement cache holds few texts.
        let count = part.len().next_power_of_two();
        let padded = part.iter().chain(std::iter::repeat(part.last()).flatten()).take(count);
        let marks = vec!["?"; count].join(",");
        query.and(&format!("d.address IN ({marks})"), padded.map(|a| a.as_str().into()).collect());
        let mut conn = db.reader().await?;
        for row in query.all::<RouteRow>(&mut conn).await? {
            if row.inbound == 0 {
                continue;
            }
            let scope = stored_scope(
                &row.organization_id,
                Some(&row.pod_id),
                Some(&row.inbox_key),
                Some(&row.inbox_id),
            )?;
            found.insert(row.inbox_id, Route { scope, paused: row.paused != 0, listed: row.listed != 0 });
        }
    }
    Ok(found)
}

impl Store {
    /// Where mail to these addresses (lower case) goes; addresses without a receiving inbox are left out.
    pub async fn routes(&self, addresses: &[String]) -> Result<Vec<(String, Route)>> {
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        let (reply, answer) = oneshot::channel();
        let question = Question { addresses: addresses.to_vec(), reply };
        self.router.0.send(question).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }
}
