//! Who writes. On SQLite one thread has the only writing connection: it takes whatever waits, runs it as one
//! transaction with a savepoint around each command, commits (one sync for all of it), and only then answers.
//! PostgreSQL batches new messages the same way and runs everything else as ordinary transactions, repeated when the
//! database reports a deadlock or a serialization failure.
//!
//! Invariant: nobody is answered before the commit that holds his change returned.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use podmail_domain::IdSource;
use tokio::sync::{mpsc, oneshot};

use crate::db::{Conn, Db, Engine};
use crate::insert::{NewMessage, Stored};
use crate::{Error, Result};

/// Commands that may wait; more and the caller waits for a place.
const QUEUE: usize = 1024;
/// Commands and messages in one transaction at most: bounds how long a reader of the answer waits.
const BATCH: usize = 128;
/// How often a transaction is repeated after a deadlock.
const ATTEMPTS: usize = 6;

/// What a commit brought that somebody may be waiting for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// New rows in the event log.
    pub events: bool,
    /// Outbound mail that is ready.
    pub outbound: bool,
    /// Webhook deliveries that are due.
    pub webhooks: bool,
    /// Inboxes to purge.
    pub purges: bool,
    /// Domains to check.
    pub domains: bool,
    /// Drafts that were scheduled.
    pub drafts: bool,
    /// Messages for the full-text index.
    pub search: bool,
}

impl News {}

/// Told after each commit that brought news. Must not block.
pub type OnCommit = Arc<dyn Fn(News) + Send + Sync>;

/// An open transaction.
pub(crate) struct Tx {
    pub(crate) conn: Conn,
    pub(crate) news: News,
    pub(crate) ids: Arc<dyn IdSource>,
}

impl std::ops::Deref for Tx {
    type Target = Conn;
    fn deref(&self) -> &Conn {
        &self.conn
    }
}
impl std::ops::DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}

/// A command's body: no captures, everything comes in through `A`, so that it can be run again.
pub(crate) type Body<A, T> = for<'a> fn(&'a mut Tx, &'a A) -> BoxFuture<'a, Result<T>>;

trait Work: Send {
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<()>>;
    fn answer(self: Box<Self>, result: Result<()>);
}

struct Job<A, T> {
    args: A,
    body: Body<A, T>,
    out: Option<T>,
    reply: oneshot::Sender<Result<T>>,
}

impl<A: Send + Sync, T: Send> Work for Job<A, T> {
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.out = Some((self.body)(tx, &self.args).await?);
            Ok(())
        })
    }
    fn answer(self: Box<Self>, result: Result<()>) {
        let Self { out, reply, .. } = *self;
        // A caller that went away does not need the answer; its change is committed all the same.
        drop(reply.send(result.and_then(|()| out.ok_or(Error::Closed))));
    }
}

enum Command {
    Work(Box<dyn Work>),
    Insert { messages: Vec<NewMessage>, reply: oneshot::Sender<Result<Vec<Stored>>> },
}

/// The handle through which everything is written.
#[derive(Clone)]
pub(crate) struct Writer {
    db: Db,
    commands: mpsc::Sender<Command>,
    background: mpsc::Sender<Command>,
    on_commit: OnCommit,
    ids: Arc<dyn IdSource>,
}

impl Writer {
    /// The handle and the task that has to be run for it.
    pub(crate) fn new(
        db: Db,
        ids: Arc<dyn IdSource>,
        on_commit: OnCommit,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (commands, inbox) = mpsc::channel(QUEUE);
        let (background, spare) = mpsc::channel(QUEUE);
        let writer = Self { db, commands, background, on_commit, ids };
        let (engine, body) = (
            writer.db.engine(),
            run(writer.db.clone(), inbox, spare, writer.on_commit.clone(), writer.ids.clone()),
        );
        let task = async move {
            match engine {
                Engine::Sqlite => on_own_thread(body).await,
                Engine::Postgres => body.await,
            }
        };
        (writer, task)
    }

