//! Events, holds, orders, as programs that sell see them.

use crate::support::App;
use axum::{
    body::Body,
    http::{Method, Request, header},
};
use serde_json::{Value, json};

#[tokio::test]
async fn the_catalogue_is_found_and_kept() {
    let app = App::new().await;
    let event = app.event(4).await;
    let found = app.get("client", "/events?q=nabuco&date=2035-06-01&limit=1").await.expect(200);
    assert_eq!(found.body["items"][0]["eventId"], event);
    assert_eq!(found.body["next"], Value::Null);
    let shown = app.get("client", &format!("/events/{event}")).await.expect(200);
    assert_eq!(shown.body["startTime"], "2035-06-01T18:00:00Z");
    assert_eq!(shown.body["sections"][0]["price"], json!({"amount": 4500, "currency": "EUR"}));
    assert!(shown.headers[header::CACHE_CONTROL].to_str().unwrap().contains("max-age"));
    for path in [format!("/events/{event}"), format!("/events/{event}/seats"), "/events".to_owned()] {
        let first = app.get("client", &path).await.expect(200);
        let again = Request::get(&path)
            .header(header::AUTHORIZATION, format!("Bearer {}", app.token("client")))
            .header(header::IF_NONE_MATCH, first.headers[header::ETAG].clone());
        app.send(again.body(Body::empty()).unwrap()).await.expect(304);
    }
    let seats = app.get("client", &format!("/events/{event}/seats?section=Parterre")).await.expect(200);
    assert_eq!(seats.body["items"].as_array().unwrap().len(), 4);
    assert_eq!(seats.body["items"][0]["status"], "available");
    app.get("client", &format!("/events/{event}/seats?section=Moon")).await.expect_problem(400, "invalid-parameter");
    app.get("client", "/events/evt_00000000000000000000000000000000").await.expect_problem(404, "not-found");
}

#[tokio::test]
async fn an_event_that_cannot_be_is_refused_with_every_mistake() {
    let app = App::new().await;
    let body = json!({"name": "", "venue": "v", "startTime": "2026-03-29T02:30", "timeZone": "Europe/Berlin",
        "currency": "EURO", "sections": []});
    let refused = app.post("admin", "/events", &body).await.expect_problem(400, "invalid-event");
    assert!(refused.body["mistakes"].as_array().unwrap().len() >= 4, "{}", refused.body);
    let float = json!({"name": "n", "venue": "v", "startTime": "2035-01-01T00:00:00Z", "currency": "EUR",
        "sections": [{"name": "a", "rows": 1, "seatsPerRow": 1, "price": 45.0}]});
    let refused = app.post("admin", "/events", &float).await.expect_problem(400, "invalid-value");
    assert_eq!(refused.body["pointer"], "/sections/0/price");
}

#[tokio::test]
async fn a_hold_is_all_or_none_and_the_same_again_is_the_same() {
    let app = App::new().await;
    let event = app.event(3).await;
    let seats = app.seats(&event).await;
    let path = format!("/events/{event}/reserve");
    let body = json!({"userId": "anna", "seatIds": [seats[0], seats[1]], "holdToken": "t1"});
    let hold = app.post("client", &path, &body).await.expect(201);
    assert_eq!(hold.body["total"], json!({"amount": 9000, "currency": "EUR"}));
    let again = app.post("client", &path, &body).await.expect(200);
    assert_eq!(again.body["reserveId"], hold.body["reserveId"]);
    let ben = json!({"userId": "ben", "seatIds": [seats[1], seats[2]]});
    let refused = app.post("client", &path, &ben).await.expect_problem(409, "seats-unavailable");
    assert_eq!(refused.body["unavailable"], json!([seats[1]]));
    let stolen = json!({"userId": "ben", "seatIds": [seats[2]], "holdToken": "t1"});
    app.post("client", &path, &stolen).await.expect_problem(404, "not-found");
    let both = json!({"userId": "ben", "seatIds": [seats[2]], "bestAvailable": {"count": 1}});
    app.post("client", &path, &both).await.expect_problem(400, "invalid-value");
    app.post("client", &path, &json!({"userId": "ben", "seatIds": ["x"]})).await.expect_problem(400, "invalid-value");
    let release = format!("/reservations/{}", hold.text("/reserveId"));
    app.call(&app.token_of("ben").await, Method::DELETE, &release, None).await.expect_problem(404, "not-found");
    app.call("client", Method::DELETE, &release, None).await.expect(204);
    app.call("client", Method::DELETE, &release, None).await.expect(204);
    app.post("client", &path, &ben).await.expect(201);
}

