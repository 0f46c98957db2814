//! The whole product from outside: the binary, its HTTP API, its gateway's books.

use super::{
    client::Api,
    dev::{Dev, Scratch, showrunner},
};
use futures::StreamExt;
use private_servers::{DataDir, PrivateRedis};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const BUYERS: usize = 2_000;
const SEATS: usize = 100;
/// Where a machine is slow, its gateways are not: nobody gives up on one.
const PATIENT: (&str, &str) = ("SHOWRUNNER_GATEWAYS__PRIMARY__TIMEOUT_MS", "60000");

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_is_as_it_should_be_and_its_links_open() {
    const COLUMNS: usize = 100;
    let data = Scratch::new("demo");
    let demo = Dev::start_as(&["demo", "--serve"], &data.0, &[("COLUMNS", &COLUMNS.to_string())]);
    let said = demo.lines.join("\n");
    for expected in [
        "Every invariant holds.",
        "card-declined",
        "hold-lost",
        "backup: captured",
        "pay: parked",
        "refund-failed:generic_decline",
        "A large refund",
        "over: writtenOff",
        "all accounts: 0.00 EUR",
        "20 confirmed, 180 told",
    ] {
        assert!(said.contains(expected), "no {expected:?} in\n{said}");
    }
    let table = demo.lines.iter().take_while(|line| !line.starts_with("Every invariant"));
    assert_eq!(table.filter(|line| line.chars().count() > COLUMNS).count(), 0, "wider than {COLUMNS}:\n{said}");
    let token = said.split_once("Authorization: Bearer ").and_then(|(_, rest)| rest.split_once('\'')).unwrap().0;
    let api = Api::new(&demo.printed["API"], token);
    let links: Vec<_> = said.lines().filter_map(|line| line.strip_prefix(&format!("  {}", api.base))).collect();
    assert_eq!(links.len(), 24, "{said}");
    for link in links {
        assert_eq!(api.ask(Method::GET, link, None).await.0, StatusCode::OK, "{link}");
    }
    demo.stop();
}

/// 2,000 buyers for 100 seats: exactly 100 sold, and everybody gets a definite answer.
async fn drop_test(dev: &Dev, in_the_middle: impl AsyncFnOnce()) {
    let api = of(dev, "admin");
    let event = api.event(SEATS).await;
    let seats = api.seats(&event).await;
    let buyers: Vec<_> = (0..BUYERS)
        .map(|buyer| {
            let (api, event, seat) = (api.clone(), event.clone(), seats[buyer % SEATS].clone());
            tokio::spawn(async move { api.buy(&event, buyer, Some(&seat)).await })
        })
        .collect();
    in_the_middle().await;
    let mut orders = Vec::new();
    for buyer in buyers {
        orders.extend(buyer.await.unwrap());
    }
    assert_eq!(orders.len(), SEATS);
    assert!(orders.iter().all(|order| order["status"] == "confirmed"), "{orders:#?}");
    let seats: BTreeSet<_> = orders.iter().map(|order| order["tickets"][0]["seatId"].to_string()).collect();
    assert_eq!(seats.len(), SEATS, "a seat was sold twice");

    // the gateway's own truth
    let (_, books) =
        Api { base: dev.sandbox("primary").to_owned(), ..api }.ask(Method::GET, "/_sandbox/books", None).await;
    let captured: Vec<_> =
        books["charges"].as_array().unwrap().iter().filter(|charge| charge["captured"] == 5000).collect();
    assert_eq!(captured.len(), SEATS);
}

/// A client of a house in this role.
fn of(dev: &Dev, role: &str) -> Api {
    Api::new(&dev.printed["API"], &dev.printed[role])
}

