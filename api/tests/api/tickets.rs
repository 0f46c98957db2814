//! Tickets on paper, their keys, and messages that could not be delivered.

use crate::support::App;
use axum::{
    body::{Body, to_bytes},
    http::{HeaderValue, Request, header},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, VerifyingKey};
use orchestrator::{
    ids::{MessageId, Uuid},
    outbox::{Destination, Message, enqueue_in_tx},
};
use serde_json::{Value, json};
use tower::ServiceExt;
use workflows::{
    ids::{EventId, OrderId, TicketId},
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
    check_format("SR1", keys, code)
}

fn check_format(wanted: &str, keys: &Value, code: &str) -> Option<Value> {
    let mut parts = code.split('.');
    let (format, key_id, payload, signature) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
    let key = keys["keys"].as_array()?.iter().find(|key| key["kid"] == key_id)?;
    assert_eq!((&key["kty"], &key["crv"], format), (&json!("OKP"), &json!("Ed25519"), wanted));
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

#[tokio::test]
async fn a_gate_without_a_network_knows_what_was_taken_back_from_a_signed_list() {
    let app = App::new().await;
    let order: OrderId = app.order("anna").await.text("/orderId").parse().unwrap();
    let (ticket, code) = issued(&app, order).await;
    let keys = app.get("", "/.well-known/ticket-keys").await.expect(200).body;
    let payload = check_offline(&keys, &code).unwrap();
    let event: Uuid = payload["e"].as_str().unwrap().parse().unwrap();
    let path = format!("/.well-known/ticket-revocations?eventId={}", EventId(event));
    let ask = async |path: &str, etag: &HeaderValue| {
        let request = Request::get(path).header(header::IF_NONE_MATCH, etag);
        app.send(request.body(Body::empty()).unwrap()).await
    };
    let empty = app.get("", &path).await.expect(200);
    assert_eq!((&empty.body["items"], &empty.body["next"]), (&json!([]), &Value::Null));
    assert_eq!(empty.headers[header::CACHE_CONTROL], "public, max-age=30");
    ask(&path, &empty.headers["etag"]).await.expect(304);

    let taken_back = "update booking.tickets set revoked_at = now(), revoked_reason = 'refunded' where ticket_id = $1";
    sqlx::query(taken_back).bind(ticket.0).execute(app.engine.pool()).await.unwrap();
    let list = ask(&path, &empty.headers["etag"]).await.expect(200);
    ask(&path, &list.headers["etag"]).await.expect(304);
    assert_eq!(list.body["items"], json!([{ "ticketId": ticket }]));
    let signed = check_format("SRR1", &keys, list.body["signed"].as_str().unwrap()).unwrap();
    assert_eq!((&signed["e"], &signed["t"]), (&payload["e"], &json!([payload["t"]])), "as codes name them");
    assert_eq!((&signed["after"], &signed["through"]), (&Value::Null, &Value::Null));
    assert!(signed["at"].as_str().unwrap().ends_with('Z'), "{signed}");

    // of another event, by pages
    let other = app.event(1).await;
    sqlx::query(
        "insert into booking.tickets (ticket_id, order_id, event_id, seat_id, code, revoked_at, revoked_reason)
         select gen_random_uuid(), $1, $2, 'x', 'x', now(), 'refunded' from generate_series(1, 5)",
    )
    .bind(order.0)
    .bind(other.parse::<EventId>().unwrap().0)
    .execute(app.engine.pool())
    .await
    .unwrap();
    let (mut cursor, mut through, mut told) = (String::new(), Value::Null, Vec::new());
    loop {
        let path = format!("/.well-known/ticket-revocations?eventId={other}&limit=2{cursor}");
        let page = app.get("", &path).await.expect(200);
        let signed = check_format("SRR1", &keys, &page.text("/signed")).unwrap();
        assert_eq!(signed["after"], through, "no stretch is left out");
        through = signed["through"].clone();
        told.extend(signed["t"].as_array().unwrap().clone());
        assert_eq!(page.body["next"].is_null(), through.is_null());
        let Some(next) = page.body["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(told.len(), 5);
    assert!(told.is_sorted_by_key(|ticket| ticket.as_str()), "{told:?}");

    let of = |query: &str| format!("/.well-known/ticket-revocations{query}");
    app.get("", &of("")).await.expect_problem(400, "invalid-parameter");
    app.get("", &of(&format!("?eventId={}", EventId::fresh()))).await.expect_problem(404, "not-found");
    app.get("", &of(&format!("?eventId={other}&cursor=x"))).await.expect_problem(400, "invalid-cursor");
    app.get("", &of(&format!("?eventId={other}&limit=501"))).await.expect_problem(400, "invalid-parameter");
}

/// A message in the outbox, dead or not.
async fn message(app: &App, note: i32, dead: bool) -> MessageId {
    let message =
        Message { topic: "test".to_owned(), payload: json!({"note": note}), destination: Destination::Outside };
    let mut tx = app.engine.pool().begin().await.unwrap();
    enqueue_in_tx(&mut tx, &[message]).await.unwrap();
    let id = sqlx::query_scalar(
        "update engine.outbox set state = case when $2 then 'dead' else state end, attempts = 7, last_error = 'away'
         where payload = $1 returning message_id",
    )
    .bind(json!({"note": note}))
    .bind(dead)
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    MessageId(id)
}

#[tokio::test]
async fn what_could_not_be_delivered_is_listed_and_tried_again() {
    let app = App::new().await;
    let (first, waits, last) =
        (message(&app, 1, true).await, message(&app, 2, false).await, message(&app, 3, true).await);
    let page = app.get("operator", "/outbox?state=dead&limit=1").await.expect(200);
    let item = &page.body["items"][0];
    assert_eq!((&item["messageId"], &item["dueAt"]), (&json!(last), &Value::Null));
    assert_eq!((&item["topic"], &item["destination"]), (&json!("test"), &json!("outside")));
    assert_eq!(
        (&item["attempts"], &item["lastError"], &item["payload"]["note"]),
        (&json!(7), &json!("away"), &json!(3))
    );
    let next = page.text("/next");
    let page = app.get("finance", &format!("/outbox?state=dead&limit=1&cursor={next}")).await.expect(200);
    assert_eq!((&page.body["items"][0]["messageId"], &page.body["next"]), (&json!(first), &Value::Null));
    assert_eq!(app.get("finance", "/outbox").await.body["items"].as_array().unwrap().len(), 3);

    let retry = async |id: MessageId, body: Value| app.post("finance", &format!("/outbox/{id}/retry"), &body).await;
    let retried = retry(first, json!({"reason": "they are back"})).await.expect(202).body;
    assert_eq!((&retried["state"], &retried["attempts"]), (&json!("waiting"), &json!(0)));
    assert_eq!(retry(first, json!({"reason": "they are back"})).await.expect(202).body, retried, "once is enough");
    let untouched = retry(waits, json!({})).await.expect(202).body;
    assert_eq!((&untouched["state"], &untouched["attempts"]), (&json!("waiting"), &json!(7)));
    let path = format!("/outbox/{last}/retry");
    let nothing = Request::post(&path).header(header::AUTHORIZATION, format!("Bearer {}", app.token("operator")));
    app.send(nothing.body(Body::empty()).unwrap()).await.expect(202);

    let audit = app.get("admin", "/audit?act=outbox.retry").await.expect(200).body;
    let acts: Vec<_> = audit["items"].as_array().unwrap().iter().map(|act| (&act["actor"], &act["object"])).collect();
    assert_eq!(acts, [(&json!("operator"), &json!(last)), (&json!("finance"), &json!(first))]);
    retry(MessageId::fresh(), json!({})).await.expect_problem(404, "not-found");
    retry(first, json!({"reason": " "})).await.expect_problem(400, "invalid-value");
    retry(first, json!({"why": "x"})).await.expect_problem(400, "unknown-member");
    app.get("operator", "/outbox?state=lost").await.expect_problem(400, "invalid-parameter");
}
