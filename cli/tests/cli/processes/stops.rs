//! Row 31 and its rougher sister: workers that are asked to stop, and workers that are killed.

use super::{
    program::Program,
    shop::{Placed, kinds_of},
    until,
    world::{LEASE, LEASE_FOR_EVER, World},
};
use crate::cli::client::Api;
use serde_json::json;
use std::time::Instant;

const ORDERS: usize = 20;

/// Orders whose charges take so long, all in the middle of their calls.
async fn orders_in_flight(world: &World, api: &Api, event: &str, orders: usize, delay_ms: u64) -> Vec<Placed> {
    world.fault(json!({ "fault": "slow", "operation": "charge", "delayMs": delay_ms })).await;
    let captured_before = world.books().await.captured();
    let mut placed = Vec::new();
    for _ in 0..orders {
        placed.push(
            api.order(event, &format!("buyer-{}", world.number("select count(*) from booking.orders").await)).await,
        );
    }
    until("the calls have arrived", async || {
        (world.books().await.captured() == captured_before + orders).then_some(())
    })
    .await;
    world.no_more_faults().await;
    placed
}

/// The name under which a worker claims.
fn name_of(worker: &Program) -> String {
    let log = worker.log();
    let (_, rest) = log.split_once("\"worker.name\":\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

async fn how_it_was_paid(api: &Api, placed: &Placed) -> (Vec<String>, bool) {
    let saga = api.saga(&placed.saga).await;
    let kinds = kinds_of(&saga, "pay").into_iter().map(str::to_owned).collect();
    let entries = saga["journal"].as_array().unwrap();
    let success = entries.iter().find(|entry| entry["step"] == "pay" && entry["kind"] == "succeeded").unwrap();
    (kinds, success["detail"]["probed"] == true)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_had_goes_on_when_its_lease_ends() {
    let world = World::new().await;
    let (_program, api) = world.api(&[]).await;
    let event = api.event(100).await;
    let mut first = world.worker("first", &[LEASE]).await;
    let orders = orders_in_flight(&world, &api, &event, ORDERS, 8_000).await;
    let _second = world.worker("second", &[LEASE]).await;
    let left_behind = format!("select count(*) from engine.ready where worker = '{}'", name_of(&first));
    assert!(world.number(&left_behind).await > 0, "it has nothing to leave behind");
    let killed = Instant::now();
    first.kill();
    world.number_is("others have taken what it left behind", &left_behind, |number| number == 0).await;
    println!("measured: killed worker's sagas move again after {:?}, with a lease of 2 s", killed.elapsed());
    let mut asked_about = 0;
    for placed in &orders {
        api.confirmed(placed).await;
        asked_about += usize::from(how_it_was_paid(&api, placed).await.1);
    }
    assert!(asked_about > 0, "no call was in flight when it was killed");
    world.is_sound(&api).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_asked_to_stop_keeps_nothing_to_itself() {
    let world = World::new().await;
    let (_program, api) = world.api(&[]).await;
    let event = api.event(100).await;
    calls_end_in_their_time(&world, &api, &event).await;
    calls_that_take_longer_are_in_doubt(&world, &api, &event).await;
    world.is_sound(&api).await;
}

/// Its calls take five seconds and it has twenty: it records what they came to, and others do the rest.
async fn calls_end_in_their_time(world: &World, api: &Api, event: &str) {
    let drain = ("SHOWRUNNER_WORKER__DRAIN_SECS", "20");
    let mut patient = world.worker("patient", &[LEASE_FOR_EVER, drain]).await;
    let orders = orders_in_flight(world, api, event, ORDERS, 5_000).await;
    patient.terminate();
    let mut successor = world.worker("after-the-patient", &[LEASE_FOR_EVER]).await;
    // what it had not begun, or not yet claimed
    let fresh = api.order(event, "while-it-drains").await;
    api.confirmed(&fresh).await;
    assert!(patient.ended().await.success());
    let ended = Instant::now();
    for placed in &orders {
        api.confirmed(placed).await;
        let (kinds, asked_about) = how_it_was_paid(api, placed).await;
        assert!(!asked_about && !kinds.contains(&"inDoubt".to_owned()), "its answer was not recorded: {kinds:?}");
    }
    println!("measured: what a drained worker handed back was done {:?} after its end", ended.elapsed());
    successor.terminate();
    assert!(successor.ended().await.success());
}

/// It has one second: what the calls came to is for others to find out, at once.
async fn calls_that_take_longer_are_in_doubt(world: &World, api: &Api, event: &str) {
    let drain = ("SHOWRUNNER_WORKER__DRAIN_SECS", "1");
    let mut hasty = world.worker("hasty", &[LEASE_FOR_EVER, drain]).await;
    let orders = orders_in_flight(world, api, event, ORDERS, 5_000).await;
    let left_behind = format!("select count(*) from engine.ready where worker = '{}'", name_of(&hasty));
    assert_eq!(world.number(&left_behind).await, i64::try_from(ORDERS).unwrap());
    let _successor = world.worker("after-the-hasty", &[LEASE_FOR_EVER]).await;
    let asked = Instant::now();
    hasty.terminate();
    world.number_is("it has handed everything back", &left_behind, |number| number == 0).await;
    println!("measured: everything is handed back {:?} after SIGTERM, with 1 s to drain", asked.elapsed());
    assert!(hasty.ended().await.success());
    for placed in &orders {
        api.confirmed(placed).await;
        assert!(how_it_was_paid(api, placed).await.1, "nobody asked what became of its call");
    }
    println!("measured: and done {:?} after SIGTERM", asked.elapsed());
}
