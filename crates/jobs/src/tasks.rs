//! Tasks that have a name, leave a trace when they panic, and end before the server does.
//!
//! This is the only place that calls `tokio::spawn`. A task watches [`Tasks::token`] and returns once it
//! is cancelled; [`Tasks::shutdown`] cancels, waits, and after its deadline aborts what is left.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// The tasks of one server (or of one part of it). Clones share the same set.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    inner: Arc<Inner>,
}

/// How a shutdown went.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "tells whether every task ended by itself"]
pub enum Stopped {
    /// Every task ended by itself within the deadline.
    Clean,
    /// These tasks (by name, sorted, one entry per task) were still running and have been aborted.
    Aborted(Vec<&'static str>),
}

#[derive(Debug, Default)]
struct Inner {
    token: CancellationToken,
    state: Mutex<State>,
    idle: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    running: BTreeMap<u64, Running>,
    panicked: Vec<&'static str>,
}

#[derive(Debug)]
struct Running {
    name: &'static str,
    /// Absent between the entry and the return of `tokio::spawn`.
    abort: Option<AbortHandle>,
}

/// What a panic of a task means to the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OnPanic {
    Log,
    Stop,
}

impl Tasks {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task whose panic concerns only itself, such as one connection. The panic is logged.
    ///
    /// After [`Tasks::shutdown`] began, the task still starts, sees its token cancelled and is awaited.
    pub fn spawn<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.start(name, OnPanic::Log, future);
    }

    /// Starts a task that the server cannot do without, such as a worker or a listener: when it panics,
    /// everything is cancelled, and [`Tasks::panicked`] names it.
    pub fn spawn_essential<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.start(name, OnPanic::Stop, future);
    }

    /// A token that is cancelled when the shutdown begins. Cancelling it does not touch the other tasks.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.inner.token.child_token()
    }

    /// Asks every task to end, without waiting.
    pub fn cancel(&self) {
        self.inner.token.cancel();
    }

    /// Number of tasks that have not ended.
    #[must_use]
    pub fn running(&self) -> usize {
        self.state().running.len()
    }

    /// Names of the essential tasks that panicked, oldest first.
    #[must_use]
    pub fn panicked(&self) -> Vec<&'static str> {
        self.state().panicked.clone()
    }

    /// Cancels every task and waits for their end, at most for `deadline`; aborts the rest.
    pub async fn shutdown(&self, deadline: Duration) -> Stopped {
        self.cancel();
        if tokio::time::timeout(deadline, self.ended()).await.is_ok() {
            return Stopped::Clean;
        }
        let mut left: Vec<&'static str> = Vec::new();
        for running in self.state().running.values() {
            left.push(running.name);
            if let Some(abort) = &running.abort {
                abort.abort();
            }
        }
        if left.is_empty() {
            return Stopped::Clean;
        }
        left.sort_unstable();
        tracing::warn!(tasks = ?left, "tasks did not end in time and were aborted: {}", left.join(", "));
        Stopped::Aborted(left)
    }

    async fn ended(&self) {
        loop {
            // Registered before the look, so that an end between the two is not missed.
            let idle = self.inner.idle.notified();
            if self.state().running.is_empty() {
                return;
            }
            idle.await;
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    fn start<F>(&self, name: &'static str, on_panic: OnPanic, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let id = {
            let mut state = self.state();
            let id = state.next;
            state.next += 1;
            state.running.insert(id, Running { name, abort: None });
            id
        };
        let entry = Entry { inner: Arc::clone(&self.inner), id, name, on_panic };
        let span = tracing::info_span!("task", task = name);
        let handle = tokio::spawn(
            async move {
                // Lives in the task: dropped at its end, by a panic, and by an abort.
                let entry = entry;
                future.await;
                drop(entry);
            }
            .instrument(span),
        );
        if let Some(running) = self.state().running.get_mut(&id) {
            running.abort = Some(handle.abort_handle());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.lock()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and the state is valid between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a task off the list when its future goes away, however that happens.
struct Entry {
    inner: Arc<Inner>,
    id: u64,
    name: &'static str,
    on_panic: OnPanic,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let panicking = std::thread::panicking();
        let idle = {
            let mut state = self.inner.lock();
            state.running.remove(&self.id);
            if panicking && self.on_panic == OnPanic::Stop {
                state.panicked.push(self.name);
            }
            state.running.is_empty()
        };
        if panicking {
            tracing::error!(task = self.name, "task {} panicked", self.name);
            if self.on_panic == OnPanic::Stop {
                self.inner.token.cancel();
            }
        }
        if idle {
            self.inner.idle.notify_waiters();
        }
    }
}
