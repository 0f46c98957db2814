//! Row 14: COMMIT is sent and the connection is gone. Whether it was done is unknown, and settled by writing the same
//! again, never guessed.

use super::{
    shop::Placed,
    until,
    world::{LEASE, LONG_LEASE, World},
};
use crate::cli::client::Api;
use private_servers::{Fault, Proxy, Spot};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// What can happen to a COMMIT: it is done and nobody is told; it never arrives; it arrives when the same is already
/// being written again.
const FAULTS: [Fault; 3] = [Fault::LoseAnswer, Fault::LoseRequest, Fault::Late];
/// Somebody waits for a transaction that has not ended.
const WAITING: &str = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";

/// Waits until the fault has happened and, where its COMMIT is still on its way, until somebody waits for it.
async fn let_it_happen(world: &World, proxy: &Proxy, fault: Fault, sprung: usize) {
    until("a COMMIT is lost", async || (proxy.sprung() >= sprung).then_some(())).await;
    if fault == Fault::Late {
        world.number_is("the same move waits for the one on its way", WAITING, |number| number > 0).await;
        proxy.release();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_unknown_fate_is_settled_by_writing_it_again() {
    let world = World::new().await;
    let (before_api, before_worker) =
        (Proxy::before(&world.database_url()).unwrap(), Proxy::before(&world.database_url()).unwrap());
    let (_program, api) = world.api(&[("DATABASE_URL", &before_api.url())]).await;
    let worker = world.worker("worker", &[LEASE, ("DATABASE_URL", &before_worker.url())]).await;
    let event = api.event(100).await;
    for fault in FAULTS {
        starts(&world, &api, &before_api, fault).await;
        orders(&world, &api, &before_api, &event, fault).await;
        moves(&world, &api, &before_worker, &event, fault).await;
    }
    assert!(worker.log().contains("A commit failed and is tried again"));
    assert_eq!(before_worker.sprung(), FAULTS.len() * MOVES.len());
    // what was started is started once
    assert_eq!(world.number("select count(*) from booking.orders").await, 2 * 3);
    let bookings = "select count(*) from engine.sagas where definition = 'book-tickets'";
    assert_eq!(world.number(bookings).await, 2 * 3);
    assert_eq!(world.number("select count(*) from engine.sagas where definition = 'demo-greeting'").await, 3);
    world.is_sound(&api).await;
}

/// A saga is started, by group commit.
async fn starts(world: &World, api: &Api, proxy: &Proxy, fault: Fault) {
    proxy.trap(Spot::CommitOf("greeting"), fault, 1);
    let sprung = proxy.sprung() + 1;
    let started = tokio::spawn({
        let api = api.clone();
        async move { api.start("demo-greeting", &format!("{fault:?}"), json!({ "name": "Ada" })).await }
    });
    let_it_happen(world, proxy, fault, sprung).await;
    let saga = started.await.unwrap();
    api.saga_is(&saga, "completed").await;
    assert_eq!(api.start("demo-greeting", &format!("{fault:?}"), json!({ "name": "Ada" })).await, saga);
}

/// An order is placed, in a transaction of its own. The buyer is told once and for all.
async fn orders(world: &World, api: &Api, proxy: &Proxy, event: &str, fault: Fault) {
    let buyer = format!("order-{fault:?}");
    let held = api.reserve(event, &buyer).await;
    proxy.trap(Spot::CommitOf("order"), fault, 1);
    let sprung = proxy.sprung() + 1;
    let placing = tokio::spawn({
        let (api, held, buyer) = (api.clone(), held.clone(), buyer.clone());
        async move { api.place(&held, &buyer).await }
    });
    let_it_happen(world, proxy, fault, sprung).await;
    let placed = placing.await.unwrap();
    api.confirmed(&placed).await;
    assert_eq!(api.place(&held, &buyer).await, placed);
}

/// What a booking's moves have in them, one after another: the intent, the charge's name, the answer with the sale.
const MOVES: [&str; 3] = ["\"intended\"", "\"prepared\"", "\"completed\""];

/// Every move of a booking loses its COMMIT.
async fn moves(world: &World, api: &Api, proxy: &Proxy, event: &str, fault: Fault) {
    let mut sprung = proxy.sprung();
    for spot in MOVES {
        proxy.trap(Spot::CommitOf(spot), fault, 1);
    }
    let placed = api.order(event, &format!("moves-{fault:?}")).await;
    for _ in MOVES {
        sprung += 1;
        let_it_happen(world, proxy, fault, sprung).await;
    }
    api.confirmed(&placed).await;
    let books = world.books().await;
    let charges: Vec<&Value> = books.of(&placed.order).collect();
    assert_eq!(charges.len(), 1, "{charges:#?}");
    assert_eq!(charges[0]["asked"], 1, "a lost COMMIT made it ask again");
}

/// What the moves of a booking have in them whose first charge never arrives: it is in doubt, asked about and ended, and
/// the next gateway is charged.
const MOVES_ASTRAY: [&str; 6] =
    ["\"intended\"", "\"prepared\"", "\"doubted\"", "\"voided\"", "\"intended\"", "\"completed\""];

/// The next charge at the primary never arrives.
async fn goes_astray(world: &World) {
    world.fault(json!({ "fault": "timeout_before", "operation": "charge", "count": 1, "delayMs": 0 })).await;
}

/// Each gateway was asked for an order's money once, and one of them has it.
async fn paid_at_the_second(world: &World, placed: &Placed) {
    let books = world.books().await;
    let charges: Vec<&Value> = books.of(&placed.order).collect();
    let story: Vec<_> = charges.iter().map(|charge| (charge["asked"].as_u64(), charge["captured"].as_i64())).collect();
    assert_eq!(story, [(Some(1), Some(0)), (Some(1), Some(5_000))], "{charges:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_goes_astray_loses_its_commits_and_is_paid_once() {
    let world = World::new().await;
    let (_program, api) = world.api(&[]).await;
    let event = api.event(100).await;
    {
        let proxy = Proxy::before(&world.database_url()).unwrap();
        let _worker = world.worker("worker", &[LONG_LEASE, ("DATABASE_URL", &proxy.url())]).await;
        for fault in FAULTS {
            astray(&world, &api, &proxy, &event, fault).await;
        }
        assert_eq!(proxy.sprung(), FAULTS.len() * MOVES_ASTRAY.len());
    }
    for spot in ["\"doubted\"", "\"voided\"", "\"completed\""] {
        dies_with_its_commit(&world, &api, &event, spot).await;
    }
    world.is_sound(&api).await;
}

/// Every move of it loses its COMMIT.
async fn astray(world: &World, api: &Api, proxy: &Proxy, event: &str, fault: Fault) {
    let mut sprung = proxy.sprung();
    for spot in MOVES_ASTRAY {
        proxy.trap(Spot::CommitOf(spot), fault, 1);
    }
    goes_astray(world).await;
    let placed = api.order(event, &format!("astray-{fault:?}")).await;
    for _ in MOVES_ASTRAY {
        sprung += 1;
        let_it_happen(world, proxy, fault, sprung).await;
    }
    api.confirmed(&placed).await;
    paid_at_the_second(world, &placed).await;
}

/// COMMIT is done, and the worker is killed before it hears of that.
async fn dies_with_its_commit(world: &World, api: &Api, event: &str, spot: &'static str) {
    let proxy = Proxy::before(&world.database_url()).unwrap();
    let mut victim = world.worker("victim", &[LONG_LEASE, ("DATABASE_URL", &proxy.url())]).await;
    proxy.trap(Spot::CommitOf(spot), Fault::HoldAnswer, 1);
    goes_astray(world).await;
    let placed = api.order(event, &format!("dies-{spot}")).await;
    until("its COMMIT is done", async || (proxy.sprung() == 1).then_some(())).await;
    victim.kill();
    let _successor = world.worker("successor", &[LONG_LEASE]).await;
    api.confirmed(&placed).await;
    paid_at_the_second(world, &placed).await;
}

/// A person's act is not repeated by us: the person is told that it is unknown, asks again, and is told what it was.
#[tokio::test(flavor = "multi_thread")]
async fn an_act_of_unknown_fate_is_done_once_when_it_is_asked_for_again() {
    let world = World::new().await;
    let proxy = Proxy::before(&world.database_url()).unwrap();
    let (_program, api) = world.api(&[("DATABASE_URL", &proxy.url())]).await;
    let _worker = world.worker("worker", &[LEASE]).await;
    for fault in [Fault::LoseAnswer, Fault::LoseRequest] {
        let saga = api.start("demo-wait", &format!("{fault:?}"), json!({})).await;
        let seq = api.saga_is(&saga, "waiting").await["seq"].clone();
        let path = format!("/sagas/{saga}/signal");
        let act = json!({ "name": "continue", "payload": {}, "reason": "a test", "seq": seq });
        proxy.trap(Spot::CommitOf("signalled"), fault, 1);
        let sprung = proxy.sprung() + 1;
        let (status, unknown) = api.ask(Method::POST, &path, Some(act.clone())).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{unknown}");
        assert_eq!(proxy.sprung(), sprung);
        let (status, done) = api.ask(Method::POST, &path, Some(act)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{done}");
        let completed = api.saga_is(&saga, "completed").await;
        let signals = completed["journal"].as_array().unwrap().iter().filter(|entry| entry["kind"] == "signalled");
        assert_eq!(signals.count(), 1, "{completed:#}");
    }
    world.is_sound(&api).await;
}
