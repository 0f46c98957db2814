//! Who may come in, and what is taken in.

use crate::support::App;
use api::{ApiSettings, LimitSettings};
use axum::{
    body::Body,
    http::{Method, Request, header},
};
use serde_json::{Value, json};
use std::time::Duration;
use workflows::access::Role;

/// What needs no token.
const OPEN: [&str; 9] = [
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/problems/{slug}",
    "/.well-known/ticket-keys",
    "/.well-known/ticket-revocations",
    "/orders/{id}/capture",
    "/webhooks/{gateway}",
];

/// Every route: path, method, the roles of which one is needed.
fn walk() -> Vec<(String, Method, Vec<String>)> {
    let document = serde_json::to_value(api::openapi::document()).unwrap();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let roles = operation["x-roles"].as_array().into_iter().flatten();
            routes.push((path.clone(), method, roles.map(|role| role.as_str().unwrap().to_owned()).collect()));
        }
    }
    routes
}

#[tokio::test]
async fn every_route_asks_for_a_token_and_its_role_before_it_looks_at_the_body() {
    let app = App::new().await;
    let routes = walk();
    assert!(routes.len() > 30, "{}", routes.len());
    for (path, method, roles) in routes {
        assert_eq!(OPEN.contains(&path.as_str()), roles.is_empty(), "{method} {path}");
        if roles.is_empty() {
            continue;
        }
        let address = path.replace(['{', '}'], "");
        let request = Request::builder().method(method.clone()).uri(&address).body(Body::from("not JSON")).unwrap();
        let refused = app.send(request).await.expect_problem(401, "unauthenticated");
        assert!(refused.headers.contains_key(header::WWW_AUTHENTICATE));
        app.call("srt_unknown", method.clone(), &address, None).await.expect_problem(401, "unauthenticated");
        for role in Role::ALL {
            let wanted = roles.iter().any(|wanted| role.includes(wanted.parse().unwrap()));
            let answer = app.call(role.as_str(), method.clone(), &address, Some(&json!("no object"))).await;
            if wanted {
                assert!(![401, 403].contains(&answer.status.as_u16()), "{role} {method} {path}: {:?}", answer.body);
            } else {
                let may = answer.expect_problem(403, "wrong-role").body["roles"].clone();
                let includes = |one: &Role| roles.iter().any(|wanted| one.includes(wanted.parse().unwrap()));
                let expected: Vec<_> = Role::ALL.into_iter().filter(includes).map(Role::as_str).collect();
                assert_eq!(may, json!(expected), "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let app = App::new().await;
    app.get("client", "/nothing").await.expect_problem(404, "not-found");
    app.get("client", "/docs/nothing").await.expect_problem(404, "not-found");
    app.get("client", "/orders/").await.expect_problem(404, "not-found");
    app.get("client", "/orders/4111111111111111").await.expect_problem(404, "not-found");
    app.get("viewer", "/definitions/a%00b").await.expect_problem(404, "not-found");
    let wrong = app.call("client", Method::PUT, "/orders", None).await.expect_problem(405, "method-not-allowed");
    let allowed = wrong.headers[header::ALLOW].to_str().unwrap().to_owned();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
    let options = app.call("client", Method::OPTIONS, "/orders", None).await.expect(204);
    assert!(options.headers.contains_key(header::ALLOW));
    let head = app.call("client", Method::HEAD, "/events", None).await.expect(200);
    assert!(head.headers.contains_key(header::ETAG) && head.body == Value::Null);
}

#[tokio::test]
async fn hostile_bodies_are_refused_with_what_is_wrong() {
    let app = App::new().await;
    let post = async |content_type: &str, body: String| {
        let request = Request::post("/tickets/verify")
            .header(header::AUTHORIZATION, format!("Bearer {}", app.token("client")))
            .header(header::CONTENT_TYPE, content_type);
        app.send(request.body(Body::from(body)).unwrap()).await
    };
    let json = async |body: &str| post("application/json", body.to_owned()).await;
    json(r#"{"code": "x"}"#).await.expect(200);
    post("text/plain", r#"{"code": "x"}"#.to_owned()).await.expect_problem(415, "unsupported-media-type");
    post("application/json", "x".repeat(10_000_000)).await.expect_problem(413, "body-too-large");
    for bad in
        ["", "{", r#"{"code": "\ud800"}"#, r#"{"code": "a\u0000"}"#, r#"{"code": 1e400}"#, r#"{"code":"a","code":"b"}"#]
    {
        json(bad).await.expect_problem(400, "malformed-json");
    }
    json(&"[".repeat(60_000)).await.expect_problem(400, "malformed-json");
    let unknown = json(r#"{"code": "x", "kode": "y"}"#).await.expect_problem(400, "unknown-member");
    assert_eq!(unknown.body["member"], "kode");
    json(r#"{"code": 5}"#).await.expect_problem(400, "invalid-value");
    let card = json(r#"{"code": "x", "note": "4111 1111 1111 1111"}"#).await.expect_problem(400, "card-data-refused");
    assert!(!card.body.to_string().contains("4111"));
    let query = app.get("client", "/events?qq=4111111111111111").await.expect_problem(400, "card-data-refused");
    assert!(!query.body.to_string().contains("4111"));
    let query = app.get("client", "/events?colour=red").await.expect_problem(400, "unknown-parameter");
    assert_eq!(query.body["parameter"], "colour");
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let limits = LimitSettings { user_per_minute: 2, address_per_minute: 2, trusted_per_minute: 0 };
    let app = App::with(ApiSettings { limits, ..ApiSettings::default() }).await;
    let anna = app.token_of("anna").await;
    app.get(&anna, "/orders").await.expect(200);
    app.get(&anna, "/orders").await.expect(200);
    let refused = app.get(&anna, "/orders").await.expect_problem(429, "rate-limited");
    assert!(refused.headers.contains_key(header::RETRY_AFTER));
    for _ in 0..10 {
        app.get("client", "/orders").await.expect(200);
        app.get("srt_unknown", "/healthz").await.expect(200);
    }
    app.get("srt_unknown", "/orders").await.expect(401);
    app.get("srt_unknown", "/orders").await.expect(401);
    app.get("srt_unknown", "/orders").await.expect_problem(429, "rate-limited");
}

#[tokio::test]
async fn an_id_of_the_client_s_is_kept_when_it_is_sane() {
    let app = App::new().await;
    let asked = |id: &'static str| Request::get("/healthz").header("x-request-id", id).body(Body::empty()).unwrap();
    assert_eq!(app.send(asked("abc-1")).await.headers["x-request-id"], "abc-1");
    assert_ne!(app.send(asked("<script>")).await.headers["x-request-id"], "<script>");
}

#[tokio::test]
async fn beyond_what_can_be_done_at_once_requests_are_shed() {
    let app = App::with(ApiSettings { in_flight_max: 0, ..ApiSettings::default() }).await;
    let shed = app.get("client", "/orders").await.expect_problem(503, "overloaded");
    assert!(shed.headers.contains_key(header::RETRY_AFTER));
    app.get("client", "/healthz").await.expect(200);
}

#[tokio::test]
async fn what_takes_too_long_is_answered_all_the_same() {
    let app = App::with(ApiSettings { request_timeout: Duration::from_secs(1), ..ApiSettings::default() }).await;
    let order = app.order("anna").await.text("/orderId");
    let late = app.get("client", &format!("/orders/{order}?wait=30")).await.expect_problem(503, "timed-out");
    assert!(late.headers.contains_key(header::RETRY_AFTER));
}
