//! Tickets: signed by keys that are changed while everything runs.

use super::{
    shop::{Placed, order_for},
    world::World,
};
use crate::cli::client::Api;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// Keys of no other use.
const OLD: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIFgkDZBmiKc+tF57QH+u1SBHtd2QH35b0zVdxuVPhUzy\n-----END PRIVATE KEY-----\n";
const OLD_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJ0AMnbMpeSqPmiDUru3t8GNfURC4CwotvQGM9SwKFiU=\n-----END PUBLIC KEY-----\n";
const NEW: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA5fTQWm1iFZr2u9/KNsR0jvfm4thxgj7732yROoKo90\n-----END PRIVATE KEY-----\n";
const NEW_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAVu9egQVqO9lmfwYAdZ3y4s/DdW1p+TD9l4PWOUmYd7w=\n-----END PUBLIC KEY-----\n";

/// An order that is confirmed, of a buyer with an address.
async fn bought(api: &Api, event: &str, buyer: &str) -> Value {
    let held = api.reserve(event, buyer).await;
    let mut order = order_for(&held, buyer);
    order["email"] = json!(format!("{buyer}@example.org"));
    let (status, placed) = api.ask(Method::POST, "/orders", Some(order)).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{placed}");
    let text = |name: &str| placed[name].as_str().unwrap().to_owned();
    let order = api.at_rest(&Placed { order: text("orderId"), saga: text("sagaId") }).await;
    assert_eq!(order["status"], "confirmed", "{order:#}");
    order
}

#[tokio::test(flavor = "multi_thread")]
async fn ticket_keys_are_changed_while_everything_runs() {
    let world = World::new().await;
    let file = |name: &str, text: String| {
        let path = world.file(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let old = file("old.pem", OLD.to_owned());
    let told = file("told.pem", format!("{OLD}{NEW_PUBLIC}"));
    let new = file("new.pem", format!("{NEW}{OLD_PUBLIC}"));
    const FILE: &str = "SHOWRUNNER_SECURITY__TICKET_KEY_FILE";
    let kids = async |api: &Api| {
        let (_, keys) = api.ask(Method::GET, "/.well-known/ticket-keys", None).await;
        keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let code = |order: &Value| order["tickets"][0]["code"].as_str().unwrap().to_owned();

    let (program, api) = world.api(&[(FILE, &old)]).await;
    let event = api.event(10).await;
    let mut worker = world.worker("before", &[(FILE, &old)]).await;
    let first = code(&bought(&api, &event, "anna").await);
    let before = kids(&api).await;
    assert_eq!(before.len(), 1);
    assert!(first.starts_with(&format!("SR1.{}.", before[0])), "{first}");

    // first everybody learns of the new key, then it signs
    drop(program);
    let (_program, api) = world.api(&[(FILE, &told)]).await;
    worker.terminate();
    worker.ended().await;
    let _worker = world.worker("after", &[(FILE, &new)]).await;
    let (_other, other) = world.another_api("other", &[("SHOWRUNNER_HTTP__LISTEN", "127.0.0.1:0"), (FILE, &new)]).await;
    let second = code(&bought(&api, &event, "bert").await);
    let after = kids(&other).await;
    assert_eq!(after[1..], before, "the old one is published still");
    assert!(second.starts_with(&format!("SR1.{}.", after[0])), "{second}");
    for api in [&api, &other] {
        for code in [&first, &second] {
            let (_, verdict) = api.ask(Method::POST, "/tickets/verify", Some(json!({ "code": code }))).await;
            assert_eq!(verdict["valid"], true, "{verdict}");
        }
    }
}