#[tokio::test]
async fn an_order_is_placed_once_per_key() {
    let app = App::new().await;
    let event = app.event(2).await;
    let wish = json!({"userId": "anna", "bestAvailable": {"count": 2}});
    let hold = app.post("client", &format!("/events/{event}/reserve"), &wish).await.expect(201).text("/reserveId");
    let body = |key: &str, method: &str| json!({"reserveId": hold, "paymentMethod": method, "idempotencyKey": key});
    app.post("client", "/orders", &body("k", "4242424242424242")).await.expect_problem(400, "card-data-refused");
    app.post("client", "/orders", &body("", "pm_card_visa")).await.expect_problem(400, "invalid-value");
    let by_gateway = |method: Value| json!({"reserveId": hold, "paymentMethod": method, "idempotencyKey": "k"});
    let strange = by_gateway(json!({"primary": "pm_card_visa", "third": "tok_3"}));
    let refused = app.post("client", "/orders", &strange).await.expect_problem(400, "invalid-value");
    assert_eq!(refused.text("/detail"), "there is no gateway `third`");
    let card = by_gateway(json!({"4242424242424242": "tok_3"}));
    app.post("client", "/orders", &card).await.expect_problem(400, "card-data-refused");
    let placed = app.post("client", "/orders", &body("k", "pm_card_visa")).await.expect(202);
    let order = placed.text("/orderId");
    assert_eq!(placed.headers[header::LOCATION].to_str().unwrap(), format!("/orders/{order}"));
    let again = app.post("client", "/orders", &body("k", "pm_card_visa")).await.expect(202);
    assert_eq!(again.body, placed.body);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    app.post("client", "/orders", &body("k", "pm_other")).await.expect_problem(409, "idempotency-conflict");
    app.post("client", "/orders", &body("k2", "pm_card_visa")).await.expect_problem(409, "order-exists");
    let release = app.call("client", Method::DELETE, &format!("/reservations/{hold}"), None).await;
    release.expect_problem(409, "order-exists");
    let shown = app.get("client", &format!("/orders/{order}?wait=0")).await.expect(200);
    assert_eq!(shown.body["status"], "pending");
    assert_eq!(shown.body["total"], json!({"amount": 9000, "currency": "EUR"}));
    app.get("client", &format!("/orders/{order}?wait=31")).await.expect_problem(400, "invalid-parameter");
    let listed = app.get("client", "/orders?userId=anna&status=pending").await.expect(200);
    assert_eq!(listed.body["items"][0]["orderId"], order);
    app.get("client", "/orders?status=happy").await.expect_problem(400, "invalid-parameter");
}

