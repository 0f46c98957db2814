//! Row 9 with real processes: refunds that the gateway refuses until a person has them tried again, one or many at once,
//! and the worker that does so is killed between its call and the record of it.

use super::{
    super::client::Api,
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

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_in_the_middle_of_many_replays_pays_each_back_once() {
    const REFUNDS: usize = 6;
    /// Where a machine is slow, nobody gives up on the gateway before the worker is killed.
    const PATIENT: (&str, &str) = ("SHOWRUNNER_GATEWAYS__PRIMARY__TIMEOUT_MS", "60000");
    let world = World::new().await;
    let (_program, api) = world.api(&[]).await;
    let mut worker = world.worker("first", &[LEASE, PATIENT]).await;
    let event = api.event(10).await;
    let mut orders = Vec::new();
    for buyer in 0..REFUNDS {
        orders.push(api.order(&event, &format!("buyer-{buyer}")).await);
    }
    world.fault(json!({"fault": "decline", "operation": "refund"})).await;
    let mut owed = Vec::new();
    for placed in &orders {
        api.confirmed(placed).await;
        let path = format!("/orders/{}/cancel", placed.order);
        owed.push(api.ask(Method::POST, &path, Some(json!({ "reason": "ill" }))).await.1);
    }
    for cancelled in &owed {
        api.saga_is(cancelled["sagaId"].as_str().unwrap(), "stuck").await;
    }
    world.no_more_faults().await;
    assert_eq!(refunds(&world).await, Vec::<Value>::new());

    // two are answered as ever, the next two are done and not answered for longer than the worker lives, two have to wait
    for (fault, delay_ms) in [("slow", 0), ("timeout_after", 60_000)] {
        world.fault(json!({"fault": fault, "operation": "refund", "count": 2, "delayMs": delay_ms})).await;
    }
    let ids: Vec<_> = owed.iter().map(|one| one["refundId"].clone()).collect();
    let wish = json!({"refundIds": ids, "dryRun": true, "concurrency": 2, "reason": "they say that it is mended"});
    let replays = "/refunds/replays";
    let (status, planned) = api.ask(Method::POST, replays, Some(wish)).await;
    assert_eq!((status, &planned["needsSecondPerson"]), (StatusCode::OK, &json!(true)), "{planned:#}");
    let (status, asked) = api.ask(Method::POST, replays, Some(json!({ "planId": planned["planId"] }))).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{asked}");
    let second = Api { token: api.second.clone(), ..api.clone() };
    let path = format!("/approvals/{}/approve", asked["approvalId"].as_str().unwrap());
    let (status, begun) = second.ask(Method::POST, &path, Some(json!({ "reason": "seen" }))).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{begun}");
    let path = format!("/batches/{}", planned["planId"].as_str().unwrap());
    let counts = async |fixed: usize, still_running: usize, waiting: usize| {
        let (_, batch) = api.ask(Method::GET, &path, None).await;
        let counts = &batch["counts"];
        let wanted = [("fixed", fixed), ("stillRunning", still_running), ("waiting", waiting)];
        wanted.iter().all(|(name, count)| counts[name] == *count).then_some(batch)
    };
    until("two are fixed, two on their way", async || counts(2, 2, 2).await).await;
    until("the gateway has paid four back", async || (refunds(&world).await.len() == 4).then_some(())).await;
    worker.kill();
    counts(2, 2, 2).await.expect("nobody has gone on with it");

    let _second = world.worker("second", &[LEASE]).await;
    let batch = until("all are fixed", async || counts(REFUNDS, 0, 0).await).await;
    let results = batch["items"].as_array().unwrap();
    assert_eq!((&batch["state"], results.len()), (&json!("completed"), REFUNDS), "{batch:#}");
    let books = refunds(&world).await;
    assert_eq!(books.len(), REFUNDS, "{books:#?}");
    for paid in &books {
        let keys = paid["idempotencyKeys"].as_array().unwrap();
        assert_eq!((&paid["asked"], keys.len(), &paid["status"]), (&json!(1), 1, &json!("succeeded")), "{paid:#}");
    }
    for (placed, cancelled) in orders.iter().zip(&owed) {
        let saga = api.saga_is(cancelled["sagaId"].as_str().unwrap(), "completed").await;
        let retries = saga["journal"].as_array().unwrap().iter().filter(|entry| entry["detail"]["act"] == "retry");
        assert_eq!(retries.count(), 1, "{saga:#}");
        assert_eq!(api.at_rest(placed).await["status"], "cancelled");
    }
    world.is_sound(&api).await;
}
