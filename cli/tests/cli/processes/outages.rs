//! Rows 13 and 30: PostgreSQL crashes, connections are cut, hints are lost, a wake-up is lost.

use super::{
    servers::OwnPostgres,
    until,
    world::{LEASE, World},
};
use crate::cli::client::Api;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};
use tokio::task::JoinHandle;

const BUYERS: usize = 6;
const CRASHES: usize = 3;
/// How many orders are confirmed between two troubles.
const ORDERS_BETWEEN: usize = 5;
/// Ends every connection but the one that asks.
const CUT_ALL: &str = "select count(*) from (select pg_terminate_backend(pid) from pg_stat_activity
    where pid <> pg_backend_pid() and datname = current_database()) as cut";
/// Ends the connections over which hints come.
const CUT_LISTENERS: &str = "select count(*) from (select pg_terminate_backend(pid) from pg_stat_activity
    where query ilike 'listen %' and datname = current_database()) as cut";

/// Buyers who buy one seat after another, whatever happens.
struct Rush {
    over: Arc<AtomicBool>,
    confirmed: Arc<AtomicUsize>,
    buyers: Vec<JoinHandle<()>>,
}

impl Rush {
    fn begin(api: &Api, event: &str) -> Self {
        let (over, confirmed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let buyer = |number| {
            let (api, event) = (api.clone(), event.to_owned());
            let (over, confirmed) = (Arc::clone(&over), Arc::clone(&confirmed));
            tokio::spawn(async move {
                for purchase in 0.. {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    let placed = api.order(&event, &format!("{number}-{purchase}")).await;
                    api.confirmed(&placed).await;
                    confirmed.fetch_add(1, Ordering::SeqCst);
                }
            })
        };
        let buyers = (0..BUYERS).map(buyer).collect();
        Self { over, confirmed, buyers }
    }

    /// Waits until so many more are confirmed. Tells who has lost patience.
    async fn goes_on(&self) {
        let wanted = self.confirmed.load(Ordering::SeqCst) + ORDERS_BETWEEN;
        until("orders are confirmed again", async || {
            assert!(!self.buyers.iter().any(JoinHandle::is_finished), "a buyer got a wrong answer");
            (self.confirmed.load(Ordering::SeqCst) >= wanted).then_some(())
        })
        .await;
    }

    async fn end(self) {
        self.over.store(true, Ordering::SeqCst);
        for buyer in self.buyers {
            buyer.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_crashes_and_cuts_connections_and_everything_goes_on() {
    let mut world = World::on_own(OwnPostgres::start()).await;
    let (_program, api) = world.api(&[]).await;
    let (_first, _second) = (world.worker("first", &[LEASE]).await, world.worker("second", &[LEASE]).await);
    let event = api.event(500).await;
    let rush = Rush::begin(&api, &event);
    for _ in 0..CRASHES {
        rush.goes_on().await;
        assert!(world.number(CUT_ALL).await > 0);
        rush.goes_on().await;
        world.servers.own().crash();
        let (status, answer) = api.ask(Method::GET, "/readyz", None).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "it has not crashed: {answer}");
        world.servers.own().start_again();
        let back = Instant::now();
        until("an order is placed", async || {
            let (status, _) = api.try_ask(Method::GET, "/readyz", None).await.ok()?;
            (status == StatusCode::OK).then_some(())
        })
        .await;
        println!("measured: ready {:?} after the database was back", back.elapsed());
        rush.goes_on().await;
        println!("measured: {ORDERS_BETWEEN} orders confirmed {:?} after the database was back", back.elapsed());
    }
    rush.end().await;
    world.is_sound(&api).await;
    nothing_is_left_behind(&world).await;
    // each connection that is given back is rolled back, which nobody is to be warned of
    let log = world.servers.own().log();
    assert!(log.contains("database system is ready"), "this is not its log: {log}");
    assert_eq!(log.lines().find(|line| line.contains("no transaction in progress")), None);
}

/// No transaction is open, and nobody holds or awaits a lock.
async fn nothing_is_left_behind(world: &World) {
    let open = "select count(*) from pg_stat_activity where state like 'idle in transaction%'";
    world.number_is("no transaction is left open", open, |number| number == 0).await;
    let locks = "select count(*) from pg_locks where pid <> pg_backend_pid() and locktype <> 'virtualxid'";
    world.number_is("no lock is left", locks, |number| number == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_that_are_lost_are_not_missed() {
    let world = World::new().await;
    let (_program, api) = world.api(&[]).await;
    let _worker = world.worker("worker", &[LEASE]).await;
    let mut cut = 0;
    for number in 0..10 {
        // whoever listens again is cut again, so that nearly every hint is lost
        let saga = api.start("demo-greeting", &format!("{number}"), json!({ "name": "Ada" })).await;
        until("the saga is completed", async || {
            cut += world.number(CUT_LISTENERS).await;
            (api.saga(&saga).await["state"] == "completed").then_some(())
        })
        .await;
    }
    assert!(cut > 0, "nobody listened");
    let listeners =
        "select count(*) from pg_stat_activity where query ilike 'listen %' and datname = current_database()";
    world.number_is("hints are listened to again", listeners, |number| number > 0).await;
    world.is_sound(&api).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wake_up_that_is_lost_is_found_by_the_sweeper() {
    let world = World::new().await;
    let (_program, api) = world.api(&[]).await;
    // started while nobody works, so that nobody can be faster than the loss
    let saga = api.start("demo-greeting", "lost", json!({ "name": "Ada" })).await;
    let lose = format!(
        "with lost as (delete from engine.ready where saga_id = '{}' returning 1) select count(*) from lost",
        uuid_of(&saga)
    );
    assert_eq!(world.number(&lose).await, 1);
    assert_eq!(world.number("select count(*) from engine.violations").await, 1, "a lost wake-up is a violation");
    let worker = world.worker("worker", &[LEASE]).await;
    let completed: Value = api.saga_is(&saga, "completed").await;
    assert_eq!(completed["journal"].as_array().unwrap().len(), 5, "{completed:#}");
    assert!(worker.log().contains("1 sagas had lost their wake-up and have it again"));
    world.is_sound(&api).await;
}

/// As the database has it.
fn uuid_of(saga: &str) -> &str {
    saga.trim_start_matches("sag_")
}
