//! For load balancers, monitoring and tools.

use crate::support::{App, until};
use api::ApiSettings;
use axum::http::header;
use private_servers::TestServers;
use serde_json::json;
use sqlx::migrate::Migrator;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use workflows::seat_cache::SeatCache;

static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

#[tokio::test]
async fn readiness_tells_what_is_missing() {
    let url = tokio::task::spawn_blocking(|| TestServers::shared().empty_database().unwrap()).await.unwrap();
    let pool = orchestrator::db::connect(&url, 2).await.unwrap();
    MIGRATIONS.run(&pool).await.unwrap();
    let app = App::on(&url, SeatCache::absent(), ApiSettings::default(), Some(&MIGRATIONS)).await;
    let degraded = app.get("client", "/readyz").await.expect(200);
    assert_eq!(degraded.body["status"], "degraded");
    sqlx::query("delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)")
        .execute(&pool)
        .await
        .unwrap();
    let stale = app.get("client", "/readyz").await.expect(503);
    assert_eq!(stale.body["status"], "unavailable");
    app.engine.pool().close().await;
    app.get("client", "/readyz").await.expect(503);
    app.get("client", "/healthz").await.expect(200);
    app.get("client", "/orders").await.expect_problem(503, "unavailable");
}

#[tokio::test]
async fn what_machines_ask_for_is_there() {
    let app = App::new().await;
    assert_eq!(app.get("", "/readyz").await.expect(200).body, json!({"status": "ok"}));
    app.get("", "/metrics").await.expect(200);
    let document = app.get("", "/openapi.json").await.expect(200).body;
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    app.get("", "/docs/").await.expect(200);
    let kind = app.get("", "/problems/moved-on").await.expect(200);
    assert_eq!(kind.body["status"], 409);
    app.get("", "/problems/none").await.expect_problem(404, "not-found");
}

#[tokio::test]
async fn a_process_that_drains_answers_who_waits() {
    let app = App::new().await;
    let order = app.order("anna").await.text("/orderId");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(api::serve(listener, None, app.state.clone(), shutdown.clone()));
    let (token, path) = (app.token("client").to_owned(), format!("/orders/{order}?wait=30"));
    let waiting = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{}: Bearer {token}\r\n\r\n", header::AUTHORIZATION);
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    });
    until("the wait", || async { app.waits.waited_for() == 1 }).await;
    assert!(!waiting.is_finished());
    shutdown.cancel();
    let answer = tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("pending"), "{answer}");
    tokio::time::timeout(Duration::from_secs(10), serving).await.unwrap().unwrap().unwrap();
}

/// Where an API with these settings serves.
async fn served(settings: ApiSettings) -> std::net::SocketAddr {
    let app = App::with(settings).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(api::serve(listener, None, app.state.clone(), CancellationToken::new()));
    address
}

/// What is answered to the beginning of a request, until the connection is closed.
async fn said_before_the_end(address: std::net::SocketAddr, beginning: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    client.write_all(beginning.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // a reset is an end as well
    let ended = tokio::time::timeout(Duration::from_secs(30), client.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "the connection is kept after {beginning:?}");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let first_request_within = Duration::from_millis(100);
    let address = served(ApiSettings { first_request_within, ..ApiSettings::default() }).await;
    // nothing at all, the beginning of what could be HTTP/2, half a head, an HTTP/2 connection without a request
    for beginning in ["", "PRI * HT", "GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow:", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        said_before_the_end(address, beginning).await;
    }
}

#[tokio::test]
async fn a_connection_without_a_next_request_is_closed() {
    let next_request_within = Duration::from_millis(200);
    let address = served(ApiSettings { next_request_within, ..ApiSettings::default() }).await;
    let request = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    for beginning in [request.to_owned(), format!("{request}GET /healthz HTTP/1.1\r\nx-slow:")] {
        // on a machine that is busy elsewhere, the first one may come late as well
        until("an answer", || async { said_before_the_end(address, &beginning).await.starts_with("HTTP/1.1 200") })
            .await;
    }
}

#[tokio::test]
async fn a_client_that_never_ends_its_request_does_not_keep_the_process() {
    use tokio::io::AsyncWriteExt;
    let app = App::with(ApiSettings { request_timeout: Duration::from_secs(1), ..ApiSettings::default() }).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(api::serve(listener, None, app.state.clone(), shutdown.clone()));
    client.write_all(b"POST /orders HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{").await.unwrap();
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), serving).await.unwrap().unwrap().unwrap();
}
