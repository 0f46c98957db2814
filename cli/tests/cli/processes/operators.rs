//! Rows 22 and 23: an operator who clicks twice, and two operators who want different things.

use super::world::{LEASE, World};
use crate::cli::client::Api;
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Fails, and is then so patient that nothing but people moves it.
const PATIENT: &str = "
saga: patient
steps:
  - step: fail
    action: demo.fail
    input: { kind: transient }
    compensation: demo.undo
    probe: demo.probe
    retry: { attempts: 10000, backoff: 8000h..8000h }
  - step: done
    action: demo.echo
    pivot: true
";
const CLICKS: usize = 20;
const ROUNDS: usize = 100;

/// An act's answer: status, whether it is a replay, body.
async fn act(api: &Api, saga: &str, act: &str, seq: &Value) -> (StatusCode, bool, Value) {
    let url = format!("{}/sagas/{saga}/{act}", api.base);
    let body = json!({ "reason": "a test", "seq": seq });
    let answer = api.http.post(url).bearer_auth(&api.token).json(&body).send().await.unwrap();
    let replayed = answer.headers().get("idempotent-replayed").is_some_and(|value| value == "true");
    (answer.status(), replayed, answer.json().await.unwrap())
}

/// Two APIs, a worker, and a definition whose sagas wait for people.
async fn house(world: &World) -> (impl Sized, Api, Api) {
    let (first, api) = world.api(&[]).await;
    let (second, other) = world.another_api("other-api", &[]).await;
    let worker = world.worker("worker", &[LEASE]).await;
    api.define("patient", PATIENT).await;
    ((first, second, worker), api, other)
}

/// Ends what waits for people.
async fn cancel(api: &Api, saga: &str) {
    let seq = api.saga_is(saga, "waiting").await["seq"].clone();
    let (status, _, answer) = act(api, saga, "cancel", &seq).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_clicks_are_one_act() {
    let world = World::new().await;
    let (_running, api, other) = house(&world).await;
    let saga = api.start("patient", "clicks", json!({})).await;
    let seq = api.saga_is(&saga, "waiting").await["seq"].clone();
    let clicks = (0..CLICKS).map(|click| act(if click % 2 == 0 { &api } else { &other }, &saga, "retry", &seq));
    let answers = join_all(clicks).await;
    assert!(answers.iter().all(|(status, ..)| *status == StatusCode::ACCEPTED), "{answers:#?}");
    assert_eq!(answers.iter().filter(|(_, replayed, _)| !replayed).count(), 1, "{answers:#?}");
    let bodies: BTreeSet<_> = answers.iter().map(|(.., body)| body.to_string()).collect();
    assert_eq!(bodies.len(), 1, "the same act has several answers: {bodies:?}");
    cancel(&api, &saga).await;
    let saga = api.saga_is(&saga, "compensated").await;
    let retries = saga["journal"].as_array().unwrap().iter().filter(|entry| entry["detail"]["act"] == "retry");
    assert_eq!(retries.count(), 1, "{saga:#}");
    world.is_sound(&api).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_acts_on_the_same_knowledge_one_is_done() {
    let world = World::new().await;
    let (_running, api, other) = house(&world).await;
    let ann = Api { token: world.new_token("operator", "ann"), ..api.clone() };
    let bob = Api { token: world.new_token("operator", "bob"), ..other };
    let sagas = join_all((0..ROUNDS).map(|round| {
        let api = &api;
        async move { api.start("patient", &format!("round-{round}"), json!({})).await }
    }))
    .await;
    for saga in &sagas {
        let seq = api.saga_is(saga, "waiting").await["seq"].clone();
        let (retry, cancel) = tokio::join!(act(&ann, saga, "retry", &seq), act(&bob, saga, "cancel", &seq));
        let (done, refused) = if retry.0 == StatusCode::ACCEPTED { (retry, cancel) } else { (cancel, retry) };
        assert_eq!((done.0, refused.0), (StatusCode::ACCEPTED, StatusCode::CONFLICT), "{done:?} {refused:?}");
        assert_eq!(refused.2["type"], "/problems/moved-on", "{refused:?}");
        assert!(refused.2["currentSeq"].as_i64() > seq.as_i64(), "it does not say where the saga is: {refused:?}");
        assert!(refused.2["detail"].as_str().is_some_and(|detail| detail.contains("The saga is at")), "{refused:?}");
    }
    for saga in &sagas {
        let found = api.saga(saga).await;
        let acts = found["journal"].as_array().unwrap().iter().filter(|entry| entry["kind"] == "acted").count();
        assert_eq!(acts, 1, "{found:#}");
        if found["state"] != "compensated" && found["state"] != "compensating" {
            cancel(&api, saga).await;
        }
    }
    world.is_sound(&api).await;
}
