//! What a wire between nodes promises, on PostgreSQL (`PODMAIL_TEST_POSTGRES`), on NATS (`PODMAIL_TEST_NATS`) and in
//! memory.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail loudly")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use podmail_bus::{Bus, Error, Nats, Notices, Postgres, Timing, Topic, Wire};
use podmail_jobs::Tasks;
use tokio::sync::broadcast;
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_secs(10);

/// Wires inside of one process, counted and breakable.
#[derive(Debug, Clone)]
struct Memory {
    sender: Arc<std::sync::Mutex<broadcast::Sender<String>>>,
    sent: Arc<AtomicUsize>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { sender: Arc::new(std::sync::Mutex::new(broadcast::channel(1024).0)), sent: Arc::default() }
    }
}

impl Memory {
    /// Ends every connection.
    fn cut(&self) {
        *self.sender.lock().unwrap() = broadcast::channel(1024).0;
    }
}

impl Wire for Memory {
    fn send<'a>(&'a self, notice: &'a str) -> BoxFuture<'a, Result<(), Error>> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        drop(self.sender.lock().unwrap().send(notice.to_owned()));
        async { Ok(()) }.boxed()
    }
    fn listen(&self) -> BoxFuture<'_, Result<Box<dyn Notices>, Error>> {
        let receiver = self.sender.lock().unwrap().subscribe();
        async { Ok(Box::new(Heard(receiver)) as Box<dyn Notices>) }.boxed()
    }
}

struct Heard(broadcast::Receiver<String>);

impl Notices for Heard {
    fn next(&mut self) -> BoxFuture<'_, Result<String, Error>> {
        async { self.0.recv().await.map_err(|_| Error::Lost) }.boxed()
    }
}

fn wires() -> Vec<Arc<dyn Wire>> {
    let mut wires: Vec<Arc<dyn Wire>> = vec![Arc::new(Memory::default())];
    #[expect(clippy::disallowed_methods, reason = "how the test script tells of its servers")]
    let (postgres, nats) = (std::env::var("PODMAIL_TEST_POSTGRES"), std::env::var("PODMAIL_TEST_NATS"));
    if let Ok(url) = postgres {
        wires.push(Arc::new(Postgres::new(&url).unwrap()));
    }
    if let Ok(url) = nats {
        wires.push(Arc::new(Nats::new(&url)));
    }
    wires
}

fn timing() -> Timing {
    Timing { backoff: (Duration::from_millis(1), Duration::from_millis(10)), ..Timing::default() }
}

fn node(wire: &Arc<dyn Wire>, name: &'static str, tasks: &Tasks, timing: Timing) -> Bus {
    let (bus, wire, token) = (Bus::default(), Arc::clone(wire), tasks.token());
    let linked = bus.clone();
    tasks.spawn("link", async move { linked.link(wire, name, timing, token).await });
    bus
}

/// Until the listener listens nothing is heard; it wakes every topic when it begins.
async fn settled(bus: &Bus) {
    for topic in Topic::ALL {
        timeout(SOON, bus.wait(topic, LONG)).await.expect("woken when the listener begins");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn news_of_one_node_wakes_the_other_and_only_in_its_topic() {
    for wire in wires() {
        let tasks = Tasks::new();
        let (a, b) = (node(&wire, "a", &tasks, timing()), node(&wire, "b", &tasks, timing()));
        settled(&a).await;
        settled(&b).await;
        for topic in Topic::ALL {
            a.publish(topic);
            timeout(SOON, b.wait(topic, LONG)).await.unwrap_or_else(|_| panic!("{topic:?} over {wire:?}"));
        }
        b.publish(Topic::Outbound);
        timeout(SOON, a.wait(Topic::Outbound, LONG)).await.expect("and the other way");
        drop(tasks.shutdown(SOON).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_untold_at_the_end_is_told_before_the_node_goes() {
    for wire in wires() {
        let (staying, going) = (Tasks::new(), Tasks::new());
        let b = node(&wire, "b", &staying, timing());
        settled(&b).await;
        let slow = Timing { pace: LONG, ..timing() };
        let a = node(&wire, "a", &going, slow);
        settled(&a).await;
        a.publish(Topic::Events);
        timeout(SOON, b.wait(Topic::Events, LONG)).await.expect("the first is told at once");
        // The second has to wait for the pace, and the node ends before.
        a.publish(Topic::Webhooks);
        assert_eq!(going.shutdown(SOON).await, podmail_jobs::Stopped::Clean);
        timeout(SOON, b.wait(Topic::Webhooks, LONG)).await.expect("told at the end");
        drop(staying.shutdown(SOON).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_changes_at_once_are_one_notice() {
    let memory = Memory::default();
    let wire: Arc<dyn Wire> = Arc::new(memory.clone());
    let tasks = Tasks::new();
    let a = node(&wire, "a", &tasks, timing());
    for _ in 0..1000 {
        a.publish(Topic::Events);
        a.publish(Topic::Outbound);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(memory.sent.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_opened_again_and_what_was_missed_is_looked_for() {
    let memory = Memory::default();
    let wire: Arc<dyn Wire> = Arc::new(memory.clone());
    let tasks = Tasks::new();
    let (a, b) = (node(&wire, "a", &tasks, timing()), node(&wire, "b", &tasks, timing()));
    settled(&b).await;
    memory.cut();
    settled(&b).await;
    a.publish(Topic::Purges);
    timeout(SOON, b.wait(Topic::Purges, LONG)).await.expect("heard over the new connection");
    drop(tasks.shutdown(SOON).await);
}

#[tokio::test(start_paused = true)]
async fn a_wire_that_swallows_everything_is_noticed_by_its_silence() {
    #[derive(Debug, Default)]
    struct Mute(AtomicUsize);
    struct Nothing;
    impl Wire for Mute {
        fn send<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), Error>> {
            async { Ok(()) }.boxed()
        }
        fn listen(&self) -> BoxFuture<'_, Result<Box<dyn Notices>, Error>> {
            self.0.fetch_add(1, Ordering::SeqCst);
            async { Ok(Box::new(Nothing) as Box<dyn Notices>) }.boxed()
        }
    }
    impl Notices for Nothing {
        fn next(&mut self) -> BoxFuture<'_, Result<String, Error>> {
            std::future::pending().boxed()
        }
    }
    let mute = Arc::new(Mute::default());
    let wire: Arc<dyn Wire> = mute.clone();
    let tasks = Tasks::new();
    let _bus = node(&wire, "a", &tasks, Timing::default());
    tokio::time::sleep(Duration::from_secs(95)).await;
    assert_eq!(mute.0.load(Ordering::SeqCst), 1);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(mute.0.load(Ordering::SeqCst), 2);
}
