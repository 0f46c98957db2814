//! News that comes when nobody listens any more, or before anybody does.

use super::{
    faults::Place,
    news::{cancelled, capture, pending_at_adyen},
    shop::{Death, PRICE, Shop, VISA},
};
use orchestrator::action::Lane;
use workflows::orders::OrderStatus;

fn place(step: &str, lane: Lane) -> Place {
    Place { definition: "book-tickets".to_owned(), step: step.to_owned(), lane }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_is_told_when_nobody_listens_any_more_is_given_back() {
    let shop = Shop::at_adyen().await;
    let placed = shop.order(VISA).await;
    // the call is made, and its answer is not written down; what is told of it is late
    let zombie = shop.run_and_die(placed.saga_id, &place("pay", Lane::Forward), Death::BeforeRecord).await;
    let late = shop.letter("AUTHORISATION").await;
    cancelled(&shop, placed.order_id).await;
    let release = place("hold", Lane::Compensation);
    let end = shop.run_and_die(placed.saga_id, &release, Death::Before);
    let refusal = async {
        let letter = shop.letter("TECHNICAL_CANCEL").await;
        shop.receive(&letter).await.unwrap();
    };
    let (sleeper, ()) = tokio::join!(end, refusal);
    assert_eq!(shop.see(placed.order_id).await.payments[0].status, "voided");

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
    for dead in [zombie, sleeper] {
        shop.wake(dead).await;
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
