//! What gateways tell of their own accord, and what becomes of it.

use super::{
    faults::Place,
    gateways::SECRET,
    postbox::Letter,
    shop::{Death, PATIENCE, PRICE, Shop, VISA, anybody},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use orchestrator::{
    SagaId,
    action::Lane,
    acts::{Act, ActRequest},
    journal::Entry,
};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::Sha256;
use std::time::{Duration, SystemTime};
use workflows::{
    gateways::signature::sign,
    ids::OrderId,
    orders::{CancelOrder, OrderStatus, Placement, cancel},
    payments::{AMOUNT_MISMATCH, CaptureNews, CaptureStatus, NewsError},
};

pub(super) fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

impl Shop {
    /// Takes a letter as the API would.
    pub(super) async fn receive(&self, letter: &Letter) -> Result<(), NewsError> {
        let now = std::time::SystemTime::now().into();
        self.webhooks.gateway_news("primary", &letter.headers, &letter.body, now).await
    }

    /// The primary's next letter that says this; those before it are taken.
    pub(super) async fn letter(&self, text: &str) -> Letter {
        loop {
            let letter = tokio::time::timeout(PATIENCE, self.postbox().next()).await;
            let letter = letter.expect("it never came");
            if letter.says(text) {
                return letter;
            }
            self.receive(&letter).await.unwrap();
        }
    }

    /// What became of webhooks: `kind outcome reason`, oldest first.
    pub(super) async fn inbox(&self) -> Vec<String> {
        let rows: Vec<(String, Option<String>, Option<String>)> =
            sqlx::query_as("select kind, outcome, reason from booking.webhook_inbox order by received_at")
                .fetch_all(&self.pool)
                .await
                .unwrap();
        let line = |(kind, outcome, reason): (String, Option<String>, Option<String>)| {
            [Some(kind), outcome, reason].into_iter().flatten().collect::<Vec<_>>().join(" ")
        };
        rows.into_iter().map(line).collect()
    }

    /// Takes captures again, as if the time for it had come.
    pub(super) async fn look_again(&self) {
        sqlx::query("update booking.webhook_inbox set look_again_at = now() where look_again_at is not null")
            .execute(&self.pool)
            .await
            .unwrap();
        self.webhooks.take_again(100).await.unwrap();
    }

    /// How many captures will be taken again.
    pub(super) async fn waiting_news(&self) -> i64 {
        sqlx::query_scalar(
            "select count(*) from booking.webhook_inbox
             where kind = 'paymentCaptured' and outcome in ('told', 'unmatched') and look_again_at is not null",
        )
        .fetch_one(&self.pool)
        .await
        .unwrap()
    }

    /// How many signals a saga has received.
    pub(super) async fn signals(&self, saga: SagaId) -> usize {
        let journal = self.view(saga).await.journal;
        journal.iter().filter(|recorded| matches!(recorded.entry, Entry::Signalled { .. })).count()
    }
}

/// The buyer cancels; the saga that carries it out.
pub(super) async fn cancelled(shop: &Shop, order: OrderId) -> SagaId {
    let request =
        CancelOrder { order_id: order, reason: "ill".to_owned(), seat_ids: None, idempotency_key: None, address: None };
    cancel(&shop.engine, &anybody(), request).await.unwrap().cancellation().saga_id
}

/// One event of Stripe's, rightly signed.
pub(super) async fn stripe_event(shop: &Shop, id: &str, kind: &str, created: i64, object: Value) {
    let body = json!({"id": id, "object": "event", "type": kind, "created": created, "data": {"object": object}});
    let body = body.to_string();
    let mut headers = reqwest::header::HeaderMap::new();
    let signed = sign(body.as_bytes(), &SecretString::from(SECRET), now());
    headers.insert("stripe-signature", signed.parse().unwrap());
    shop.webhooks.gateway_news("primary", &headers, body.as_bytes(), now()).await.unwrap();
}

pub(super) fn succeeded(reference: &str, amount: i64) -> Value {
    json!({"id": reference, "object": "payment_intent", "status": "succeeded", "amount": amount,
           "amount_received": amount, "currency": "gbp", "metadata": {}})
}

pub(super) async fn capture(shop: &Shop, order: OrderId, reference: &str, amount: i64, event: &str) {
    try_capture(shop, order, reference, amount, event).await.unwrap();
}

pub(super) async fn try_capture(
    shop: &Shop,
    order: OrderId,
    reference: &str,
    amount: i64,
    event: &str,
) -> Result<(), NewsError> {
    let news = CaptureNews {
        gateway: "primary".to_owned(),
        reference: reference.to_owned(),
        status: CaptureStatus::Captured,
        amount,
        event_id: event.to_owned(),
    };
    let signed = sign(b"{}", &SecretString::from(SECRET), now());
    shop.webhooks.capture_news(order, &news, &signed, b"{}", now()).await
}

/// A batch of Adyen's, each item rightly signed.
pub(super) fn notification(items: impl IntoIterator<Item = Value>) -> Letter {
    let items = items.into_iter().map(|mut item| {
        item["additionalData"]["hmacSignature"] = json!(signature_of(&item));
        json!({"NotificationRequestItem": item})
    });
    let body = json!({"live": "false", "notificationItems": items.collect::<Vec<_>>()}).to_string();
    Letter { headers: reqwest::header::HeaderMap::new(), body: body.into_bytes() }
}

fn signature_of(item: &Value) -> String {
    let (reference, amount) = (&item["merchantReference"], &item["amount"]);
    let members = [&item["pspReference"], &item["originalReference"], &item["merchantAccountCode"], reference]
        .into_iter()
        .chain([&amount["value"], &amount["currency"], &item["eventCode"], &item["success"]]);
    let text = |member: &Value| match member {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(&hex::decode(SECRET).unwrap()).unwrap();
    mac.update(members.map(text).collect::<Vec<_>>().join(":").as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// An order whose charge the gateway still works on, with the gateway's name for it.
pub(super) async fn processing(shop: &Shop) -> (Placement, String) {
    shop.gateway_fault(json!({"fault": "async", "operation": "charge", "delayMs": 600_000})).await;
    let placed = shop.order(VISA).await;
    shop.run_until(placed.saga_id, "waiting").await;
    let reference = shop.see(placed.order_id).await.payments[0].reference.clone().unwrap();
    (placed, reference.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn five_copies_at_once_are_one_signal() {
    let shop = Shop::open().await;
    let (placed, reference) = processing(&shop).await;
    let body = json!({"id": "evt_5", "object": "event", "type": "payment_intent.succeeded", "created": 1,
                      "data": {"object": succeeded(&reference, PRICE)}})
    .to_string();
    let mut headers = reqwest::header::HeaderMap::new();
    let signed = sign(body.as_bytes(), &SecretString::from(SECRET), now());
    headers.insert("stripe-signature", signed.parse().unwrap());
    let copies = (0..5).map(|_| shop.webhooks.gateway_news("primary", &headers, body.as_bytes(), now()));
    for answer in futures::future::join_all(copies).await {
        answer.unwrap();
    }
    assert_eq!(shop.signals(placed.saga_id).await, 1);
    assert_eq!(shop.inbox().await, ["paymentCaptured told"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_hangs_up_is_heard_to_the_end() {
    let shop = Shop::open().await;
    let (placed, reference) = processing(&shop).await;
    for round in 0..30_u64 {
        let event = format!("evt_{round}");
        let telling = stripe_event(&shop, &event, "payment_intent.processing", 1, succeeded(&reference, PRICE));
        // it is asked once, and never again
        assert!(futures::poll!(Box::pin(telling)).is_pending());
    }
    let all_are_kept = async {
        while shop.inbox().await.len() < 30 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_are_kept).await.expect("one was dropped with its sender");
    assert_eq!(shop.signals(placed.saga_id).await, 30);
    assert_eq!(shop.engine.violations().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn news_that_overtakes_the_answer_is_in_the_journal_before_it() {
    let shop = Shop::at_adyen().await;
    let placed = shop.order(VISA).await;
    let pay = Place { definition: "book-tickets".to_owned(), step: "pay".to_owned(), lane: Lane::Forward };
    // the call is made, and its answer is not written down
    let zombie = shop.run_and_die(placed.saga_id, &pay, Death::BeforeRecord).await;
    let letter = shop.letter("AUTHORISATION").await;
    shop.receive(&letter).await.unwrap();
    assert_eq!(shop.signals(placed.saga_id).await, 1);
    assert_eq!(shop.inbox().await, ["paymentCaptured told"]);
    shop.run_until(placed.saga_id, "completed").await;
    shop.wake(zombie).await;
    assert_eq!(shop.charges(placed.order_id).await.len(), 1);
    shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_wakes_nobody() {
    let shop = Shop::open().await;
    let placed = shop.confirmed().await;
    let reference = shop.see(placed.order_id).await.payments[0].reference.clone().unwrap().to_string();
    let seq = shop.view(placed.saga_id).await.run.seq;
    stripe_event(&shop, "e1", "payment_intent.succeeded", 1, succeeded(&reference, PRICE)).await;
    // out of order: what is captured is not processing any more
    stripe_event(&shop, "e2", "payment_intent.processing", 2, succeeded(&reference, PRICE)).await;
    stripe_event(&shop, "e3", "payment_intent.canceled", 3, succeeded(&reference, PRICE)).await;
    capture(&shop, placed.order_id, &reference, PRICE, "e4").await;
    let kept = [
        "paymentCaptured known",
        "paymentProcessing known",
        "paymentVoided unmatched contradicts-capture",
        "paymentCaptured known",
    ];
    assert_eq!(shop.inbox().await, kept);
    assert_eq!(shop.view(placed.saga_id).await.run.seq, seq);
    // another amount after the end is a person's matter
    stripe_event(&shop, "e5", "payment_intent.succeeded", 1, succeeded(&reference, PRICE + 1)).await;
    assert_eq!(shop.inbox().await[4], "paymentCaptured unmatched amount-mismatch");
    shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn news_of_what_is_unknown_here_is_kept() {
    let shop = Shop::open().await;
    stripe_event(&shop, "e1", "payment_intent.succeeded", 1, succeeded("pi_nobody", 100)).await;
    let refund = json!({"id": "re_1", "object": "refund", "status": "succeeded", "amount": 5, "currency": "gbp",
                        "payment_intent": "pi_nobody", "metadata": {}});
    stripe_event(&shop, "e2", "refund.updated", 1, refund).await;
    stripe_event(&shop, "e3", "invoice.paid", 1, json!({})).await;
    let kept = ["paymentCaptured unmatched unknown-charge", "refund unmatched unknown-refund", "other ignored"];
    assert_eq!(shop.inbox().await, kept);
    let detail: Value = sqlx::query_scalar("select detail from booking.webhook_inbox where webhook_id = 'e1'")
        .fetch_one(&shop.pool)
        .await
        .unwrap();
    assert_eq!(detail["amount"], json!({"amount": 100, "currency": "GBP"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_of_a_killed_order_is_written_down_and_not_given_back() {
    let shop = Shop::open().await;
    let (placed, reference) = processing(&shop).await;
    let act = ActRequest {
        saga_id: placed.saga_id,
        act: Act::Kill,
        reason: "a test".to_owned(),
        seq: shop.view(placed.saga_id).await.run.seq,
        by: "olga".to_owned(),
        address: None,
    };
    shop.engine.act(act).await.unwrap();
    stripe_event(&shop, "e1", "payment_intent.succeeded", 1, succeeded(&reference, PRICE)).await;
    assert_eq!(shop.inbox().await, ["paymentCaptured recorded"]);
    let seen = shop.see(placed.order_id).await;
    assert_eq!((seen.payments[0].status.as_str(), seen.refunds.len()), ("captured", 0));
    // and nothing takes that back
    stripe_event(&shop, "e2", "payment_intent.canceled", 2, succeeded(&reference, PRICE)).await;
    assert_eq!(shop.see(placed.order_id).await.payments[0].status, "captured");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispute_is_written_down_as_its_newest_news_says() {
    let shop = Shop::open().await;
    let placed = shop.confirmed().await;
    let charge = shop.see(placed.order_id).await.payments[0].reference.clone().unwrap().to_string();
    let dispute = |status: &str| {
        json!({"id": "dp_1", "object": "dispute", "amount": PRICE, "currency": "gbp", "status": status,
               "payment_intent": charge})
    };
    stripe_event(&shop, "e1", "charge.dispute.created", 10, dispute("needs_response")).await;
    stripe_event(&shop, "e3", "charge.dispute.closed", 30, dispute("lost")).await;
    stripe_event(&shop, "e2", "charge.dispute.updated", 20, dispute("under_review")).await;
    // of one second: the end of it stays, whichever comes last
    stripe_event(&shop, "e4", "charge.dispute.funds_withdrawn", 30, dispute("under_review")).await;
    let (status, order): (String, orchestrator::ids::Uuid) =
        sqlx::query_as("select status, order_id from booking.disputes").fetch_one(&shop.pool).await.unwrap();
    assert_eq!((status.as_str(), order), ("lost", placed.order_id.0));
    assert_eq!(shop.inbox().await, ["dispute recorded", "dispute recorded", "dispute known", "dispute known"]);
    let other = |status: &str| {
        let mut other = dispute(status);
        other["id"] = json!("dp_2");
        other
    };
    stripe_event(&shop, "e5", "charge.dispute.created", 10, other("needs_response")).await;
    stripe_event(&shop, "e6", "charge.dispute.closed", 10, other("won")).await;
    let status: String = sqlx::query_scalar("select status from booking.disputes where reference = 'dp_2'")
        .fetch_one(&shop.pool)
        .await
        .unwrap();
    assert_eq!(status, "won");
    shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
    shop.assert_well().await;
}

/// An order at Adyen whose charge the gateway still works on, with the letter that tells its end.
pub(super) async fn pending_at_adyen() -> (Shop, Placement, Letter) {
    let shop = Shop::at_adyen().await;
    shop.gateway_fault(json!({"fault": "async", "operation": "charge", "delayMs": 50})).await;
    let placed = shop.order(VISA).await;
    shop.run_until(placed.saga_id, "waiting").await;
    let letter = shop.letter("AUTHORISATION").await;
    (shop, placed, letter)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_nobody_can_ask_about_is_what_the_gateway_tells() {
    let (shop, placed, letter) = pending_at_adyen().await;
    shop.receive(&letter).await.unwrap();
    shop.run_until(placed.saga_id, "completed").await;
    let charges = shop.charges(placed.order_id).await;
    assert_eq!((charges.len(), charges[0]["asked"].as_i64()), (1, Some(1)), "nobody has asked again");
    shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_amount_than_the_order_s_is_for_a_person_and_never_a_ticket() {
    let shop = Shop::open().await;
    let (placed, reference) = processing(&shop).await;
    capture(&shop, placed.order_id, &reference, PRICE - 1, "e1").await;
    let view = shop.run_until(placed.saga_id, "stuck").await;
    assert_eq!(view.run.stuck.unwrap().failure.code, AMOUNT_MISMATCH);
    let seen = shop.see(placed.order_id).await;
    assert_eq!((seen.status, seen.tickets.len()), (OrderStatus::Attention, 0));
    assert_eq!(seen.reason.as_deref(), Some(AMOUNT_MISMATCH));
}