    pub(crate) fn ids(&self) -> &dyn IdSource {
        &*self.ids
    }

    /// Runs a change as (part of) a transaction and returns once it is durable.
    pub(crate) async fn write<A, T>(&self, args: A, body: Body<A, T>) -> Result<T>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        match self.db.engine() {
            Engine::Sqlite => Self::queue(&self.commands, args, body).await,
            Engine::Postgres => self.transaction(args, body).await,
        }
    }

    /// Like [`Self::write`], but goes behind everything that waits: for purges and bookkeeping.
    pub(crate) async fn write_later<A, T>(&self, args: A, body: Body<A, T>) -> Result<T>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        match self.db.engine() {
            Engine::Sqlite => Self::queue(&self.background, args, body).await,
            Engine::Postgres => self.transaction(args, body).await,
        }
    }

    /// Stores messages, batched with whatever else arrives.
    pub(crate) async fn insert(&self, messages: Vec<NewMessage>) -> Result<Vec<Stored>> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Insert { messages, reply }).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    async fn queue<A, T>(commands: &mpsc::Sender<Command>, args: A, body: Body<A, T>) -> Result<T>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Job { args, body, out: None, reply });
        commands.send(Command::Work(job)).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    async fn transaction<A, T>(&self, args: A, body: Body<A, T>) -> Result<T> {
        for _ in 0..ATTEMPTS {
            let mut tx = Tx { conn: self.db.writer().await?, news: News::default(), ids: self.ids.clone() };
            tx.run("BEGIN", Vec::new()).await?;
            let result = body(&mut tx, &args).await;
            let result = match result {
                Ok(value) => tx.run("COMMIT", Vec::new()).await.map(|_| value),
                Err(error) => Err(error),
            };
            match result {
                Ok(value) => {
                    announce(&self.on_commit, tx.news);
                    return Ok(value);
                }
                Err(error) => {
                    drop(tx.run("ROLLBACK", Vec::new()).await);
                    if !error.is_transient() {
                        return Err(error);
                    }
                }
            }
        }
        Err(Error::Race)
    }
}

fn announce(on_commit: &OnCommit, news: News) {
    if news != News::default() {
        on_commit(news);
    }
}

/// Runs the writer on a thread of its own: the embedded engine's calls block, and a whole transaction is then made
/// without a hand-over. Ends when the writer does.
async fn on_own_thread(body: impl Future<Output = ()> + Send + 'static) {
    let (ended, end) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let thread = crate::embedded::spawn("podmail-write", move || {
        runtime.block_on(body);
        // Nobody may be waiting any more.
        ended.send(()).ok();
    });
    let finished = match thread {
        Ok(_) => end.await.is_ok(),
        Err(error) => {
            tracing::error!(error = %error, "nothing can be written");
            false
        }
    };
    // The thread has already told of its panic; whoever runs this task learns of it like of any other.
    assert!(finished, "the writer's thread ended early");
}

async fn run(
    db: Db,
    mut inbox: mpsc::Receiver<Command>,
    mut spare: mpsc::Receiver<Command>,
    on_commit: OnCommit,
    ids: Arc<dyn IdSource>,
) {
    loop {
        let first = tokio::select! {
            biased;
            command = inbox.recv() => command,
            command = spare.recv() => command,
        };
        let Some(first) = first else { return };
        let mut batch = vec![first];
        while batch.len() < BATCH {
            match inbox.try_recv() {
                Ok(command) => batch.push(command),
                Err(_) => break,
            }
        }
        // One piece of background work rides along, so that a busy server still purges.
        batch.extend(spare.try_recv().ok());
        commit(&db, batch, &on_commit, &ids).await;
    }
}

/// What became of each command and of each group of messages in one commit.
type Results = (Vec<Result<()>>, Vec<Result<Vec<Stored>>>);

