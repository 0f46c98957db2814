//! Replays of many refunds, as finance asks for them. What is done to each is tested where it is done.

use crate::{
    refunds::{paid, person},
    support::{Answer, App, until},
};
use axum::{
    body::Body,
    http::{Request, header},
};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use workflows::{access::Role, batches::carry_out};

/// A refund of 45.00 EUR that has failed, whose saga is over, and its order.
async fn failed(app: &App) -> (String, String) {
    let (order, _) = paid(app, 1).await;
    let body = json!({"reason": "late doors", "idempotencyKey": order});
    let asked = app.post("finance", &format!("/orders/{order}/refunds"), &body).await.expect(202);
    app.kill(&asked.text("/sagaId"), 1).await;
    let refund = asked.text("/refundId").split_once('_').unwrap().1.to_owned();
    let over = format!("update booking.refunds set state = 'failed', finished_at = now() where refund_id = '{refund}'");
    sqlx::query(AssertSqlSafe(over)).execute(app.engine.pool()).await.unwrap();
    (asked.text("/refundId"), order)
}

fn wish(refunds: &[&str]) -> Value {
    json!({"refundIds": refunds, "dryRun": true, "ratePerSecond": 1000, "reason": "the bank is well again"})
}

async fn bring(app: &App, who: &str, query: &str, text: impl Into<Body>) -> Answer {
    let request = Request::post(format!("/refunds/replays{query}"))
        .header(header::AUTHORIZATION, format!("Bearer {}", app.token(who)))
        .header(header::CONTENT_TYPE, "text/csv; charset=utf-8")
        .body(text.into())
        .unwrap();
    app.send(request).await
}

#[tokio::test]
async fn exactly_what_was_planned_begins_when_a_second_person_consents() {
    let app = App::new().await;
    let ((first, _), (second, _)) = (failed(&app).await, failed(&app).await);
    let unknown = "ref_00000000000000000000000000000000";
    let planned = app.post("finance", "/refunds/replays", &wish(&[&first, &second, unknown])).await.expect(200);
    let sent = json!({"verdict": "will be sent to primary", "wouldAct": true, "count": 2,
        "refundIds": [first, second], "amounts": [{"amount": 9000, "currency": "EUR"}]});
    let refused = json!({"verdict": "not done: there is no such refund", "wouldAct": false, "count": 1,
        "refundIds": [unknown], "amounts": []});
    let plan = planned.text("/planId");
    let expected = json!({"planId": plan, "groups": [sent, refused], "needsSecondPerson": true, "by": "finance",
        "badLines": []});
    assert_eq!(planned.body, expected);

    let begin = json!({ "planId": plan });
    app.post("operator", "/refunds/replays", &begin).await.expect_problem(403, "wrong-role");
    app.post("admin", "/batches", &begin).await.expect_problem(409, "not-allowed");
    let asked = app.post("finance", "/refunds/replays", &begin).await.expect(202);
    let again = app.post("finance", "/refunds/replays", &begin).await.expect(202);
    assert_eq!((&again.body, &again.headers["idempotent-replayed"]), (&asked.body, &"true".parse().unwrap()));
    let approvals = app.get("finance", "/approvals?state=requested").await.expect(200);
    let content = &approvals.body["items"][0]["content"];
    assert_eq!((&content["refunds"], &content["outstandingMinor"]), (&json!(2), &json!({"EUR": 9000})), "{content}");
    let consent = json!({"reason": "seen"});
    let path = format!("/approvals/{}/approve", asked.text("/approvalId"));
    app.post("finance", &path, &consent).await.expect_problem(403, "four-eyes");
    app.post("operator", &path, &consent).await.expect_problem(403, "wrong-role");
    let bert = person(&app, Role::Finance, "bert").await;
    app.post(&bert, &path, &consent).await.expect(202);

    let path = format!("/batches/{plan}");
    until("both are tried again", || async {
        carry_out(&app.engine).await.unwrap();
        app.get("finance", &path).await.expect(200).body["counts"]["stillRunning"] == 2
    })
    .await;
    let seen = app.get("finance", &path).await.expect(200).body;
    assert_eq!((&seen["act"], &seen["by"], &seen["state"]), (&json!("replay"), &json!("finance"), &json!("completed")));
    assert_eq!(seen["items"][0]["refundId"], first);
    let shown = app.get("finance", &format!("/refunds/{first}")).await.expect(200).body;
    assert_eq!((&shown["state"], &shown["sagaId"]), (&json!("approved"), &seen["items"][0]["sagaId"]));
    let lines = app.csv("finance", &path).await;
    assert_eq!(lines[0], "refundId,sagaId,verdict,result,detail");
    assert_eq!(
        (lines.len(), lines[3].as_str()),
        (4, format!("{unknown},,not done: there is no such refund,notAttempted,").as_str())
    );
    assert_eq!(app.csv("finance", &format!("{path}?result=notAttempted")).await.len(), 2);
    let acts = app.get("finance", &format!("/audit?act=refund.replay&object={first}")).await.expect(200);
    assert_eq!(acts.body["items"].as_array().unwrap().len(), 1);
    let again = app.post("finance", "/refunds/replays", &begin).await.expect(202);
    assert_eq!(again.body, asked.body, "the same answer as ever");
    let more = app.post("finance", "/refunds/replays", &wish(&[&first])).await.expect(200);
    assert_eq!(more.body["groups"][0]["verdict"], "not done: it is being carried out already");
    let begin = json!({"planId": more.text("/planId")});
    let refused = app.post("finance", "/refunds/replays", &begin).await.expect_problem(409, "not-allowed");
    assert!(refused.text("/detail").starts_with("nothing would be done"), "{:?}", refused.body);
}

