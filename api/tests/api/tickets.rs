//! Tickets on paper, and the keys that everybody may have.

use crate::support::App;
use axum::{
    body::{Body, to_bytes},
    http::{Request, header},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, VerifyingKey};
use orchestrator::ids::Uuid;
use serde_json::{Value, json};
use tower::ServiceExt;
use workflows::{
    ids::{OrderId, TicketId},
    tickets::{Payload, TicketKeys},
};

/// A ticket for the seat of an order, as a worker would issue it; with its code.
async fn issued(app: &App, order: OrderId) -> (TicketId, String) {
    let (event, seats): (Uuid, Vec<String>) =
        sqlx::query_as("select event_id, seat_ids from booking.orders where order_id = $1")
            .bind(order.0)
            .fetch_one(app.engine.pool())
            .await
            .unwrap();
    let ticket = TicketId::of(order, &seats[0]);
    let code = TicketKeys::development().sign(&Payload { ticket: ticket.0, event, seat: seats[0].clone() }).unwrap();
    sqlx::query(
        "insert into booking.tickets (ticket_id, order_id, event_id, seat_id, code) values ($1, $2, $3, $4, $5)",
    )
    .bind(ticket.0)
    .bind(order.0)
    .bind(event)
    .bind(&seats[0])
    .bind(&code)
    .execute(app.engine.pool())
    .await
    .unwrap();
    (ticket, code)
}

#[tokio::test]
async fn a_ticket_is_printed_for_its_owner_until_it_is_taken_back() {
    let app = App::new().await;
    let order: OrderId = app.order("anna").await.text("/orderId").parse().unwrap();
    let (ticket, _) = issued(&app, order).await;
    let path = format!("/tickets/{ticket}/pdf");
    let anna = app.token_of("anna").await;
    let request = Request::get(&path).header(header::AUTHORIZATION, format!("Bearer {anna}"));
    let response = app.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/pdf");
    assert_eq!(response.headers()[header::CONTENT_DISPOSITION], format!("inline; filename=\"{ticket}.pdf\""));
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    let document = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    assert!(document.starts_with(b"%PDF-"));

    let bob = app.token_of("bob").await;
    app.get(&bob, &path).await.expect_problem(404, "not-found");
    app.get(&anna, &format!("/tickets/{}/pdf", TicketId::fresh())).await.expect_problem(404, "not-found");
    sqlx::query("update booking.tickets set revoked_at = now(), revoked_reason = 'refunded' where ticket_id = $1")
        .bind(ticket.0)
        .execute(app.engine.pool())
        .await
        .unwrap();
    let gone = app.get(&anna, &path).await.expect_problem(410, "ticket-revoked");
    assert_eq!(gone.body["reason"], "refunded");
    app.get(&bob, &path).await.expect_problem(404, "not-found");
    assert_eq!(app.get(&anna, &format!("/tickets/{ticket}")).await.expect(200).body["valid"], false);
}

/// What a gate does that has nothing but the published keys: whose signature it is, and what was signed.
fn check_offline(keys: &Value, code: &str) -> Option<Value> {
    let mut parts = code.split('.');
    let (format, key_id, payload, signature) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let key = keys["keys"].as_array()?.iter().find(|key| key["kid"] == key_id)?;
    assert_eq!((&key["kty"], &key["crv"], format), (&json!("OKP"), &json!("Ed25519"), "SR1"));
    let key = VerifyingKey::try_from(bytes(key["x"].as_str()?)?.as_slice()).ok()?;
    let signed = code.rsplit_once('.')?.0;
    key.verify_strict(signed.as_bytes(), &Signature::from_slice(&bytes(signature)?).ok()?).ok()?;
    serde_json::from_slice(&bytes(payload)?).ok()
}

#[tokio::test]
async fn a_gate_checks_a_code_with_nothing_but_the_published_keys() {
    let app = App::new().await;
    let order: OrderId = app.order("anna").await.text("/orderId").parse().unwrap();
    let (ticket, code) = issued(&app, order).await;
    let published = app.get("", "/.well-known/ticket-keys").await.expect(200);
    assert_eq!(published.headers[header::CACHE_CONTROL], "public, max-age=300");
    let payload = check_offline(&published.body, &code).unwrap();
    assert_eq!(payload["t"], json!(ticket.0));
    let verdict = app.post("operator", "/tickets/verify", &json!({"code": code})).await.expect(200);
    assert_eq!((&verdict.body["valid"], &verdict.body["seatId"]), (&json!(true), &payload["s"]));

    let (head, signature) = code.rsplit_once('.').unwrap();
    let (key, payload) = head.rsplit_once('.').unwrap();
    let mut other: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    other["s"] = json!("royal-box-1");
    let forged = format!("{key}.{}.{signature}", URL_SAFE_NO_PAD.encode(other.to_string()));
    assert_eq!(check_offline(&published.body, &forged), None);

    let request = Request::get("/.well-known/ticket-keys").header(header::IF_NONE_MATCH, &published.headers["etag"]);
    app.send(request.body(Body::empty()).unwrap()).await.expect(304);
}