async fn commit(db: &Db, batch: Vec<Command>, on_commit: &OnCommit, ids: &Arc<dyn IdSource>) {
    let (mut works, mut arrivals, mut waiting) = (Vec::new(), Vec::new(), Vec::new());
    for command in batch {
        match command {
            Command::Work(work) => works.push(work),
            Command::Insert { messages, reply } => {
                arrivals.push(messages);
                waiting.push(reply);
            }
        }
    }
    match attempt(db, &mut works, &arrivals, on_commit, ids).await {
        Ok((results, stored)) => {
            for (work, result) in works.into_iter().zip(results) {
                work.answer(result);
            }
            for (reply, stored) in waiting.into_iter().zip(stored) {
                drop(reply.send(stored));
            }
        }
        Err(error) => {
            tracing::error!(error = %error, "a group of changes could not be committed; nobody in it was acknowledged");
            for work in works {
                work.answer(Err(Error::Busy));
            }
            for reply in waiting {
                drop(reply.send(Err(Error::Busy)));
            }
        }
    }
}

async fn attempt(
    db: &Db,
    works: &mut [Box<dyn Work>],
    arrivals: &[Vec<NewMessage>],
    on_commit: &OnCommit,
    ids: &Arc<dyn IdSource>,
) -> Result<Results> {
    // Savepoints around new messages cost a copy of every page they touch, so they come only after a failure.
    let (mut last, mut singly) = (Error::Race, false);
    for _ in 0..ATTEMPTS {
        let mut tx = Tx { conn: db.writer().await?, news: News::default(), ids: ids.clone() };
        match group(&mut tx, works, arrivals, singly).await {
            Ok(done) => {
                announce(on_commit, tx.news);
                return Ok(done);
            }
            Err(error) => {
                drop(tx.run("ROLLBACK", Vec::new()).await);
                if !error.is_transient() {
                    if singly {
                        return Err(error);
                    }
                    singly = true;
                }
                last = error;
            }
        }
    }
    Err(last)
}

async fn group(
    tx: &mut Tx,
    works: &mut [Box<dyn Work>],
    arrivals: &[Vec<NewMessage>],
    singly: bool,
) -> Result<Results> {
    let begin = if tx.engine() == Engine::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" };
    tx.run(begin, Vec::new()).await?;
    let stored = insert(tx, arrivals, singly).await?;
    let mut results = Vec::with_capacity(works.len());
    for work in works {
        tx.run("SAVEPOINT one", Vec::new()).await?;
        let result = work.run(tx).await;
        close(tx, result.is_ok()).await?;
        if let Err(error) = &result
            && error.is_transient()
        {
            return result.map(|()| (Vec::new(), Vec::new()));
        }
        results.push(result);
    }
    tx.run("COMMIT", Vec::new()).await?;
    Ok((results, stored))
}

/// All messages in multi-row statements. `singly`: each group on its own, so that the one that fails fails alone.
async fn insert(tx: &mut Tx, arrivals: &[Vec<NewMessage>], singly: bool) -> Result<Vec<Result<Vec<Stored>>>> {
    if arrivals.is_empty() {
        return Ok(Vec::new());
    }
    if !singly {
        let all: Vec<&NewMessage> = arrivals.iter().flatten().collect();
        let mut stored = crate::insert::store(tx, &all).await?.into_iter();
        return Ok(arrivals.iter().map(|group| Ok(stored.by_ref().take(group.len()).collect())).collect());
    }
    let mut results = Vec::with_capacity(arrivals.len());
    for group in arrivals {
        tx.run("SAVEPOINT one", Vec::new()).await?;
        let stored = crate::insert::store(tx, &group.iter().collect::<Vec<_>>()).await;
        close(tx, stored.is_ok()).await?;
        results.push(stored);
    }
    Ok(results)
}

async fn close(tx: &mut Tx, keep: bool) -> Result<()> {
    if !keep {
        tx.run("ROLLBACK TO SAVEPOINT one", Vec::new()).await?;
    }
    tx.run("RELEASE SAVEPOINT one", Vec::new()).await?;
    Ok(())
}
