//! What gateways tell.

use crate::support::{Answer, App, WEBHOOK_SECRET};
use api::{ApiSettings, LimitSettings};
use axum::{body::Body, http::Request};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use serde_json::{Value, json};
use workflows::gateways::signature::sign;

/// Now, by the database that the test runs on.
async fn now(app: &App) -> DateTime<Utc> {
    sqlx::query_scalar("select now()").fetch_one(app.engine.pool()).await.unwrap()
}

async fn send(app: &App, path: &str, header: &str, signed: &str, body: &str) -> Answer {
    let request = Request::post(path).header(header, signed).header("content-type", "application/json");
    app.send(request.body(Body::from(body.to_owned())).unwrap()).await
}

fn capture(reference: &str, event: &str) -> String {
    json!({"gateway": "primary", "reference": reference, "status": "captured", "amount": 4500, "eventId": event,
        "somethingNew": true})
    .to_string()
}

/// The order's charge, as a worker writes it down before it asks the gateway.
async fn intend_charge(app: &App, order: &str, saga: &str) {
    let id = |text: &str| text.split_once('_').unwrap().1.parse::<orchestrator::ids::Uuid>().unwrap();
    sqlx::query(
        "insert into booking.payments (payment_id, order_id, saga_id, gateway, key, status, amount_minor, currency)
         values (gen_random_uuid(), $1, $2, 'primary', 'k', 'pending', 4500, 'EUR')",
    )
    .bind(id(order))
    .bind(id(saga))
    .execute(app.engine.pool())
    .await
    .unwrap();
}

