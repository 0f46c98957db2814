//! Settlement files and days. What is in them is tested where it is done.

use crate::support::App;
use axum::{
    body::Body,
    http::{Request, header},
};
use serde_json::{Value, json};

const HEADING: &str =
    "balance_transaction_id,created_utc,currency,gross,fee,net,reporting_category,source_id,payment_intent_id";

async fn import(app: &App, who: &str, query: &str, text: impl Into<Body>) -> crate::support::Answer {
    let request = Request::post(format!("/settlements{query}"))
        .header(header::AUTHORIZATION, format!("Bearer {}", app.token(who)))
        .header(header::CONTENT_TYPE, "text/csv")
        .body(text.into())
        .unwrap();
    app.send(request).await
}

fn line(number: u32, gross: &str) -> String {
    format!("txn_{number},2026-11-26 10:00:00,eur,{gross},0.00,{gross},charge,ch_{number},pi_{number}\n")
}

#[tokio::test]
async fn a_file_is_taken_once_and_shown() {
    let app = App::new().await;
    let text = format!("{HEADING}\n{}{}", line(1, "45.00"), line(2, "10.00"));
    let taken = import(&app, "finance", "?gateway=primary", text.clone()).await.expect(201);
    assert_eq!((&taken.body["counts"], &taken.body["open"]), (&json!({"unexpected": 2}), &json!(2)));
    let shown = &taken.body["lines"][0];
    assert_eq!((&shown["line"], &shown["gross"]), (&json!(2), &json!({"amount": 4500, "currency": "EUR"})));
    assert_eq!(shown["acts"], json!(["write-off"]));
    let again = import(&app, "finance", "?gateway=primary", text).await.expect(200);
    assert_eq!(again.body["settlementId"], taken.body["settlementId"]);

    let path = format!("/settlements/{}", taken.text("/settlementId"));
    let page = app.get("finance", &format!("{path}?limit=1")).await.expect(200);
    let rest = app.get("finance", &format!("{path}?limit=1&cursor={}", page.text("/next"))).await.expect(200);
    assert_eq!((&rest.body["lines"][0]["line"], &rest.body["next"]), (&json!(3), &Value::Null));
    assert_eq!(app.get("finance", &format!("{path}?outcome=over")).await.expect(200).body["lines"], json!([]));
    app.get("finance", &format!("{path}?outcome=odd")).await.expect_problem(400, "invalid-parameter");
    app.get("finance", "/settlements/stl_01a2154859e97695bc168b9bbaa8c6a3").await.expect_problem(404, "not-found");
    app.get("viewer", &path).await.expect_problem(403, "wrong-role");

    let body = json!({"reason": "seen"});
    for (act, status, slug) in
        [("received", 409, "not-allowed"), ("resume", 409, "not-allowed"), ("odd", 404, "not-found")]
    {
        app.post("finance", &format!("{path}/lines/2/{act}"), &body).await.expect_problem(status, slug);
    }
    let lines = app.csv("finance", &format!("{path}?outcome=unexpected&limit=1")).await;
    assert!(lines[0].starts_with("line,outcome,state,movement,category,paymentReference"), "{lines:?}");
    assert_eq!(lines.len(), 3, "all that match: {lines:?}");
    assert!(lines[1].starts_with("2,unexpected,open,") && lines[1].contains(",4500,"), "{lines:?}");
    assert_eq!(app.csv("finance", &format!("{path}?outcome=matched")).await.len(), 1);
    let asked = app.post("finance", &format!("{path}/lines/2/write-off"), &body).await.expect(202);
    assert_eq!((&asked.body["state"], &asked.body["act"]), (&json!("open"), &json!("write-off")));
    let approve = format!("/approvals/{}/approve", asked.text("/approvalId"));
    app.post("finance", &approve, &body).await.expect_problem(403, "four-eyes");
    app.post("admin", &approve, &body).await.expect(202);
    let written = app.get("finance", &path).await.expect(200).body["lines"][0].clone();
    assert_eq!((&written["state"], &written["acts"]), (&json!("writtenOff"), &json!([])));
    app.post("finance", &format!("{path}/lines/9/received"), &body).await.expect_problem(404, "not-found");
    app.post("operator", &format!("{path}/lines/2/received"), &body).await.expect_problem(403, "wrong-role");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_refused_with_its_lines() {
    let app = App::new().await;
    let text = format!("{HEADING}\n{}{}{}", line(1, "45.00"), line(2, "ten"), line(3, "1.001"));
    let refused = import(&app, "finance", "?gateway=primary", text).await.expect_problem(422, "invalid-settlement");
    let lines: Vec<_> = refused.body["mistakes"].as_array().unwrap().iter().map(|mistake| &mistake["line"]).collect();
    assert_eq!(lines, [3, 4]);
    import(&app, "finance", "?gateway=none", "").await.expect_problem(404, "not-found");
    import(&app, "finance", "", "").await.expect_problem(400, "invalid-parameter");
    import(&app, "client", "?gateway=primary", "").await.expect_problem(403, "wrong-role");
    import(&app, "finance", "?gateway=primary", "").await.expect_problem(422, "invalid-settlement");
    // a quote that never ends is refused before it has come whole
    let endless = format!("{HEADING}\n\"{}", "x".repeat(1_000_000));
    import(&app, "finance", "?gateway=primary", endless).await.expect_problem(422, "invalid-settlement");
}

#[tokio::test]
async fn a_day_is_signed_off_once_it_is_over() {
    let app = App::new().await;
    let reason = json!({"reason": "it is right"});
    app.post("finance", "/days/2999-01-01/close", &reason).await.expect_problem(409, "not-allowed");
    let open = app.get("finance", "/days/2026-01-01").await.expect(200);
    assert_eq!((&open.body["closed"], &open.body["report"]["trialBalance"]), (&json!(false), &json!([])));
    let closed = app.post("finance", "/days/2026-01-01/close", &reason).await.expect(201);
    assert_eq!((&closed.body["closed"], &closed.body["closedBy"]), (&json!(true), &json!("finance")));
    let again = app.post("finance", "/days/2026-01-01/close", &json!({"reason": "again"})).await.expect(200);
    assert_eq!(again.body, closed.body);
    assert_eq!(app.get("finance", "/days/2026-01-01").await.expect(200).body, closed.body);
    // nothing has been posted
    assert_eq!(app.csv("finance", "/days/2026-01-01").await, ["part,name,gateway,amountMinor,currency,count"]);
    app.get("client", "/days/2026-01-01").await.expect_problem(403, "wrong-role");
    app.get("finance", "/days/tuesday").await.expect_problem(404, "not-found");
}
