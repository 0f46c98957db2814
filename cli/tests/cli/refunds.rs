//! Finance from outside: the binary's own commands, the gateway's books, the invariants.

use super::{
    client::Api,
    dev::{Dev, PATIENCE, Scratch, showrunner},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::{
    process::Output,
    time::{Duration, Instant},
};

const PRICE: i64 = 5_000;
/// Two of three seats need a second person.
const LIMIT: (&str, &str) = ("SHOWRUNNER_BOOKING__REFUND_APPROVAL_ABOVE", "9000");

struct House {
    data: Scratch,
    dev: Dev,
}

impl House {
    fn open() -> Self {
        let data = Scratch::new("refunds");
        let dev = Dev::start(&data.0, &[LIMIT]);
        Self { data, dev }
    }

    fn api(&self, role: &str) -> Api {
        Api::new(&self.dev.printed["API"], &self.dev.printed[role])
    }

    /// A command over the HTTP API, by whoever has this token.
    fn run(&self, token: &str, arguments: &[&str]) -> Output {
        let remote = ["--url", &self.dev.printed["API"], "--token", token, "--json"];
        showrunner().args(arguments).args(remote).output().unwrap()
    }

    /// One that is not refused.
    fn say(&self, token: &str, arguments: &[&str]) -> Value {
        let output = self.run(token, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What one prints for people, or as CSV.
    fn print(&self, token: &str, arguments: &[&str]) -> String {
        let remote = ["--url", &self.dev.printed["API"], "--token", token];
        let output = showrunner().args(arguments).args(remote).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// A command on the database.
    fn on_database(&self, arguments: &[&str]) -> String {
        let config = self.data.0.join("dev.toml");
        let output = showrunner()
            .args(["--config", config.to_str().unwrap()])
            .args(arguments)
            .env("DATABASE_URL", &self.dev.printed["Database"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout).trim().to_owned()
    }

    /// Why a command was refused, with its exit status.
    fn refused(&self, token: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.run(token, arguments);
        (output.status.code(), text(&output.stderr))
    }

    /// A confirmed order of three seats.
    async fn sold(&self, buyer: &str) -> Value {
        let api = self.api("admin");
        let event = api.event(30).await;
        let wish = json!({ "userId": buyer, "bestAvailable": { "count": 3 } });
        let (status, held) = api.ask(Method::POST, &format!("/events/{event}/reserve"), Some(wish)).await;
        assert_eq!(status, StatusCode::CREATED, "{held}");
        let order = json!({ "reserveId": held["reserveId"], "paymentMethod": "pm_card_visa", "idempotencyKey": buyer,
            "email": format!("{buyer}@example.org") });
        let (status, placed) = api.ask(Method::POST, "/orders", Some(order)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{placed}");
        self.order_that(&placed["orderId"], |order| order["status"] == "confirmed").await
    }

    /// The order, once it is so.
    async fn order_that(&self, order: &Value, is_so: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/orders/{}", order.as_str().unwrap());
        let began = Instant::now();
        loop {
            let (_, order) = self.api("admin").ask(Method::GET, &path, None).await;
            if is_so(&order) {
                return order;
            }
            assert!(began.elapsed() < PATIENCE, "{order:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the gateway has of an order, by its own books.
    async fn kept(&self, order: &Value) -> i64 {
        let sandbox = Api { base: self.dev.sandbox("primary").to_owned(), ..self.api("admin") };
        let (_, books) = sandbox.ask(Method::GET, "/_sandbox/books", None).await;
        let charges = books["charges"].as_array().unwrap().iter();
        let own = charges.filter(|charge| charge["metadata"]["order_id"] == *order);
        own.map(|charge| charge["captured"].as_i64().unwrap() - charge["refunded"].as_i64().unwrap()).sum()
    }
}

impl House {
    /// From now on, something goes wrong at the primary gateway; without a fault, nothing.
    async fn fault(&self, fault: Option<Value>) {
        let sandbox = Api { base: self.dev.sandbox("primary").to_owned(), ..self.api("admin") };
        let method = if fault.is_some() { Method::POST } else { Method::DELETE };
        let (status, answer) = sandbox.ask(method, "/_sandbox/faults", fault).await;
        assert!(status.is_success(), "{answer}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn valid(order: &Value) -> usize {
    order["tickets"].as_array().unwrap().iter().filter(|ticket| ticket["valid"] == true).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn finance_gives_a_seat_back_and_the_rest_with_a_second_person() {
    let house = House::open();
    let anna = house.dev.printed["finance"].clone();
    let bert = house.on_database(&["token", "create", "--role", "finance", "--name", "bert"]);
    let order = house.sold("ann").await;
    let (id, seat) = (order["orderId"].as_str().unwrap(), order["seatIds"][1].as_str().unwrap());
    let one = ["refund", "request", id, "--seat", seat, "--reason", "blocked view", "--key", "one"];
    let asked = house.say(&anna, &one);
    assert_eq!(asked["state"], "approved", "{asked}");
    assert_eq!(house.say(&anna, &one)["refundId"], asked["refundId"], "once");
    let order = house.order_that(&order["orderId"], |order| order["refunds"][0]["state"] == "succeeded").await;
    assert_eq!((&order["status"], valid(&order)), (&json!("confirmed"), 2), "{order:#}");
    assert_eq!(order["tickets"][1]["valid"], false);
    assert_eq!(order["refunds"][0]["amount"]["amount"], PRICE);
    assert_eq!(house.kept(&order["orderId"]).await, 2 * PRICE);
    let (_, seats) = house
        .api("admin")
        .ask(Method::GET, &format!("/events/{}/seats", order["eventId"].as_str().unwrap()), None)
        .await;
    let again = seats["items"].as_array().unwrap().iter().find(|one| one["seatId"] == seat).unwrap();
    assert_eq!(again["status"], "available");

    let rest = house.say(&anna, &["refund", "request", id, "--reason", "cancelled show", "--key", "rest"]);
    assert_eq!(rest["state"], "requested", "{rest}");
    let (refund, approval) = (rest["refundId"].as_str().unwrap(), rest["approvalId"].as_str().unwrap());
    let own = house.run(&anna, &["refund", "approve", refund, "--reason", "sure"]);
    assert_eq!((own.status.code(), text(&own.stderr).contains("403 four-eyes")), (Some(1), true));
    let waiting = house.say(&bert, &["approval", "list", "--state", "requested"]);
    assert_eq!(waiting["items"][0]["approvalId"], *approval);
    assert_eq!(valid(&house.order_that(&order["orderId"], |_| true).await), 2, "until somebody consents");
    house.say(&bert, &["refund", "approve", refund, "--reason", "checked"]);
    let order = house.order_that(&order["orderId"], |order| order["status"] == "cancelled").await;
    assert_eq!((valid(&order), house.kept(&order["orderId"]).await), (0, 0));
    let shown = house.say(&bert, &["refund", "show", refund]);
    assert_eq!((&shown["state"], &shown["outstanding"]["amount"]), (&json!("succeeded"), &json!(0)));
    let listed = house.say(&anna, &["refund", "list", "--search", id]);
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    let table = house.print(&anna, &["refund", "list"]);
    assert!(table.contains("100.00 EUR"), "{table}");
    let listed = house.print(&anna, &["refund", "list", "--search", id, "--csv"]);
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(
        (lines.len(), lines[1].starts_with(refund), lines[2].contains(",5000,0,EUR,")),
        (3, true, true),
        "{listed}"
    );
    the_ledger_says_so(&house, &anna, id);
    let more = house.run(&anna, &["refund", "request", id, "--reason", "again", "--key", "more"]);
    assert!(text(&more.stderr).contains("409 exceeds-captured"), "{}", text(&more.stderr));
    house.on_database(&["check"]);
}

/// What was sold for 150.00 EUR has gone back, in two parts.
fn the_ledger_says_so(house: &House, token: &str, order: &str) {
    let balances = house.say(token, &["ledger", "balances"]);
    assert_eq!(balances["trialBalance"], json!([{ "amount": 0, "currency": "EUR" }]));
    let items = balances["items"].as_array().unwrap();
    assert!(items.len() >= 3 && items.iter().all(|item| item["balance"]["amount"] == 0), "{balances:#}");
    let postings = house.say(token, &["ledger", "postings", "--order", order]);
    let kinds: Vec<_> = postings["items"].as_array().unwrap().iter().map(|posting| &posting["kind"]).collect();
    assert_eq!(kinds, ["capture", "refundRequested", "refundSucceeded", "refundRequested", "refundSucceeded"]);
    let then = postings["items"][0]["at"].as_str().unwrap();
    let table = house.print(token, &["ledger", "balances", "--at", then]);
    let clearing = table.lines().find(|line| line.contains("gateway:primary:clearing")).unwrap();
    assert!(clearing.contains("150.00") && table.ends_with("trial balance: 0.00 EUR\n"), "{table}");
    let csv = house.print(token, &["ledger", "balances", "--at", then, "--csv"]);
    assert!(csv.contains("\r\ngateway:primary:clearing,15000,,EUR\r\n"), "{csv}");
    let table = house.print(token, &["ledger", "postings", "--account", "refunds:inFlight", "--limit", "1"]);
    assert!(table.contains("refundRequested") && table.contains("-50.00"), "{table}");
    let csv = house.print(token, &["ledger", "postings", "--order", order, "--csv"]);
    assert_eq!(csv.lines().count(), 1 + 2 * 5, "{csv}");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_posts_are_one_refund_and_two_who_decide_at_once_decide_once() {
    let house = House::open();
    let order = house.sold("ann").await;
    let path = format!("/orders/{}/refunds", order["orderId"].as_str().unwrap());
    let anna = house.api("finance");
    let body = json!({ "reason": "cancelled show", "idempotencyKey": "k" });
    let posts = (0..20).map(|_| anna.ask(Method::POST, &path, Some(body.clone())));
    let answers = futures::future::join_all(posts).await;
    assert!(
        answers.iter().all(|(status, answer)| {
            *status == StatusCode::ACCEPTED && answer["refundId"] == answers[0].1["refundId"]
        }),
        "{answers:?}"
    );

    let people: Vec<_> = ["bert", "carl"]
        .iter()
        .map(|name| {
            let token = house.on_database(&["token", "create", "--role", "finance", "--name", name]);
            Api { token, ..anna.clone() }
        })
        .collect();
    let decide = |person: usize, verdict: &str| {
        let path = format!("/refunds/{}/{verdict}", answers[0].1["refundId"].as_str().unwrap());
        let person = people[person].clone();
        async move { person.ask(Method::POST, &path, Some(json!({ "reason": "looked at it" }))).await }
    };
    let (yes, no) = tokio::join!(decide(0, "approve"), decide(1, "reject"));
    let consented = yes.0 == StatusCode::ACCEPTED;
    let loser = if consented { &no } else { &yes };
    assert_eq!(loser.0, StatusCode::CONFLICT, "{yes:?} {no:?}");
    let state = if consented { "succeeded" } else { "rejected" };
    let order = house.order_that(&order["orderId"], |order| order["refunds"][0]["state"] == state).await;
    assert_eq!(order["refunds"].as_array().unwrap().len(), 1);
    let left = if consented { 0 } else { 3 };
    assert_eq!((house.kept(&order["orderId"]).await, valid(&order)), (3 * PRICE * i64::from(left > 0), left));
    house.on_database(&["check"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_gives_one_of_three_seats_back() {
    let house = House::open();
    let order = house.sold("ann").await;
    let path = format!("/orders/{}/cancel", order["orderId"].as_str().unwrap());
    let body = json!({ "reason": "one is ill", "seatIds": [order["seatIds"][0]] });
    let client = house.api("client");
    let first = client.ask(Method::POST, &path, Some(body.clone())).await;
    assert_eq!(first.0, StatusCode::ACCEPTED, "{}", first.1);
    assert_eq!(client.ask(Method::POST, &path, Some(body)).await, first);
    let order = house.order_that(&order["orderId"], |order| order["refunds"][0]["state"] == "succeeded").await;
    assert_eq!((&order["status"], valid(&order)), (&json!("confirmed"), 2), "{order:#}");
    assert_eq!(house.kept(&order["orderId"]).await, 2 * PRICE);
    // the rest is more than finance may give back alone
    let whole = client.ask(Method::POST, &path, Some(json!({ "reason": "all are ill" }))).await;
    assert_eq!(whole.0, StatusCode::ACCEPTED, "{}", whole.1);
    let order = house.order_that(&order["orderId"], |order| order["status"] == "cancelled").await;
    assert_eq!((house.kept(&order["orderId"]).await, valid(&order)), (0, 0));
    house.on_database(&["check"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_gateway_refuses_and_what_comes_back_is_replayed() {
    let house = House::open();
    let anna = house.dev.printed["finance"].clone();
    let order = house.sold("ann").await;
    let (id, seat) = (order["orderId"].as_str().unwrap(), order["seatIds"][0].as_str().unwrap());
    house.fault(Some(json!({"fault": "decline", "operation": "refund"}))).await;
    let asked =
        house.say(&anna, &["refund", "request", id, "--seat", seat, "--reason", "blocked view", "--key", "one"]);
    let refund = asked["refundId"].as_str().unwrap();
    house.order_that(&order["orderId"], |order| order["status"] == "attention").await;
    let failed = house.say(&anna, &["refund", "list", "--state", "failed"]);
    assert_eq!((&failed["items"][0]["refundId"], failed["items"].as_array().unwrap().len()), (&asked["refundId"], 1));
    assert_eq!(failed["items"][0]["outstanding"]["amount"], PRICE);
    house.fault(None).await;

    house.fault(Some(json!({"fault": "refund_fails_later", "operation": "refund", "count": 1, "delayMs": 500}))).await;
    let replay = ["refund", "replay", refund, "--reason", "they say that it is mended"];
    assert_eq!(house.say(&anna, &replay)["refundId"], asked["refundId"]);
    let back = house.order_that(&order["orderId"], |order| order["reason"] == "refund-reversed").await;
    assert_eq!((&back["status"], &back["refunds"][0]["state"]), (&json!("attention"), &json!("failed")), "{back:#}");
    assert_eq!(house.kept(&order["orderId"]).await, 3 * PRICE);
    house.on_database(&["check"]);

    let path = format!("/refunds/{refund}/replay");
    let body = json!({ "reason": "to another account" });
    let (status, replayed) = house.api("finance").ask(Method::POST, &path, Some(body)).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{replayed}");
    assert_ne!(replayed["sagaId"], asked["sagaId"], "its first saga is over");
    let order = house.order_that(&order["orderId"], |order| order["refunds"][0]["state"] == "succeeded").await;
    assert_eq!((&order["status"], valid(&order)), (&json!("confirmed"), 2), "{order:#}");
    assert_eq!(house.kept(&order["orderId"]).await, 2 * PRICE);
    let again = house.run(&anna, &replay);
    assert_eq!((again.status.code(), text(&again.stderr).contains("409 already-refunded")), (Some(1), true));
    let (status, _) = house.api("operator").ask(Method::POST, &path, Some(json!({ "reason": "mine" }))).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (_, audit) = house.api("admin").ask(Method::GET, &format!("/audit?object={refund}"), None).await;
    assert_eq!(audit["items"][0]["act"], "refund.replay", "{audit:#}");
    house.on_database(&["check"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn days_are_signed_off_from_the_command_line() {
    let house = House::open();
    let anna = house.dev.printed["finance"].clone();
    house.sold("ann").await;
    let (over, to_come) = ("2001-01-01", "2999-01-01");
    let show = |day| house.say(&anna, &["settlement", "days", "show", day]);
    let close = |day, reason| ["settlement", "days", "close", day, "--reason", reason];
    assert_eq!((&show(over)["closed"], &show(over)["closedBy"]), (&json!(false), &Value::Null));
    let closed = house.say(&anna, &close(over, "all is there"));
    let signed = (&closed["closed"], &closed["closedBy"], &closed["reason"]);
    assert_eq!(signed, (&json!(true), &json!("dev-finance"), &json!("all is there")), "{closed:#}");
    assert_eq!(house.say(&anna, &close(over, "and once more")), closed, "it stays as it was");
    assert_eq!(show(over), closed);
    let (status, why) = house.refused(&anna, &close(to_come, "in a hurry"));
    assert!(status == Some(1) && why.contains("409 not-allowed"), "{status:?} {why}");
    assert_eq!(house.refused(&anna, &["settlement", "days", "close", over]).0, Some(2), "without a reason");
    assert_eq!(house.refused(&house.dev.printed["operator"], &["settlement", "days", "show", over]).0, Some(1));

    let table = house.print(&anna, &["settlement", "days", "show", to_come]);
    let row = |first: &str, second: &str| table.lines().any(|line| line.split_whitespace().take(2).eq([first, second]));
    assert!(row("gateway:primary:clearing", "150.00") && table.contains("trial balance: 0.00 EUR"), "{table}");
    let csv = house.print(&anna, &["settlement", "days", "show", to_come, "--csv"]);
    let lines: Vec<_> = csv.lines().collect();
    assert!(lines.contains(&"accounts,gateway:primary:clearing,,15000,EUR,"), "{csv}");
    assert!(lines[0].starts_with("part,name,gateway"), "{csv}");
    assert_eq!(house.refused(&anna, &["settlement", "days", "show", over, "--csv"]).0, Some(2), "--json and --csv");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_delivered_is_tried_again_from_the_command_line() {
    let house = House::open();
    let anna = house.dev.printed["finance"].clone();
    for buyer in ["ann", "bert"] {
        house.sold(buyer).await;
    }
    let list = |more: &[&str]| house.say(&anna, &[&["outbox", "list"], more].concat());
    let mails = |page: &Value| {
        let items = page["items"].as_array().unwrap().iter();
        items.filter(|one| one["topic"] == "tickets.mail").map(|one| one["messageId"].clone()).collect::<Vec<_>>()
    };
    // nobody can send mail here
    let [newer, older] = mails(&list(&["--state", "waiting"])).try_into().unwrap();
    assert_eq!(list(&["--state", "dead"])["items"], json!([]));
    let mut database = PgConnection::connect(&house.dev.printed["Database"]).await.unwrap();
    let dead =
        "update engine.outbox set state = 'dead', attempts = 7, last_error = 'away' where topic = 'tickets.mail'";
    assert_eq!(sqlx::query(dead).execute(&mut database).await.unwrap().rows_affected(), 2);

    let first = list(&["--state", "dead", "--limit", "1"]);
    assert_eq!(mails(&first), vec![newer.clone()]);
    let rest = list(&["--state", "dead", "--limit", "1", "--cursor", first["next"].as_str().unwrap()]);
    assert_eq!((mails(&rest), &rest["next"]), (vec![older.clone()], &Value::Null));
    let table = house.print(&anna, &["outbox", "list", "--state", "dead"]);
    assert!(table.contains("LAST ERROR") && table.matches("away").count() == 2, "{table}");
    let retry = ["outbox", "retry", older.as_str().unwrap(), "--reason", "the server is back"];
    let retried = house.say(&anna, &retry);
    assert_eq!((&retried["messageId"], &retried["state"]), (&older, &json!("waiting")), "{retried:#}");
    assert_eq!(mails(&list(&["--state", "dead"])), [newer]);
    let (_, audit) = house.api("admin").ask(Method::GET, "/audit?act=outbox.retry", None).await;
    assert_eq!(audit["items"][0]["reason"], "the server is back", "{audit:#}");
    let (status, why) = house.refused(&anna, &["outbox", "retry", "msg_00000000000000000000000000000000"]);
    assert!(status == Some(1) && why.contains("404 not-found"), "{status:?} {why}");
    assert_eq!(house.refused(&anna, &["outbox", "retry"]).0, Some(2));
}
