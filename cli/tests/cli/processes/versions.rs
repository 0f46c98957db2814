//! Row 20: a definition changes under running sagas.

use super::world::{LEASE, World};
use crate::cli::client::Api;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const FIRST: &str = "
saga: travel
steps:
  - step: pack
    action: demo.echo
    compensation: demo.undo
  - step: wait
    action: demo.wait
    input: { signal: go }
    compensation: demo.undo
  - step: leave
    action: demo.echo
    pivot: true
";
/// Other steps, and those that stay in another order.
const SECOND: &str = "
saga: travel
steps:
  - step: wait
    action: demo.wait
    input: { signal: go }
    compensation: demo.undo
  - step: pack
    action: demo.echo
    pivot: true
  - step: write-home
    action: demo.echo
";
const NOBODY_KNOWS: &str = "
saga: travel
steps:
  - step: fly
    action: dragons.mount
";

/// The steps that a saga has done, in order.
fn done(saga: &Value) -> Vec<&str> {
    let entries = saga["journal"].as_array().unwrap().iter();
    let succeeded = entries.filter(|entry| entry["kind"] == "succeeded");
    succeeded.map(|entry| entry["step"].as_str().unwrap()).collect()
}

async fn go(api: &Api, saga: &str) {
    let seq = api.saga_is(saga, "waiting").await["seq"].clone();
    let signal = json!({ "name": "go", "payload": {}, "reason": "a test", "seq": seq });
    let (status, answer) = api.ask(Method::POST, &format!("/sagas/{saga}/signal"), Some(signal)).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sagas_stay_with_the_version_that_they_began_with() {
    let world = World::new().await;
    let (_program, api) = world.api(&[]).await;
    let (_other_program, other) = world.another_api("other-api", &[]).await;
    let mut worker = world.worker("worker", &[LEASE]).await;
    assert_eq!(api.define("travel", FIRST).await, 1);
    let old = api.start("travel", "old", json!({})).await;
    api.saga_is(&old, "waiting").await;
    assert_eq!(api.define("travel", SECOND).await, 2);
    let new = api.start("travel", "new", json!({})).await;
    // another process sees the change within a second, and a version that is asked for is there at once
    super::until("the other API starts version 2", async || {
        let number = world.number("select count(*) from engine.sagas").await;
        let saga = other.start("travel", &format!("other-{number}"), json!({})).await;
        let version = other.saga(&saga).await["version"].clone();
        go(&other, &saga).await;
        (version == 2).then_some(())
    })
    .await;
    let body = json!({ "definition": "travel", "version": 1, "idempotencyKey": "chosen", "input": {} });
    let (_, chosen) = api.ask(Method::POST, "/sagas", Some(body)).await;
    let chosen = chosen["sagaId"].as_str().unwrap();
    api.saga_is(chosen, "waiting").await;

    // by a worker that has never seen them
    worker.kill();
    let _worker = world.worker("another", &[LEASE]).await;
    for saga in [&old, &new, chosen] {
        go(&api, saga).await;
    }
    assert_eq!(done(&api.saga_is(&old, "completed").await), ["pack", "wait", "leave"]);
    assert_eq!(done(&api.saga_is(&new, "completed").await), ["wait", "pack", "write-home"]);
    assert_eq!(done(&api.saga_is(chosen, "completed").await), ["pack", "wait", "leave"]);
    world.is_sound(&api).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_release_does_not_know_it_does_not_run() {
    let world = World::new().await;
    let (_program, api) = world.api(&[]).await;
    let url = format!("{}/definitions/travel", api.base);
    let request = api.http.put(url).bearer_auth(&api.token).header("content-type", "application/yaml");
    let refused = request.body(NOBODY_KNOWS).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);

    // a release that lacks the actions has the saga stuck, with everything as it is
    let mut older = world.worker("older", &[LEASE, ("SHOWRUNNER_WORKER__DEMO_ACTIONS", "false")]).await;
    let saga = api.start("demo-greeting", "greeting", json!({ "name": "Ada" })).await;
    let stuck = api.saga_is(&saga, "stuck").await;
    assert_eq!((stuck["failureCode"].as_str(), done(&stuck)), (Some("action-unknown"), vec![]), "{stuck:#}");
    let cases = "select count(*) from engine.cases where cause = 'definition-unknown' and closed_at is null";
    assert_eq!(world.number(cases).await, 1);
    older.kill();

    // one that has them goes on where a person says so
    let _newer = world.worker("newer", &[LEASE]).await;
    let retry = json!({ "reason": "the new release is there", "seq": stuck["seq"] });
    let (status, answer) = api.ask(Method::POST, &format!("/sagas/{saga}/retry"), Some(retry)).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    assert_eq!(done(&api.saga_is(&saga, "completed").await), ["greet", "repeat", "part"]);
    world.is_sound(&api).await;
}
