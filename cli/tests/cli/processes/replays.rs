//! Row 9 with real processes: a refund that the gateway refuses until a person has it tried again, and the worker that
//! does so is killed between its call and the record of it.

use super::{
    until,
    world::{LEASE, World},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// What the primary has of refunds, by its own books.
async fn refunds(world: &World) -> Vec<Value> {
    let (_, books) = world.gateways.primary.control().ask(Method::GET, "/_sandbox/books", None).await;
    books["refunds"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_in_the_middle_of_a_replay_pays_back_once() {
    let world = World::new().await;
    let (_program, api) = world.api(&[]).await;
    let mut worker = world.worker("first", &[LEASE]).await;
    let event = api.event(10).await;
    let placed = api.order(&event, "ann").await;
    api.confirmed(&placed).await;
    world.fault(json!({"fault": "decline", "operation": "refund"})).await;
    let path = format!("/orders/{}/cancel", placed.order);
    let (status, cancelled) = api.ask(Method::POST, &path, Some(json!({ "reason": "ill" }))).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{cancelled}");
    let (saga, refund) = (cancelled["sagaId"].as_str().unwrap(), cancelled["refundId"].as_str().unwrap());
    api.saga_is(saga, "stuck").await;
    let (_, failed) = api.ask(Method::GET, &format!("/refunds/{refund}"), None).await;
    assert_eq!((&failed["state"], &failed["outstanding"]), (&json!("failed"), &failed["amount"]), "{failed:#}");
    assert_eq!(refunds(&world).await, Vec::<Value>::new());

    // done, and not answered for longer than the worker lives
    world.no_more_faults().await;
    world.fault(json!({"fault": "timeout_after", "operation": "refund", "count": 1, "delayMs": 60_000})).await;
    let path = format!("/refunds/{refund}/replay");
    let replays =
        (0..20).map(|_| api.ask(Method::POST, &path, Some(json!({ "reason": "they say that it is mended" }))));
    let answers = futures::future::join_all(replays).await;
    assert!(answers.iter().all(|(status, _)| *status == StatusCode::ACCEPTED), "the same person again: {answers:#?}");
    until("the gateway has paid back", async || (refunds(&world).await.len() == 1).then_some(())).await;
    worker.kill();
    let _second = world.worker("second", &[LEASE]).await;
    api.saga_is(saga, "completed").await;

    let [paid] = refunds(&world).await.try_into().unwrap();
    let keys = paid["idempotencyKeys"].as_array().unwrap();
    assert_eq!((&paid["asked"], keys.len(), &paid["status"]), (&json!(1), 1, &json!("succeeded")), "{paid:#}");
    assert!(keys[0].as_str().unwrap().ends_with(":4"), "after three that have failed: {paid:#}");
    let (status, refused) = api.ask(Method::POST, &path, Some(json!({ "reason": "once more" }))).await;
    assert_eq!((status, &refused["type"]), (StatusCode::CONFLICT, &json!("/problems/already-refunded")), "{refused}");
    let saga = api.saga(saga).await;
    let retries = saga["journal"].as_array().unwrap().iter().filter(|entry| entry["detail"]["act"] == "retry");
    assert_eq!(retries.count(), 1, "{saga:#}");
    assert_eq!(api.at_rest(&placed).await["status"], "cancelled");
    world.is_sound(&api).await;
}