#[tokio::test]
async fn what_belongs_to_another_is_not_there() {
    let app = App::new().await;
    let (anna, ben) = (app.token_of("anna").await, app.token_of("ben").await);
    let order = app.order("anna").await.text("/orderId");
    app.get(&anna, &format!("/orders/{order}")).await.expect(200);
    let anothers = app.get(&ben, &format!("/orders/{order}")).await.expect_problem(404, "not-found");
    assert_eq!(anothers.text("/detail"), "There is no such order.");
    let nobodys = app.get(&ben, "/orders/ord_00000000000000000000000000000000").await.expect(404);
    assert_eq!(nobodys.body, anothers.body);
    let cancel = json!({"reason": "mine now"});
    app.post(&ben, &format!("/orders/{order}/cancel"), &cancel).await.expect_problem(404, "not-found");
    assert_eq!(app.get(&ben, "/orders").await.expect(200).body["items"], json!([]));
    assert_eq!(app.get(&ben, "/orders?userId=anna").await.expect(200).body["items"], json!([]));
    assert_eq!(app.get(&anna, "/orders").await.expect(200).body["items"].as_array().unwrap().len(), 1);
    let event = app.event(1).await;
    let wish = json!({"userId": "anna", "bestAvailable": {"count": 1}});
    app.post(&ben, &format!("/events/{event}/reserve"), &wish).await.expect_problem(404, "not-found");
    let start = json!({"definition": "refund-order", "input": {}, "idempotencyKey": "k"});
    let refused = app.post(&ben, "/sagas", &start).await.expect_problem(403, "wrong-role");
    assert_eq!(refused.body["roles"], json!(["client", "operator", "admin"]));
}

#[tokio::test]
async fn an_order_that_nothing_was_charged_for_is_cancelled_without_a_refund() {
    let app = App::new().await;
    let order = app.order("anna").await;
    let path = format!("/orders/{}/cancel", order.text("/orderId"));
    let body = json!({"reason": "we cannot come", "idempotencyKey": "k"});
    let cancelled = app.post("client", &path, &body).await.expect(202);
    assert!(!cancelled.headers.contains_key("idempotent-replayed"));
    assert_eq!(cancelled.body["refundId"], Value::Null);
    assert_eq!(cancelled.body["sagaId"], order.body["sagaId"]);
    let without_key = json!({"reason": "we cannot come"});
    for again in [&body, &without_key] {
        let again = app.post("client", &path, again).await.expect(202);
        assert_eq!((&again.body, &again.headers["idempotent-replayed"]), (&cancelled.body, &"true".parse().unwrap()));
    }
    let other = json!({"reason": "another reason", "idempotencyKey": "k"});
    app.post("client", &path, &other).await.expect_problem(409, "idempotency-conflict");
    let second = app.order("anna").await.text("/orderId");
    app.post("client", &format!("/orders/{second}/cancel"), &body).await.expect_problem(409, "idempotency-conflict");
    assert_eq!(app.get("client", &format!("/orders/{second}")).await.expect(200).body["status"], "pending");
    // another caller's key is another key
    app.post("admin", &path, &other).await.expect(202);
    app.post("client", &path, &json!({"reason": " "})).await.expect_problem(400, "invalid-value");
}

#[tokio::test]
async fn lists_are_paged_to_their_end() {
    let app = App::new().await;
    for user in ["a", "b", "c", "d", "e"] {
        app.order(user).await;
    }
    for list in ["/orders", "/events", "/sagas", "/definitions"] {
        let who = if ["/sagas", "/definitions"].contains(&list) { "viewer" } else { "client" };
        let all = app.get(who, list).await.expect(200).body["items"].as_array().unwrap().len();
        assert!(all >= 5, "{list}: {all}");
        let (mut seen, mut path) = (Vec::new(), format!("{list}?limit=2"));
        loop {
            let page = app.get(who, &path).await.expect(200).body;
            let items = page["items"].as_array().unwrap();
            assert!((1..=2).contains(&items.len()));
            seen.extend(items.iter().map(Value::to_string));
            let Some(next) = page["next"].as_str() else { break };
            path = format!("{list}?limit=2&cursor={next}");
        }
        seen.dedup();
        assert_eq!(seen.len(), all, "{list}");
        app.get(who, &format!("{list}?nonsense=1")).await.expect_problem(400, "unknown-parameter");
        app.get(who, &format!("{list}?cursor=AAAA")).await.expect_problem(400, "invalid-cursor");
        app.get(who, &format!("{list}?limit=0")).await.expect_problem(400, "invalid-parameter");
    }
}
