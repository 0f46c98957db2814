//! What gateways tell of refunds.

use super::{news::cancelled, shop::Shop};
use orchestrator::{SagaId, journal::Entry};
use serde_json::json;
use workflows::{orders::OrderStatus, payments::NewsError, refunds::refund_signal};

/// How often a refund was about to be asked for.
async fn intents(shop: &Shop, saga: SagaId) -> usize {
    let journal = shop.view(saga).await.journal;
    journal
        .iter()
        .filter(|recorded| matches!(&recorded.entry, Entry::Intended { step, .. } if step == "submit"))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_ends_when_the_webhook_says_so() {
    let shop = Shop::at_adyen().await;
    let placed = shop.confirmed().await;
    let saga = cancelled(&shop, placed.order_id).await;
    shop.run_until(saga, "waiting").await;
    assert_eq!(shop.see(placed.order_id).await.refunds[0].state, "pending");
    let letter = shop.letter("\"REFUND\",\"eventDate").await;
    shop.receive(&letter).await.unwrap();
    shop.receive(&letter).await.unwrap();
    shop.run_until(saga, "completed").await;
    shop.assert_ended(placed.order_id, OrderStatus::Cancelled).await;
    assert_eq!(shop.see(placed.order_id).await.refunds[0].state, "succeeded");
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_whose_answer_is_lost_is_asked_for_again_by_the_same_key() {
    let shop = Shop::at_adyen().await;
    let placed = shop.confirmed().await;
    shop.gateway_fault(json!({"fault": "timeout_after", "operation": "refund", "count": 1})).await;
    let saga = cancelled(&shop, placed.order_id).await;
    // what is told of it is held back until the second call is answered
    shop.run_until(saga, "waiting").await;
    assert_eq!(intents(&shop, saga).await, 2);
    let refunds = shop.refunds_at_primary().await;
    let asked: Vec<_> = refunds.iter().map(|refund| (&refund["asked"], refund["idempotencyKeys"].as_array())).collect();
    assert!(matches!(asked[..], [(times, Some(keys))] if *times == 2 && keys.len() == 1), "{refunds:?}");
    let letter = shop.letter("\"REFUND\",\"eventDate").await;
    shop.receive(&letter).await.unwrap();
    shop.run_until(saga, "completed").await;
    shop.assert_ended(placed.order_id, OrderStatus::Cancelled).await;
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_is_waited_for_again_is_still_pending() {
    let shop = Shop::at_adyen().await;
    let placed = shop.confirmed().await;
    let saga = cancelled(&shop, placed.order_id).await;
    shop.run_until(saga, "waiting").await;
    // it is woken by what says nothing of this try
    let refund = shop.see(placed.order_id).await.refunds[0].refund_id;
    shop.engine.signal(saga, &refund_signal(refund), json!({}), "test").await.unwrap();
    while intents(&shop, saga).await < 2 {
        shop.turn().await;
    }
    shop.run_until(saga, "waiting").await;
    assert_eq!(shop.see(placed.order_id).await.refunds[0].state, "pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn news_of_a_refund_that_moves_meanwhile_is_looked_at_again() {
    let shop = Shop::at_adyen().await;
    let placed = shop.confirmed().await;
    let saga = cancelled(&shop, placed.order_id).await;
    shop.run_until(saga, "waiting").await;
    let letter = shop.letter("\"REFUND\",\"eventDate").await;
    shop.move_whenever_told("booking.refunds set generation = generation + 1").await;
    let told = shop.receive(&letter).await;
    shop.stand_still().await;
    assert!(matches!(told, Err(NewsError::Moving)), "{told:?}");
    assert_eq!(shop.signals(saga).await, 0);
    shop.receive(&letter).await.unwrap();
    shop.run_until(saga, "completed").await;
}