/// The invariants, by the command that operators have.
fn check(data: &Scratch, dev: &Dev) {
    let config = data.0.join("dev.toml");
    let checked = showrunner()
        .args(["--config", config.to_str().unwrap(), "check"])
        .env("DATABASE_URL", &dev.printed["Database"])
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_buyers_and_redis_is_flushed_in_the_middle() {
    let (data, redis_dir) = (Scratch::new("drop"), DataDir::temporary().unwrap());
    let redis = PrivateRedis::start(&redis_dir).unwrap();
    let dev = Dev::start(&data.0, &[("REDIS_URL", &redis.url()), PATIENT]);
    let url = redis.url();
    drop_test(&dev, async move || {
        let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
        // while buyers are at it: the first holds are in Redis
        loop {
            let keys: u64 = redis::cmd("DBSIZE").query(&mut connection).unwrap();
            if keys > 10 {
                break;
            }
            tokio::task::yield_now().await;
        }
        let () = redis::cmd("FLUSHALL").query(&mut connection).unwrap();
    })
    .await;
    check(&data, &dev);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_buyers_and_redis_is_down_from_the_start() {
    let data = Scratch::new("no-redis");
    let dev = Dev::start(&data.0, &[("REDIS_URL", "redis://127.0.0.1:1"), PATIENT]);
    let api = of(&dev, "admin");
    let (status, ready) = api.ask(Method::GET, "/readyz", None).await;
    assert_eq!((status, ready["status"].as_str()), (StatusCode::OK, Some("degraded")));
    drop_test(&dev, async || {}).await;
    check(&data, &dev);
    // the API has said so, and not at every request; the worker has a log of its own
    let log = std::fs::read_to_string(data.0.with_extension("stderr")).unwrap();
    assert_eq!(log.matches("Redis is away").count(), 1, "{log}");
}

/// Every fault of the gateway ends in exactly one net charge and tickets, or none of both.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_gateway_does_money_and_tickets_agree() {
    let data = Scratch::new("faults");
    let dev = Dev::start(&data.0, &[]);
    let api = of(&dev, "admin");
    let event = api.event(SEATS).await;
    let books = Api { base: dev.sandbox("primary").to_owned(), ..api.clone() };
    let faults =
        ["decline", "insufficient_funds", "error_500", "timeout_before", "timeout_after", "reset", "malformed", "slow"];
    for (number, fault) in faults.into_iter().enumerate() {
        let body = json!({ "fault": fault, "operation": "charge", "count": 1, "delayMs": 1500 });
        let (status, answer) = books.ask(Method::POST, "/_sandbox/faults", Some(body)).await;
        assert!(status.is_success(), "{answer}");
        let order = api.buy(&event, number, None).await.unwrap();
        // what was not executed is ended there, and paid at the backup
        let refused = ["decline", "insufficient_funds"].contains(&fault);
        let expected = if refused { "rejected" } else { "confirmed" };
        assert_eq!(order["status"], expected, "{fault}: {order:#}");
        let (_, saga) = api.ask(Method::GET, &format!("/sagas/{}", order["sagaId"].as_str().unwrap()), None).await;
        let kinds: Vec<_> = saga["journal"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|e| e["step"] == "pay")
            .map(|e| e["kind"].clone())
            .collect();
        // it failed where it was made to
        match fault {
            "decline" | "insufficient_funds" => assert!(kinds.contains(&json!("failed")), "{fault}: {kinds:?}"),
            "slow" => {}
            _ => assert!(kinds.contains(&json!("inDoubt")), "{fault}: {kinds:?}"),
        }
        let mut kept = Vec::new();
        for gateway in ["primary", "backup"] {
            let books = Api { base: dev.sandbox(gateway).to_owned(), ..api.clone() };
            let (_, all) = books.ask(Method::GET, "/_sandbox/books", None).await;
            let is_of_order = |charge: &&Value| {
                ["order_id", "orderId"].iter().any(|member| charge["metadata"][member] == order["orderId"])
            };
            let net = |charge: &Value| charge["captured"].as_i64().unwrap() - charge["refunded"].as_i64().unwrap();
            kept.extend(all["charges"].as_array().unwrap().iter().filter(is_of_order).map(net).filter(|net| *net != 0));
        }
        let expected: &[i64] = if expected == "confirmed" { &[5000] } else { &[] };
        assert_eq!(kept, expected, "{fault}: at one gateway, or at none");
        books.ask(Method::DELETE, "/_sandbox/faults", None).await;
    }
    check(&data, &dev);
}

/// The house has two gateways, each a program with books of its own, and one token is good at both.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_token_is_good_at_either_gateway() {
    let data = Scratch::new("two-gateways");
    let dev = Dev::start(&data.0, &[]);
    let api = of(&dev, "admin");
    let event = api.event(SEATS).await;
    for (index, name) in ["primary", "backup"].into_iter().enumerate() {
        let wish = json!({ "userId": name, "bestAvailable": { "count": 1 } });
        let (status, held) = api.ask(Method::POST, &format!("/events/{event}/reserve"), Some(wish)).await;
        assert_eq!(status, StatusCode::CREATED, "{held}");
        let order = json!({
            "reserveId": held["reserveId"], "paymentMethod": { name: "pm_card_visa" }, "idempotencyKey": name,
        });
        let (status, placed) = api.ask(Method::POST, "/orders", Some(order)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{placed}");
        let path = format!("/orders/{}?wait=30", placed["orderId"].as_str().unwrap());
        let (_, order) = api.ask(Method::GET, &path, None).await;
        assert_eq!((&order["status"], &order["payments"][0]["gateway"]), (&json!("confirmed"), &json!(name)));
        let charges = async |sandbox: &str| {
            let books = Api { base: dev.sandbox(sandbox).to_owned(), ..api.clone() };
            let (_, books) = books.ask(Method::GET, "/_sandbox/books", None).await;
            books["charges"].as_array().unwrap().len()
        };
        assert_eq!((charges("primary").await, charges("backup").await), (1, index));
        assert!(data.0.join(format!("sandbox-{name}.jsonl")).exists());
    }
    check(&data, &dev);
    dev.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_order_is_cancelled_its_money_and_its_seats_go_back() {
    let data = Scratch::new("cancel");
    let dev = Dev::start(&data.0, &[]);
    let api = of(&dev, "admin");
    let event = api.event(SEATS).await;
    let order = api.buy(&event, 1, None).await.unwrap();
    let path = format!("/orders/{}", order["orderId"].as_str().unwrap());
    let code = order["tickets"][0]["code"].clone();
    let (_, valid) = api.ask(Method::POST, "/tickets/verify", Some(json!({ "code": code }))).await;
    assert_eq!(valid["valid"], true, "{valid}");
    let cancel = async || api.ask(Method::POST, &format!("{path}/cancel"), Some(json!({ "reason": "ill" }))).await;
    let (status, first) = cancel().await;
    assert_eq!(status, StatusCode::ACCEPTED, "{first}");
    assert_eq!(cancel().await, (StatusCode::ACCEPTED, first.clone()));
    assert!(first["refundId"].is_string(), "{first}");
    let order = loop {
        let (_, order) = api.ask(Method::GET, &format!("{path}?wait=20"), None).await;
        if order["status"] != "cancelling" {
            break order;
        }
    };
    assert_eq!(order["status"], "cancelled", "{order:#}");
    assert_eq!(order["refunds"][0]["state"], "succeeded");
    let (_, verdict) = api.ask(Method::POST, "/tickets/verify", Some(json!({ "code": code }))).await;
    assert_eq!(verdict["valid"], false, "{verdict}");
    let (_, seats) = api.ask(Method::GET, &format!("/events/{event}/seats"), None).await;
    assert!(seats["items"].as_array().unwrap().iter().all(|seat| seat["status"] == "available"));
    its_sagas_are_found(&dev, &order).await;
    check(&data, &dev);
}

/// By what somebody who calls may know of an order that was paid and paid back.
async fn its_sagas_are_found(dev: &Dev, order: &Value) {
    let found = async |role: &str, query: &str| {
        let (status, sagas) = of(dev, role).ask(Method::GET, &format!("/sagas?{query}"), None).await;
        assert_eq!(status, StatusCode::OK, "{query}: {sagas}");
        let definitions = sagas["items"].as_array().unwrap().iter().map(|saga| saga["definition"].to_string());
        definitions.collect::<BTreeSet<_>>()
    };
    let text = |pointer: &str| order.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
    let (seat, event) = (text("/seatIds/0"), text("/eventId"));
    let both = BTreeSet::from(["\"book-tickets\"".to_owned(), "\"refund-order\"".to_owned()]);
    for known in [text("/orderId"), text("/payments/0/reference"), text("/refunds/0/reference"), seat.clone()] {
        assert_eq!(found("operator", &format!("q={known}")).await, both, "{known}");
        assert_eq!(found("viewer", &format!("q={known}")).await, both, "{known}");
    }
    let booking = BTreeSet::from(["\"book-tickets\"".to_owned()]);
    assert_eq!(found("operator", &format!("q={}", text("/sagaId"))).await, booking);
    assert_eq!(found("operator", "q=buyer-1").await, booking);
    assert_eq!(found("operator", &format!("q={seat}&tag.event={event}")).await, booking);
    assert_eq!(found("finance", "q=Buyer-1@Example.org&state=completed").await, both);
    for nothing in ["q=buyer-1@example", "q=buyer-1@example.org&state=stuck", "q=%25"] {
        assert_eq!(found("admin", nothing).await, BTreeSet::new(), "{nothing}");
    }
    // a viewer is not told who somebody is
    assert_eq!(found("viewer", "q=buyer-1").await, BTreeSet::new());
    let (status, refused) = of(dev, "viewer").ask(Method::GET, "/sagas?q=buyer-1@example.org", None).await;
    assert_eq!((status, &refused["type"]), (StatusCode::FORBIDDEN, &json!("/problems/wrong-role")));
}

/// With gateways that are well nothing is tried twice, paid back, ended or left for a person.
#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_orders_without_a_fault_are_as_many_calls_and_no_more() {
    const AT_ONCE: usize = 50;
    let data = Scratch::new("no-faults");
    let dev = Dev::start(&data.0, &[PATIENT]);
    let api = of(&dev, "admin");
    let event = api.event(BUYERS).await;
    let bought = futures::stream::iter(0..BUYERS).map(|buyer| {
        let (api, event) = (api.clone(), event.clone());
        async move { api.buy(&event, buyer, None).await.unwrap()["status"].clone() }
    });
    let ended: Vec<_> = bought.buffer_unordered(AT_ONCE).collect().await;
    assert_eq!(ended.iter().filter(|status| **status == "confirmed").count(), BUYERS);

    let (_, books) =
        Api { base: dev.sandbox("primary").to_owned(), ..api.clone() }.ask(Method::GET, "/_sandbox/books", None).await;
    let charges = books["charges"].as_array().unwrap();
    assert_eq!(charges.len(), BUYERS);
    assert!(charges.iter().all(|charge| charge["captured"] == 5000 && charge["asked"] == 1));
    assert_eq!((&books["refunds"], &books["voids"]), (&json!([]), &json!([])));
    let (_, books) =
        Api { base: dev.sandbox("backup").to_owned(), ..api.clone() }.ask(Method::GET, "/_sandbox/books", None).await;
    assert_eq!(books["charges"], json!([]));
    let (_, stuck) = api.ask(Method::GET, "/sagas?state=stuck", None).await;
    assert_eq!(stuck["items"], json!([]));
    check(&data, &dev);
}
