//! Row 17: a step that takes its worker down with it, one that blocks it for ever, one that never answers.

use super::{program::Program, shop::kinds_of, until, world::World};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use tokio::task::JoinHandle;

const LEASE: (&str, &str) = ("SHOWRUNNER_WORKER__LEASE_SECS", "1");
/// After so many claims without an answer a saga is in front of a person.
const CLAIMS_MAX: usize = 5;

const CRASH: &str = "
saga: crash
steps:
  - step: crash
    action: demo.crash
    input: { times: 1000 }
    timeout: 1s
    compensation: demo.undo
  - step: done
    action: demo.echo
    pivot: true
";
const BLOCK: &str = "
saga: block
steps:
  - step: block
    action: demo.hang
    input: { block: true }
    timeout: 200ms
    compensation: demo.undo
  - step: done
    action: demo.echo
    pivot: true
";
const SILENT: &str = "
saga: silent
steps:
  - step: silent
    action: demo.hang
    timeout: 200ms
    retry: { attempts: 2, backoff: 10ms..10ms }
    compensation: demo.undo
    probe: demo.probe
  - step: done
    action: demo.echo
    pivot: true
";

/// A worker that is started again when it dies, as whoever runs it in production would.
struct Supervised {
    deaths: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
    supervising: JoinHandle<Program>,
}

impl Supervised {
    fn start(world: &Arc<World>, name: &'static str) -> Self {
        let (deaths, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (world, count, told) = (Arc::clone(world), Arc::clone(&deaths), Arc::clone(&ended));
        let supervising = tokio::spawn(async move {
            let mut worker = world.start_worker(name, &[LEASE]);
            while !told.load(Ordering::SeqCst) {
                if worker.exit().is_some() {
                    count.fetch_add(1, Ordering::SeqCst);
                    worker = world.start_worker(name, &[LEASE]);
                }
                tokio::time::sleep(super::LOOK_EVERY).await;
            }
            worker
        });
        Self { deaths, ended, supervising }
    }

    /// How often it has died, and the worker as it is in the end.
    async fn end(self) -> (usize, Program) {
        self.ended.store(true, Ordering::SeqCst);
        let worker = self.supervising.await.unwrap();
        (self.deaths.load(Ordering::SeqCst), worker)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_kills_or_hangs_its_worker_is_put_before_a_person() {
    let world = Arc::new(World::new().await);
    let (_program, api) = world.api(&[]).await;
    let workers = [Supervised::start(&world, "first"), Supervised::start(&world, "second")];
    for (name, yaml) in [("crash", CRASH), ("block", BLOCK), ("silent", SILENT)] {
        api.define(name, yaml).await;
    }
    let poisoned = [
        ("crash", api.start("crash", "crash", json!({})).await),
        ("block", api.start("block", "block", json!({})).await),
    ];
    let silent = api.start("silent", "silent", json!({})).await;

    // all others keep flowing
    let event = api.event(100).await;
    let mut flowing = 0;
    for (name, saga) in &poisoned {
        until(&format!("{name} is stuck"), async || {
            let placed = api.order(&event, &format!("buyer-{flowing}")).await;
            api.confirmed(&placed).await;
            flowing += 1;
            (api.saga(saga).await["state"] == "stuck").then_some(())
        })
        .await;
        let stuck = api.saga(saga).await;
        assert_eq!(stuck["failureCode"], "worker-lost", "{stuck:#}");
        assert_eq!(stuck["step"], *name);
        let attempts = kinds_of(&stuck, name).iter().filter(|kind| **kind == "intended").count();
        // a claim may have gone with a worker that the other one took down
        assert!((1..=CLAIMS_MAX).contains(&attempts), "{stuck:#}");
        let (_, why) = api.ask(Method::GET, &format!("/sagas/{saga}/why"), None).await;
        assert_eq!(why["waitingOn"], "person", "{why}");
        assert!(why["sentence"].as_str().unwrap().contains("workers died"), "{why}");
    }
    let cases = "select count(*) from engine.cases where cause = 'worker-lost' and closed_at is null";
    assert_eq!(world.number(cases).await, 2);
    it_was_in_doubt(&api.saga_is(&silent, "compensated").await);

    let mut deaths = 0;
    let mut blocked = 0;
    for worker in workers {
        let (died, worker) = worker.end().await;
        deaths += died;
        blocked += worker.log().matches("does not come back; this process ends with it").count();
    }
    assert!(deaths >= CLAIMS_MAX, "the workers died {deaths} times only");
    assert!(blocked > 0, "no worker has noticed that it was blocked");
    world.is_sound(&api).await;
}

/// Orders that a worker has claimed together with a step that takes it down, and that take longer than that step.
#[tokio::test(flavor = "multi_thread")]
async fn bystanders_do_not_go_down_with_it_again_and_again() {
    let world = Arc::new(World::new().await);
    let (_program, api) = world.api(&[]).await;
    api.define("crash", CRASH).await;
    world.fault(json!({ "fault": "slow", "operation": "all", "delayMs": 500 })).await;
    let event = api.event(100).await;
    let mut bystanders = Vec::new();
    for buyer in 0..6 {
        bystanders.push(api.order(&event, &format!("bystander-{buyer}")).await);
    }
    let crash = api.start("crash", "crash", json!({})).await;
    let worker = Supervised::start(&world, "worker");
    for placed in &bystanders {
        api.confirmed(placed).await;
    }
    assert_eq!(api.saga_is(&crash, "stuck").await["failureCode"], "worker-lost");
    let (deaths, _worker) = worker.end().await;
    assert_eq!(deaths, CLAIMS_MAX);
    let cases = "select count(*) from engine.cases";
    assert_eq!(world.number(cases).await, 1);
    world.is_sound(&api).await;
}

/// A call without an answer is in doubt, never failed: it is asked about. One of its two attempts may have gone with
/// a worker that another step took down, and is then asked about without having been timed out.
fn it_was_in_doubt(silent: &Value) {
    let kinds = kinds_of(silent, "silent");
    let doubts = kinds.iter().filter(|kind| **kind == "inDoubt").count();
    assert!(doubts > 0, "{silent:#}");
}