#[tokio::test]
async fn finance_holds_up_its_own_and_operators_theirs() {
    let app = App::new().await;
    let (refund, _) = failed(&app).await;
    let planned = app.post("finance", "/refunds/replays", &wish(&[&refund])).await.expect(200);
    assert_eq!(planned.body["needsSecondPerson"], false);
    let begin = json!({"planId": planned.text("/planId")});
    let begun = app.post("finance", "/refunds/replays", &begin).await.expect(202);
    assert_eq!((begun.text("/batchId"), begun.text("/state")), (planned.text("/planId"), "running".to_owned()));
    let (path, because) = (format!("/batches/{}", begun.text("/batchId")), json!({"reason": "wait"}));
    let wrong = app.post("operator", &format!("{path}/pause"), &because).await.expect_problem(403, "wrong-role");
    assert_eq!(wrong.body["roles"], json!(["finance", "admin"]));
    for (act, state) in [("pause", "paused"), ("resume", "running"), ("abort", "aborted")] {
        assert_eq!(app.post("finance", &format!("{path}/{act}"), &because).await.expect(202).text("/state"), state);
    }
    carry_out(&app.engine).await.unwrap();
    let left = app.get("finance", &format!("{path}?result=notAttempted")).await.expect(200).body;
    assert_eq!(left["items"][0]["detail"], "the batch was aborted");
    assert_eq!(app.get("finance", &format!("/refunds/{refund}")).await.expect(200).body["state"], "failed");

    let saga = {
        let body = json!({"definition": "demo-greeting", "input": {"name": "anna"}, "idempotencyKey": "1"});
        app.post("client", "/sagas", &body).await.expect(202).text("/sagaId")
    };
    let body = json!({"act": "cancel", "filter": {"sagaIds": [saga]}, "dryRun": true, "reason": "a mistake"});
    let sagas = app.post("operator", "/batches", &body).await.expect(200).text("/planId");
    app.post("finance", &format!("/batches/{sagas}/pause"), &because).await.expect_problem(403, "wrong-role");
    let begin = json!({"planId": sagas});
    app.post("admin", "/refunds/replays", &begin).await.expect_problem(409, "not-allowed");
    let replay = json!({"act": "replay", "filter": {"sagaIds": [saga]}, "dryRun": true, "reason": "a mistake"});
    app.post("operator", "/batches", &replay).await.expect_problem(400, "invalid-value");
    let admins = app.post("admin", "/refunds/replays", &wish(&[&refund])).await.expect(200).text("/planId");
    app.post("admin", "/batches", &json!({"planId": admins})).await.expect_problem(404, "not-found");
}

