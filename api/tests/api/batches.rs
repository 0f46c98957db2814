//! One act on many sagas, as operators ask for it.

use crate::support::{App, BATCH_ALONE_MAX};
use axum::http::StatusCode;
use serde_json::{Value, json};
use workflows::batches::carry_out;

async fn started(app: &App, key: &str) -> String {
    let body = json!({"definition": "demo-greeting", "input": {"name": "anna"}, "idempotencyKey": key,
        "tags": {"colour": "red"}});
    app.post("client", "/sagas", &body).await.expect(202).text("/sagaId")
}

fn plan(filter: Value) -> Value {
    json!({"act": "cancel", "filter": filter, "dryRun": true, "ratePerSecond": 1000, "reason": "a mistake"})
}

#[tokio::test]
async fn a_batch_does_what_its_plan_has_said_once() {
    let app = App::new().await;
    let (first, second) = (started(&app, "1").await, started(&app, "2").await);
    let killed = started(&app, "3").await;
    app.kill(&killed, 1).await;
    let planned = app.post("operator", "/batches", &plan(json!({"tag.colour": "red"}))).await.expect(200);
    let groups = planned.body["groups"].as_array().unwrap();
    assert_eq!((&groups[0]["count"], &groups[0]["wouldAct"]), (&json!(2), &json!(true)), "{groups:?}");
    assert_eq!((&groups[1]["sagaIds"], &groups[1]["wouldAct"]), (&json!([killed]), &json!(false)), "{groups:?}");
    // one that comes later is not in it
    let later = started(&app, "4").await;
    let batch = planned.text("/planId");
    let begin = json!({ "planId": batch });
    app.post("admin", "/batches", &begin).await.expect_problem(409, "not-allowed");
    let begun = app.post("operator", "/batches", &begin).await.expect(202);
    assert_eq!(begun.text("/batchId"), batch);
    let again = app.post("operator", "/batches", &begin).await.expect(202);
    assert_eq!(
        (again.text("/batchId"), &again.headers["idempotent-replayed"]),
        (batch.clone(), &"true".parse().unwrap())
    );

    let path = format!("/batches/{batch}");
    while app.get("operator", &path).await.expect(200).body["counts"]["waiting"] != 0 {
        carry_out(&app.engine).await.unwrap();
    }
    carry_out(&app.engine).await.unwrap();
    let seen = app.get("operator", &path).await.expect(200).body;
    assert_eq!((&seen["state"], &seen["counts"]["stillRunning"]), (&json!("completed"), &json!(2)), "{seen}");
    let left = app.get("viewer", &format!("{path}?result=notAttempted")).await.expect(200).body;
    assert_eq!(
        (&left["items"][0]["sagaId"], &left["reason"], &left["redacted"]),
        (&json!(killed), &Value::Null, &json!(true))
    );
    for saga in [first, second] {
        let why = app.get("operator", &format!("/audit?act=cancel&object={saga}")).await.expect(200).body;
        assert_eq!((&why["items"][0]["actor"], &why["items"][0]["reason"]), (&json!("operator"), &json!("a mistake")));
    }
    assert_eq!(app.get("operator", &format!("/sagas/{later}")).await.expect(200).body["seq"], 1);
    let listed = app.get("viewer", "/batches").await.expect(200).body;
    assert_eq!(listed["items"][0]["batchId"], batch);
    let recorded = app.get("viewer", &format!("/audit?act=batch.start&object={batch}")).await.expect(200).body;
    assert_eq!(recorded["items"].as_array().unwrap().len(), 1);
    let page = app.get("operator", &format!("{path}?limit=2")).await.expect(200).body;
    let next = page["next"].as_str().unwrap();
    let rest = app.get("operator", &format!("{path}?limit=2&cursor={next}")).await.expect(200).body;
    assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
}

#[tokio::test]
async fn a_batch_is_held_up_goes_on_and_ends_as_people_say() {
    let app = App::new().await;
    let saga = started(&app, "1").await;
    let planned = app.post("operator", "/batches", &plan(json!({"sagaIds": [saga]}))).await.expect(200);
    let path = format!("/batches/{}", planned.text("/planId"));
    let because = json!({"reason": "wait"});
    app.post("operator", &format!("{path}/pause"), &because).await.expect_problem(409, "not-allowed");
    app.post("operator", "/batches", &json!({"planId": planned.text("/planId")})).await.expect(202);
    for (act, state) in [("pause", "paused"), ("resume", "running"), ("abort", "aborted")] {
        let done = app.post("operator", &format!("{path}/{act}"), &because).await.expect(202);
        assert_eq!(done.text("/state"), state);
        let again = app.post("operator", &format!("{path}/{act}"), &because).await.expect(202);
        assert_eq!(again.headers["idempotent-replayed"], "true");
    }
    app.post("operator", &format!("{path}/resume"), &because).await.expect_problem(409, "not-allowed");
    carry_out(&app.engine).await.unwrap();
    let seen = app.get("operator", &path).await.expect(200).body;
    assert_eq!((&seen["counts"]["notAttempted"], &seen["endReason"]), (&json!(1), &json!("wait")));
    app.post("viewer", &format!("{path}/abort"), &because).await.expect_problem(403, "wrong-role");
}

