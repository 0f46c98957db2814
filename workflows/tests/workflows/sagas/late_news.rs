//! News that comes when nobody listens any more, or before anybody does.

use super::{
    faults::Place,
    news::{cancelled, capture, notification, pending_at_adyen, processing, stripe_event, succeeded, try_capture},
    postbox::Letter,
    shop::{Death, PRICE, Shop, VISA, Zombie},
};
use orchestrator::action::Lane;
use serde_json::{Value, json};
use std::time::Duration;
use workflows::{
    orders::{OrderStatus, Placement},
    payments::{NewsError, expire_news},
};

fn place(step: &str, lane: Lane) -> Place {
    Place { definition: "book-tickets".to_owned(), step: step.to_owned(), lane }
}

/// An order whose charge is made, and whose answer is not written down, with the letter that tells of it.
async fn in_flight(shop: &Shop) -> (Placement, Letter, Zombie) {
    let placed = shop.order(VISA).await;
    let zombie = shop.run_and_die(placed.saga_id, &place("pay", Lane::Forward), Death::BeforeRecord).await;
    (placed, shop.letter("AUTHORISATION").await, zombie)
}

/// An order at Adyen whose charge was given up although it has taken money, and whose saga is about to end; with the
/// letter that tells of the money, and the workers that were thought dead.
pub(super) async fn given_up() -> (Shop, Placement, Letter, [Zombie; 2]) {
    let shop = Shop::at_adyen().await;
    let (placed, late, zombie) = in_flight(&shop).await;
    cancelled(&shop, placed.order_id).await;
    let release = place("hold", Lane::Compensation);
    let end = shop.run_and_die(placed.saga_id, &release, Death::Before);
    let refusal = async {
        let letter = shop.letter("TECHNICAL_CANCEL").await;
        shop.receive(&letter).await.unwrap();
    };
    let (sleeper, ()) = tokio::join!(end, refusal);
    assert_eq!(shop.see(placed.order_id).await.payments[0].status, "voided");
    (shop, placed, late, [zombie, sleeper])
}