async fn journal(app: &App, saga: &str) -> Vec<Value> {
    app.get("operator", &format!("/sagas/{saga}")).await.expect(200).body["journal"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_capture_is_believed_by_its_signature_and_taken_once() {
    let app = App::new().await;
    let placed = app.order("anna").await;
    let (order, saga) = (placed.text("/orderId"), placed.text("/sagaId"));
    let path = format!("/orders/{order}/capture");
    let secret = SecretString::from(WEBHOOK_SECRET);
    intend_charge(&app, &order, &saga).await;
    let (body, at) = (capture("pi_1", "e1"), now(&app).await);
    let before = journal(&app, &saga).await.len();

    send(&app, &path, "x-other", "", &body).await.expect_problem(400, "invalid-signature");
    let forged = sign(body.as_bytes(), &SecretString::from("other"), at);
    send(&app, &path, "x-signature", &forged, &body).await.expect_problem(400, "invalid-signature");
    let right = sign(body.as_bytes(), &secret, at);
    send(&app, &path, "x-signature", &right, &body.replace("4500", "1")).await.expect_problem(400, "invalid-signature");
    for off in [-301, 301] {
        let late = sign(body.as_bytes(), &secret, at + TimeDelta::seconds(off));
        send(&app, &path, "x-signature", &late, &body).await.expect_problem(400, "invalid-signature");
    }
    assert_eq!(journal(&app, &saga).await.len(), before);

    for _ in 0..5 {
        send(&app, &path, "x-signature", &right, &body).await.expect(200);
    }
    assert_eq!(journal(&app, &saga).await.len(), before + 1);
    let other = "/orders/ord_00000000000000000000000000000000/capture";
    send(&app, other, "x-signature", &right, &body).await.expect_problem(404, "not-found");
}

#[tokio::test]
async fn copies_that_come_to_two_processes_at_once_are_taken_once() {
    let app = App::new().await;
    let other = app.another().await;
    let placed = app.order("anna").await;
    let (order, saga) = (placed.text("/orderId"), placed.text("/sagaId"));
    intend_charge(&app, &order, &saga).await;
    let before = journal(&app, &saga).await.len();
    let (path, body) = (format!("/orders/{order}/capture"), capture("pi_1", "e1"));
    let right = sign(body.as_bytes(), &SecretString::from(WEBHOOK_SECRET), now(&app).await);
    let copies = (0..6).map(|copy| {
        let through = if copy % 2 == 0 { &app } else { &other };
        send(through, &path, "x-signature", &right, &body)
    });
    for answer in futures::future::join_all(copies).await {
        answer.expect(200);
    }
    assert_eq!(journal(&app, &saga).await.len(), before + 1);
}

#[tokio::test]
async fn news_of_a_charge_that_is_unknown_here_is_answered_and_kept() {
    let app = App::new().await;
    let placed = app.order("anna").await;
    let (order, saga) = (placed.text("/orderId"), placed.text("/sagaId"));
    let before = journal(&app, &saga).await.len();
    let (path, body) = (format!("/orders/{order}/capture"), capture("pi_1", "e1"));
    let right = sign(body.as_bytes(), &SecretString::from(WEBHOOK_SECRET), now(&app).await);
    send(&app, &path, "x-signature", &right, &body).await.expect(200);
    assert_eq!(journal(&app, &saga).await.len(), before);
    let kept: (String, String) =
        sqlx::query_as("select outcome, reason from booking.webhook_inbox").fetch_one(app.engine.pool()).await.unwrap();
    assert_eq!(kept, ("unmatched".to_owned(), "unknown-charge".to_owned()));
}

#[tokio::test]
async fn a_gateway_s_webhook_needs_the_gateway_s_signature() {
    let app = App::new().await;
    let body = json!({"id": "evt_1", "object": "event", "type": "payment_intent.created", "created": 1,
        "data": {"object": {"id": "pi_1", "object": "payment_intent"}}})
    .to_string();
    let right = sign(body.as_bytes(), &SecretString::from(WEBHOOK_SECRET), now(&app).await);
    send(&app, "/webhooks/primary", "stripe-signature", &right, &body).await.expect(200);
    send(&app, "/webhooks/primary", "stripe-signature", &right, &body).await.expect(200);
    send(&app, "/webhooks/primary", "stripe-signature", "t=1,v1=00", &body)
        .await
        .expect_problem(400, "invalid-signature");
    send(&app, "/webhooks/nobody", "stripe-signature", &right, &body).await.expect_problem(404, "not-found");
    let large = "x".repeat(1024 * 1024 + 1);
    send(&app, "/webhooks/primary", "stripe-signature", &right, &large).await.expect_problem(413, "body-too-large");
}

#[tokio::test]
async fn wrong_signatures_are_counted_and_right_ones_are_not() {
    let limits = LimitSettings { address_per_minute: 2, ..LimitSettings::default() };
    let app = App::with(ApiSettings { limits, ..ApiSettings::default() }).await;
    let body = json!({"id": "evt_1", "object": "event", "type": "x", "created": 1, "data": {"object": {}}}).to_string();
    let right = sign(body.as_bytes(), &SecretString::from(WEBHOOK_SECRET), now(&app).await);
    let path = "/webhooks/primary";
    send(&app, path, "stripe-signature", "t=1,v1=00", &body).await.expect(400);
    send(&app, path, "stripe-signature", "t=1,v1=00", &body).await.expect(400);
    send(&app, path, "stripe-signature", "t=1,v1=00", &body).await.expect_problem(429, "rate-limited");
    for _ in 0..5 {
        send(&app, path, "stripe-signature", &right, &body).await.expect(200);
    }
}

#[tokio::test]
async fn news_of_what_moves_is_to_be_sent_again_soon() {
    let app = App::new().await;
    let placed = app.order("anna").await;
    let (order, saga) = (placed.text("/orderId"), placed.text("/sagaId"));
    intend_charge(&app, &order, &saga).await;
    sqlx::raw_sql(
        "create function booking.move_it() returns trigger language plpgsql as
         $$ begin update booking.payments set status = 'inDoubt'; return null; end $$;
         create trigger moves after insert on engine.journal for each row execute function booking.move_it()",
    )
    .execute(app.engine.pool())
    .await
    .unwrap();
    let (path, body) = (format!("/orders/{order}/capture"), capture("pi_1", "e1"));
    let right = sign(body.as_bytes(), &SecretString::from(WEBHOOK_SECRET), now(&app).await);
    let answer = send(&app, &path, "x-signature", &right, &body).await.expect_problem(503, "overloaded");
    assert_eq!(answer.headers["retry-after"], "1");
}
