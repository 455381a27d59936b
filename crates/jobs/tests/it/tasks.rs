//! Start, cancellation, panic and end of tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use podmail_jobs::{Stopped, Tasks};
use tokio::sync::oneshot;

/// Far above what a loaded machine needs; reached only when a test fails.
const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn shutdown_cancels_and_awaits_every_task() {
    let tasks = Tasks::new();
    let ended = Arc::new(AtomicUsize::new(0));
    for _ in 0..10 {
        let (token, ended) = (tasks.token(), Arc::clone(&ended));
        tasks.spawn("worker", async move {
            token.cancelled().await;
            ended.fetch_add(1, Ordering::SeqCst);
        });
    }
    assert_eq!(tasks.running(), 10);
    assert_eq!(tasks.shutdown(DEADLINE).await, Stopped::Clean);
    assert_eq!(ended.load(Ordering::SeqCst), 10);
    assert_eq!(tasks.running(), 0);
}

#[tokio::test]
async fn a_task_that_ignores_cancellation_is_aborted_and_named() {
    let tasks = Tasks::new();
    tasks.spawn("stubborn", std::future::pending());
    assert_eq!(tasks.shutdown(Duration::from_millis(1)).await, Stopped::Aborted(vec!["stubborn"]));
}

#[tokio::test]
async fn an_empty_set_shuts_down_at_once() {
    assert_eq!(Tasks::new().shutdown(Duration::ZERO).await, Stopped::Clean);
}

#[tokio::test]
async fn a_panic_of_an_ordinary_task_leaves_the_others_alone() {
    let tasks = Tasks::new();
    let (done, wait) = oneshot::channel();
    let guard = SendOnDrop(Some(done));
    tasks.spawn("connection", async move {
        let _guard = guard;
        panic!("on purpose");
    });
    wait.await.unwrap();
    assert!(!tasks.token().is_cancelled());
    assert_eq!(tasks.panicked(), Vec::<&str>::new());
    assert_eq!(tasks.shutdown(DEADLINE).await, Stopped::Clean);
}

#[tokio::test]
async fn a_panic_of_an_essential_task_stops_everything() {
    let tasks = Tasks::new();
    let token = tasks.token();
    tasks.spawn_essential("dispatcher", async { panic!("on purpose") });
    tokio::time::timeout(DEADLINE, token.cancelled()).await.unwrap();
    assert_eq!(tasks.panicked(), ["dispatcher"]);
    assert_eq!(tasks.shutdown(DEADLINE).await, Stopped::Clean);
}

#[tokio::test]
async fn cancelling_one_token_does_not_cancel_another() {
    let tasks = Tasks::new();
    tasks.token().cancel();
    assert!(!tasks.token().is_cancelled());
}

struct SendOnDrop(Option<oneshot::Sender<()>>);

impl Drop for SendOnDrop {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            sender.send(()).ok();
        }
    }
}