impl Shop {
    /// From now on whoever tells a saga something finds that what it is about has just moved.
    pub(super) async fn move_whenever_told(&self, how: &str) {
        let function = format!(
            "create function booking.move_it() returns trigger language plpgsql as
             $$ begin update {how}; return null; end $$"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(function)).execute(&self.pool).await.unwrap();
        sqlx::raw_sql(
            "create trigger moves after insert on engine.journal for each row execute function booking.move_it()",
        )
        .execute(&self.pool)
        .await
        .unwrap();
    }

    pub(super) async fn stand_still(&self) {
        sqlx::raw_sql("drop trigger moves on engine.journal").execute(&self.pool).await.unwrap();
    }
}

/// The one item of a letter of Adyen's.
pub(super) fn item(letter: &Letter) -> Value {
    let body: Value = serde_json::from_slice(&letter.body).unwrap();
    body["notificationItems"][0]["NotificationRequestItem"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_is_told_when_nobody_listens_any_more_is_given_back() {
    let (shop, placed, late, dead) = given_up().await;
    shop.receive(&late).await.unwrap();
    assert_eq!(shop.inbox().await.last().unwrap(), "paymentCaptured told");
    shop.look_again().await;
    assert_eq!(shop.inbox().await.last().unwrap(), "paymentCaptured told", "it may still hear of it");
    shop.run_until(placed.saga_id, "compensated").await;
    assert_eq!(shop.kept(placed.order_id).await, PRICE, "it has not");
    shop.look_again().await;
    assert_eq!(shop.inbox().await.last().unwrap(), "paymentCaptured settling");
    assert_eq!(shop.run_all("settle-doubt").await, ["completed"]);
    let order = shop.assert_ended(placed.order_id, OrderStatus::Cancelled).await;
    assert_eq!(order.payments[0].status, "refunded");
    for zombie in dead {
        shop.wake(zombie).await;
    }
    shop.look_again().await;
    assert_eq!(shop.waiting_news().await, 0);
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_its_charge_shows_is_not_taken_again() {
    let (shop, placed, letter) = pending_at_adyen().await;
    shop.receive(&letter).await.unwrap();
    assert_eq!(shop.waiting_news().await, 1);
    shop.run_until(placed.saga_id, "completed").await;
    let seq = shop.view(placed.saga_id).await.run.seq;
    shop.look_again().await;
    assert_eq!((shop.waiting_news().await, shop.view(placed.saga_id).await.run.seq), (0, seq));
    assert_eq!(shop.inbox().await, ["paymentCaptured told"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_comes_before_its_charge_is_told_when_there_is_one() {
    let shop = Shop::at_adyen().await;
    let placed = shop.order(VISA).await;
    capture(&shop, placed.order_id, "8836", PRICE, "e1").await;
    shop.look_again().await;
    assert_eq!(shop.inbox().await, ["paymentCaptured unmatched unknown-charge"]);
    // the call is made, and its answer is not written down
    let zombie = shop.run_and_die(placed.saga_id, &place("pay", Lane::Forward), Death::BeforeRecord).await;
    shop.look_again().await;
    assert_eq!(shop.inbox().await, ["paymentCaptured told"]);
    shop.run_until(placed.saga_id, "completed").await;
    shop.wake(zombie).await;
    shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_late_is_given_back_whatever_it_is() {
    let (shop, placed, late, _) = given_up().await;
    shop.run_until(placed.saga_id, "compensated").await;
    let mut other = item(&late);
    other["amount"]["value"] = json!(PRICE - 100);
    shop.receive(&notification([other])).await.unwrap();
    assert_eq!(shop.inbox().await.last().unwrap(), "paymentCaptured settling");
    assert_eq!(shop.run_all("settle-doubt").await, ["completed"]);
    let order = shop.see(placed.order_id).await;
    assert_eq!((order.status, order.payments[0].status.as_str()), (OrderStatus::Cancelled, "refunded"));
    assert_eq!(order.refunds[0].amount.amount_minor, PRICE - 100);
    assert_eq!(shop.kept(placed.order_id).await, 100, "it is what the gateway says that it is");
    shop.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_webhooks_of_one_late_capture_start_one_saga() {
    let (shop, placed, late, _) = given_up().await;
    shop.run_until(placed.saga_id, "compensated").await;
    // as two processes that take them at the same time
    let psp = item(&late)["pspReference"].as_str().unwrap().to_owned();
    let told = tokio::join!(shop.receive(&late), capture(&shop, placed.order_id, &psp, PRICE, "e2"));
    told.0.unwrap();
    let sagas = shop.run_all("settle-doubt").await;
    assert_eq!(sagas, ["completed"]);
    // once more when that one is over, and the charge shows what it has taken
    capture(&shop, placed.order_id, &psp, PRICE, "e3").await;
    assert_eq!(shop.inbox().await.last().unwrap(), "paymentCaptured known");
    assert_eq!(shop.run_all("settle-doubt").await.len(), 1);
    shop.assert_ended(placed.order_id, OrderStatus::Cancelled).await;
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_whose_saga_is_history_is_given_back() {
    let (shop, placed, late, _) = given_up().await;
    shop.run_until(placed.saga_id, "compensated").await;
    super::history::drop_everything(&shop).await;
    shop.receive(&late).await.unwrap();
    assert_eq!(shop.inbox().await.last().unwrap(), "paymentCaptured settling");
    assert_eq!(shop.run_all("settle-doubt").await, ["completed"]);
    shop.assert_ended(placed.order_id, OrderStatus::Cancelled).await;
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_contradicts_a_capture_is_for_a_person_while_its_saga_lives_as_well() {
    let shop = Shop::open().await;
    let placed = shop.order(VISA).await;
    shop.run_and_die(placed.saga_id, &place("pay", Lane::Forward), Death::AfterRecord).await;
    let reference = shop.see(placed.order_id).await.payments[0].reference.clone().unwrap().to_string();
    stripe_event(&shop, "e1", "payment_intent.succeeded", 1, succeeded(&reference, PRICE + 1)).await;
    assert_eq!(shop.signals(placed.saga_id).await, 0, "it counts on what the gateway has answered");
    stripe_event(&shop, "e2", "payment_intent.canceled", 2, succeeded(&reference, PRICE)).await;
    assert_eq!(shop.signals(placed.saga_id).await, 1);
    let kept = ["paymentCaptured unmatched amount-mismatch", "paymentVoided unmatched contradicts-capture"];
    assert_eq!(shop.inbox().await, kept);
    shop.run_until(placed.saga_id, "completed").await;
    shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn news_of_what_never_stands_still_is_refused_and_taken_when_it_does() {
    let shop = Shop::open().await;
    let (placed, reference) = processing(&shop).await;
    shop.move_whenever_told("booking.payments set status = 'inDoubt'").await;
    let told = try_capture(&shop, placed.order_id, &reference, PRICE, "e1").await;
    assert!(matches!(told, Err(NewsError::Moving)), "{told:?}");
    assert_eq!((shop.inbox().await.len(), shop.signals(placed.saga_id).await), (0, 0));
    shop.stand_still().await;
    capture(&shop, placed.order_id, &reference, PRICE, "e1").await;
    assert_eq!(shop.inbox().await, ["paymentCaptured told"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_a_second_time_under_our_name_is_given_back() {
    let shop = Shop::at_adyen().await;
    let placed = shop.confirmed().await;
    let first = shop.letter("AUTHORISATION").await;
    let ours = item(&first)["merchantReference"].clone();
    let again = json!({
        "merchantAccount": "TestMerchant", "amount": {"currency": "GBP", "value": PRICE}, "reference": ours,
        "paymentMethod": {"type": "scheme", "storedPaymentMethodId": VISA}, "shopperInteraction": "ContAuth",
        "recurringProcessingModel": "CardOnFile", "returnUrl": "https://shop.example.org/return", "metadata": {"orderId": placed.order_id},
    });
    shop.pay_at_adyen(&again).await;
    assert_eq!(shop.kept(placed.order_id).await, 2 * PRICE);
    let second = shop.letter("AUTHORISATION").await;
    shop.receive(&second).await.unwrap();
    shop.look_again().await;
    // what the charge is called may be somebody's invention: nothing is given back on that
    assert_eq!(shop.inbox().await, ["paymentCaptured unmatched second-capture"]);
    shop.receive(&first).await.unwrap();
    shop.look_again().await;
    assert_eq!(shop.inbox().await, ["paymentCaptured settling", "paymentCaptured known"]);
    assert_eq!(shop.run_all("settle-doubt").await, ["completed"]);
    let order = shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
    let statuses: Vec<_> = order.payments.iter().map(|payment| payment.status.as_str()).collect();
    assert_eq!(statuses, ["captured", "refunded"]);
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_item_that_cannot_be_taken_keeps_out_none_behind_it() {
    let shop = Shop::at_adyen().await;
    shop.confirmed().await;
    let known = item(&shop.letter("AUTHORISATION").await);
    let with = |event: &str, change: &dyn Fn(&mut Value)| {
        let mut other = known.clone();
        other["eventCode"] = json!(event);
        change(&mut other);
        other
    };
    let unreadable = with("AUTHORISATION", &|item| {
        item["pspReference"] = json!("8836");
        item["amount"]["currency"] = json!("ZZZ");
    });
    shop.receive(&notification([unreadable, known.clone()])).await.unwrap();
    assert_eq!(shop.inbox().await, ["unreadable unmatched unreadable", "paymentCaptured known"]);

    let (moving, late, _) = in_flight(&shop).await;
    shop.move_whenever_told("booking.payments set status = 'inDoubt' where status = 'pending'").await;
    let behind = with("REPORT_AVAILABLE", &|_| {});
    let told = shop.receive(&notification([item(&late), behind])).await;
    assert!(matches!(told, Err(NewsError::Moving)), "{told:?}");
    assert_eq!(shop.inbox().await[2..], ["other ignored"]);
    shop.stand_still().await;
    shop.receive(&late).await.unwrap();
    assert_eq!(shop.inbox().await[3..], ["paymentCaptured told"]);
    assert_eq!(shop.signals(moving.saga_id).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_capture_of_nothing_is_kept() {
    let (shop, placed, late, _) = given_up().await;
    shop.run_until(placed.saga_id, "compensated").await;
    let mut nothing = item(&late);
    nothing["amount"]["value"] = json!(0);
    shop.receive(&notification([nothing])).await.unwrap();
    assert_eq!(shop.inbox().await.last().unwrap(), "paymentCaptured unmatched late-capture");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_vouches_for_the_order_may_mean_the_charge_that_was_given_up() {
    let (shop, placed, late, _) = given_up().await;
    shop.run_until(placed.saga_id, "compensated").await;
    let psp = item(&late)["pspReference"].as_str().unwrap().to_owned();
    capture(&shop, placed.order_id, &psp, PRICE, "e1").await;
    assert_eq!(shop.inbox().await.last().unwrap(), "paymentCaptured settling");
    assert_eq!(shop.run_all("settle-doubt").await, ["completed"]);
    shop.assert_ended(placed.order_id, OrderStatus::Cancelled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_news_is_forgotten_but_for_what_waits_for_a_person() {
    let shop = Shop::open().await;
    stripe_event(&shop, "e1", "payment_intent.succeeded", 1, succeeded("pi_nobody", 100)).await;
    stripe_event(&shop, "e2", "invoice.paid", 1, json!({})).await;
    let month = Duration::from_secs(30 * 86_400);
    assert_eq!(expire_news(&shop.pool, month, 10).await.unwrap(), 0);
    sqlx::query("update booking.webhook_inbox set received_at = now() - interval '31 days'")
        .execute(&shop.pool)
        .await
        .unwrap();
    assert_eq!(expire_news(&shop.pool, month, 10).await.unwrap(), 1);
    assert_eq!(shop.inbox().await, ["paymentCaptured unmatched unknown-charge"]);
}
