//! Tickets: mailed by whichever worker can, signed by keys that are changed while everything runs.

use super::{
    shop::{Placed, order_for},
    until,
    world::World,
};
use crate::cli::client::Api;
use private_servers::{MailOnce, MailSaid, MailServer};
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

/// The mail that has not been delivered.
async fn waiting_mail(api: &Api) -> Vec<Value> {
    let (status, page) = api.ask(Method::GET, "/outbox", None).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    page["items"].as_array().unwrap().iter().filter(|item| item["topic"] == "tickets.mail").cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_waits_for_a_worker_that_can_send_it_and_is_sent_until_it_is_taken() {
    let world = World::new().await;
    let (_program, api) = world.api(&[]).await;
    let event = api.event(10).await;
    let mut mute = world.worker("mute", &[]).await;
    let order = bought(&api, &event, "anna").await;
    let waiting = waiting_mail(&api).await;
    assert_eq!((waiting.len(), &waiting[0]["payload"]["orderId"]), (1, &order["orderId"]), "{waiting:#?}");
    assert_eq!((&waiting[0]["state"], &waiting[0]["attempts"]), (&json!("waiting"), &json!(0)));
    mute.terminate();
    assert!(mute.ended().await.success());

    let server = MailServer::start().unwrap();
    server.once(MailSaid::Message, MailOnce::KeepsAndIsGone);
    let worker = world.worker("postman", &[("SHOWRUNNER_MAIL__SMTP_URL", &server.url())]).await;
    let taken = until("the mail is sent again", async || Some(server.taken()).filter(|taken| taken.len() == 2)).await;
    assert_eq!(taken[0], taken[1], "nobody heard that it was taken: it came again, the same");
    assert_eq!(taken[0].to, ["anna@example.org"]);
    let message_id = format!("Message-ID: <{}.tickets@example.org>", order["orderId"].as_str().unwrap());
    let text = String::from_utf8_lossy(&taken[0].bytes).into_owned();
    assert!(text.contains(&message_id), "{text}");
    until("nothing is left", async || waiting_mail(&api).await.is_empty().then_some(())).await;

    server.once(MailSaid::Recipient, MailOnce::Says("550 5.1.1 <bert@example.org> is nobody here"));
    bought(&api, &event, "bert").await;
    let dead =
        until("it is dead", async || waiting_mail(&api).await.into_iter().find(|one| one["state"] == "dead")).await;
    assert_eq!(dead["lastError"], "permanent error (550): 5.1.1 (address) is nobody here");
    let path = format!("/outbox/{}/retry", dead["messageId"].as_str().unwrap());
    let (status, retried) = api.ask(Method::POST, &path, Some(json!({ "reason": "he is there now" }))).await;
    assert_eq!((status, &retried["state"]), (StatusCode::ACCEPTED, &json!("waiting")), "{retried}");
    until("it is taken", async || (server.taken().len() == 3).then_some(())).await;
    assert!(!worker.log().contains("example.org"), "no address is in a log");
    world.is_sound(&api).await;
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