#[tokio::test]
async fn what_cannot_be_planned_is_refused_by_name() {
    let app = App::new().await;
    started(&app, "1").await;
    let good = plan(json!({"state": "running"}));
    app.post("operator", "/batches", &good).await.expect(200);
    for (pointer, value) in [
        ("/act", json!("kill")),
        ("/filter", json!({})),
        ("/filter", json!({"state": "stuck"})),
        ("/filter/limit", json!({"limit": "5"})),
        ("/filter/state", json!({"state": 5})),
        ("/filter/sagaIds", json!({"sagaIds": ["x"]})),
        ("/filter/sagaIds", json!({"sagaIds": [], "state": "stuck"})),
        ("/filter/failedAgainIn", json!({"failedAgainIn": "sag_1"})),
        ("/ratePerSecond", json!(0)),
        ("/ratePerSecond", json!(1001)),
        ("/concurrency", json!(0)),
        ("/abortAtFailureRate", json!(0)),
        ("/abortAtFailureRate", json!(1.5)),
        ("/reason", json!(" ")),
        ("/dryRun", json!(false)),
    ] {
        let mut body = good.clone();
        let member = pointer.split('/').nth(1).unwrap();
        body[member] = value;
        let refused = app.post("operator", "/batches", &body).await.expect_problem(400, "invalid-value");
        assert_eq!(refused.text("/pointer"), pointer, "{body}");
    }
    let odd = app.post("operator", "/batches", &plan(json!({"stat": "stuck"}))).await;
    odd.expect_problem(400, "unknown-parameter");
    let both = json!({"planId": "bat_00000000000000000000000000000000", "reason": "r"});
    app.post("operator", "/batches", &both).await.expect_problem(400, "invalid-value");
    let unknown = json!({"planId": "bat_00000000000000000000000000000000"});
    app.post("operator", "/batches", &unknown).await.expect_problem(404, "not-found");
    let nowhere = app.get("operator", "/batches/bat_00000000000000000000000000000000").await;
    assert_eq!(nowhere.expect_problem(404, "not-found").status, StatusCode::NOT_FOUND);
    app.post("client", "/batches", &good).await.expect_problem(403, "wrong-role");
}

#[tokio::test]
async fn a_large_batch_begins_when_a_second_person_consents() {
    let app = App::new().await;
    let mut sagas = Vec::new();
    for number in 0..=BATCH_ALONE_MAX {
        sagas.push(started(&app, &format!("{number}")).await);
    }
    let planned = app.post("operator", "/batches", &plan(json!({ "sagaIds": sagas }))).await.expect(200);
    let begin = json!({ "planId": planned.text("/planId") });
    let asked = app.post("operator", "/batches", &begin).await.expect(202).text("/approvalId");
    let again = app.post("operator", "/batches", &begin).await.expect(202);
    assert_eq!(
        (again.text("/approvalId"), &again.headers["idempotent-replayed"]),
        (asked.clone(), &"true".parse().unwrap())
    );
    let path = format!("/batches/{}", planned.text("/planId"));
    assert_eq!(app.get("operator", &path).await.expect(200).body["state"], "planned");
    let consent = json!({"reason": "seen"});
    app.post("operator", &format!("/approvals/{asked}/approve"), &consent).await.expect_problem(403, "four-eyes");
    app.post("admin", &format!("/approvals/{asked}/approve"), &consent).await.expect(202);
    let begun = app.get("operator", &path).await.expect(200).body;
    assert_eq!((&begun["state"], &begun["by"]), (&json!("running"), &json!("operator")));
    app.post("operator", "/batches", &begin).await.expect(202);

    let small = app.post("operator", "/batches", &plan(json!({ "sagaIds": sagas[1..] }))).await.expect(200);
    let begun = app.post("operator", "/batches", &json!({ "planId": small.text("/planId") })).await.expect(202);
    assert_eq!(begun.body["state"], "running", "one person is enough");
}