#[tokio::test]
async fn a_filter_is_that_of_the_list_and_what_makes_no_sense_is_refused_by_name() {
    let app = App::new().await;
    let (refund, order) = failed(&app).await;
    let filtered = |filter: Value| json!({"filter": filter, "dryRun": true, "reason": "well again"});
    for filter in
        [json!({"state": "failed"}), json!({"q": order}), json!({"from": "2020-01-01T00:00:00Z", "q": refund})]
    {
        let planned = app.post("finance", "/refunds/replays", &filtered(filter)).await.expect(200);
        assert_eq!(planned.body["groups"][0]["refundIds"], json!([refund]));
    }
    let good = wish(&[&refund]);
    for (pointer, member, value) in [
        ("/dryRun", "dryRun", json!(false)),
        ("/reason", "reason", json!(" ")),
        ("/reason", "reason", Value::Null),
        ("/ratePerSecond", "ratePerSecond", json!(0)),
        ("/concurrency", "concurrency", json!(0)),
        ("/abortAtFailureRate", "abortAtFailureRate", json!(1.5)),
        ("/refundIds", "filter", json!({"state": "failed"})),
        ("/refundIds/0", "refundIds", json!(["x"])),
        ("/filter", "refundIds", json!([])),
        ("/filter", "refundIds", Value::Null),
        ("/planId", "planId", json!("bat_00000000000000000000000000000000")),
    ] {
        let mut body = good.clone();
        body[member] = value;
        let refused = app.post("finance", "/refunds/replays", &body).await.expect_problem(400, "invalid-value");
        assert_eq!(refused.text("/pointer"), pointer, "{body}");
    }
    for (pointer, filter) in [
        ("/filter", json!({})),
        ("/filter", json!({"state": "requested"})),
        ("/filter/state", json!({"state": "happy"})),
        ("/filter/from", json!({"from": "yesterday"})),
        ("/filter", json!({"failedAgainIn": "bat_00000000000000000000000000000000"})),
        ("/filter/failedAgainIn", json!({"failedAgainIn": "bat_00000000000000000000000000000000", "q": "x"})),
    ] {
        let body = filtered(filter);
        let refused = app.post("finance", "/refunds/replays", &body).await.expect_problem(400, "invalid-value");
        assert_eq!(refused.text("/pointer"), pointer, "{body}");
    }
    let odd = app.post("finance", "/refunds/replays", &filtered(json!({"stat": "failed"}))).await;
    odd.expect_problem(400, "unknown-member");
    let unknown = json!({"planId": "bat_00000000000000000000000000000000"});
    app.post("finance", "/refunds/replays", &unknown).await.expect_problem(404, "not-found");
}

#[tokio::test]
async fn a_file_is_planned_once_with_its_bad_lines() {
    let app = App::new().await;
    let ((first, _), (second, order)) = (failed(&app).await, failed(&app).await);
    let text =
        format!("refundId,orderId,amount\r\n{first},,4500\r\n,{order},\r\nref_1,,\r\n{first},,\r\n{second},,9\r\n");
    let planned = bring(&app, "finance", "?ratePerSecond=1000", text.clone()).await.expect(200);
    assert_eq!(planned.body["groups"][0]["refundIds"], json!([first, second]));
    let bad = json!([
        {"line": 4, "reason": "`refundId` is not the id of a refund"},
        {"line": 5, "reason": "line 2 names the same refund"},
        {"line": 6, "reason": "not that amount is outstanding, but 4500"},
    ]);
    assert_eq!(planned.body["badLines"], bad);
    let again = bring(&app, "admin", "?dryRun=true&reason=mine", text.clone()).await.expect(200);
    assert_eq!((&again.body, &again.headers["idempotent-replayed"]), (&planned.body, &"true".parse().unwrap()));
    let path = format!("/batches/{}", planned.text("/planId"));
    let seen = app.get("finance", &path).await.expect(200).body;
    assert!(seen["reason"].as_str().unwrap().starts_with("as in the file with the SHA-256 "), "{seen}");
    assert_eq!(seen["state"], "planned", "it waits for its confirmation");
    let begin = json!({"planId": planned.text("/planId")});
    let asked = app.post("finance", "/refunds/replays", &begin).await.expect(202);
    assert!(asked.body["approvalId"].is_string());
    bring(&app, "finance", "", text).await.expect(200);
    assert_eq!(app.post("finance", "/refunds/replays", &begin).await.expect(202).body, asked.body);

    let nothing = bring(&app, "finance", "", "orderId\nord_1\n").await.expect(200);
    assert_eq!((&nothing.body["planId"], &nothing.body["groups"]), (&Value::Null, &json!([])));
    assert_eq!(nothing.body["badLines"][0]["line"], 2);
    for text in ["", "refund\nref_1\n", "\u{0}"] {
        bring(&app, "finance", "", text).await.expect_problem(422, "invalid-replays");
    }
    bring(&app, "finance", "?dryRun=false", "refundId\n").await.expect_problem(400, "invalid-value");
    bring(&app, "finance", "?odd=1", "refundId\n").await.expect_problem(400, "unknown-parameter");
    let long = "x".repeat(5_000_000);
    bring(&app, "finance", "", long).await.expect_problem(413, "body-too-large");
    bring(&app, "viewer", "", "refundId\n").await.expect_problem(403, "wrong-role");
}
