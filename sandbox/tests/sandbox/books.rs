//! The books, on disk.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sandbox::{Protocol, Running, Settings};
use serde_json::json;

use crate::support::{Gateway, new_intent};

/// Some of everything.
async fn trade(gateway: &Gateway) {
    let paid = gateway.paid().await;
    let form = [("payment_intent", paid.as_str()), ("amount", "500")];
    gateway.post_with_key("/v1/refunds", &form, "refund-1").await.ok();
    let canceled = gateway.intent("pm_card_visa").await;
    gateway.cancel(&canceled).await.ok();
    let declined = gateway.intent("pm_card_chargeDeclined").await;
    gateway.confirm(&declined).await.error(402);
    gateway.post_with_key("/v1/payment_intents", &new_intent("pm_card_visa"), "create-1").await.ok();
}

#[tokio::test]
async fn they_survive_a_restart_with_their_keys() {
    let gateway = Gateway::start().await;
    trade(&gateway).await;
    let books = gateway.books().await;
    let created = gateway.post_with_key("/v1/payment_intents", &new_intent("pm_card_visa"), "create-1").await;

    let gateway = gateway.restart().await;
    assert_eq!(gateway.books().await, books);
    let again = gateway.post_with_key("/v1/payment_intents", &new_intent("pm_card_visa"), "create-1").await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.text, created.text);
    let paid = books["charges"][0]["reference"].as_str().unwrap();
    let form = [("payment_intent", paid), ("amount", "4001")];
    gateway.post("/v1/refunds", &form).await.error(400);
}

#[tokio::test]
async fn whatever_was_answered_is_in_the_file() {
    let gateway = Gateway::start().await;
    trade(&gateway).await;
    let books = gateway.books().await;
    // What a killed process leaves: the file as it is now, and half of a line.
    let copy = gateway.folder.path().join("copy.jsonl");
    std::fs::copy(gateway.folder.books(), &copy).unwrap();
    let mut file = std::fs::OpenOptions::new().append(true).open(&copy).unwrap();
    file.write_all(b"{\"intents\":[{\"id\":\"pi_to").unwrap();

    let successor = Running::start(Settings::new(&copy)).await.unwrap();
    let url = format!("{}/_sandbox/books", successor.url);
    let after: serde_json::Value = gateway.client.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(after, books);
}

#[tokio::test]
async fn many_at_once_share_their_syncs() {
    let gateway = Gateway::start().await;
    let calls = (0..200).map(|_| gateway.paid());
    futures::future::join_all(calls).await;
    let gateway = gateway.restart().await;
    let books = gateway.books().await;
    let charges = books["charges"].as_array().unwrap();
    assert_eq!(charges.len(), 200);
    assert!(charges.iter().all(|entry| entry["captured"] == json!(4500)));
}

#[tokio::test]
async fn two_gateways_do_not_share_a_file() {
    let gateway = Gateway::start().await;
    let second = Running::start(Settings::new(gateway.folder.books())).await;
    let error = second.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("in use"), "{error}");
}

const CHILD_BOOKS: &str = "SANDBOX_TEST_CHILD_BOOKS";
const CHILD_PROTOCOL: &str = "SANDBOX_TEST_CHILD_PROTOCOL";

/// The gateway of the tests that kill one, in a process of its own; nothing when it is run as a test.
#[tokio::test]
async fn gateway_in_a_child_process() {
    if let Ok(books) = std::env::var(CHILD_BOOKS) {
        let is_adyen = std::env::var(CHILD_PROTOCOL).is_ok_and(|protocol| protocol == "adyen");
        let protocol = if is_adyen { Protocol::Adyen } else { Protocol::Stripe };
        let running = Running::start(Settings::speaking(protocol, books)).await.unwrap();
        println!("\nurl={}", running.url);
        std::future::pending::<()>().await;
    }
}

/// Kills with SIGKILL when it is dropped.
pub(crate) struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A gateway in a process of its own, and where it is.
pub(crate) fn start_child(books: &Path, protocol: &str) -> (Killed, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "books::gateway_in_a_child_process", "--nocapture"])
        .env(CHILD_BOOKS, books)
        .env(CHILD_PROTOCOL, protocol)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let child = Killed(child);
    let url = lines.find_map(|line| line.unwrap().strip_prefix("url=").map(str::to_owned)).unwrap();
    (child, url)
}

#[tokio::test]
async fn a_killed_gateway_has_forgotten_nothing_that_it_answered() {
    let mut gateway = Gateway::start().await;
    let books = gateway.folder.path().join("child.jsonl");
    let (child, url) = start_child(&books, "stripe");

    // Payments run against it until it is gone; whoever was told «succeeded» must find that again.
    gateway.running.url = url;
    let answered = std::sync::Mutex::new(Vec::new());
    let pay = || async {
        let mut form = new_intent("pm_card_visa").to_vec();
        form.push(("confirm", "true"));
        while let Ok(reply) = gateway.try_post("/v1/payment_intents", &form, None).await {
            let id = reply.ok()["id"].as_str().unwrap().to_owned();
            answered.lock().unwrap().push(id);
        }
    };
    let kill = async {
        let enough = async {
            while answered.lock().unwrap().len() < 100 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), enough).await.unwrap();
        drop(child);
    };
    tokio::join!(futures::future::join_all((0..8).map(|_| pay())), kill);

    gateway.running = Running::start(Settings::new(books)).await.unwrap();
    for id in answered.into_inner().unwrap() {
        let found = gateway.get(&format!("/v1/payment_intents/{id}")).await.ok();
        assert_eq!(found["status"], "succeeded");
    }
}
