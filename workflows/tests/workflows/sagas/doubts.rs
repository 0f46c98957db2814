//! Charges that an order has left behind: a saga of their own ends each, and gives back what it has taken.

use super::{
    faults::{Fault, Place},
    late_news::item,
    news::capture,
    shop::{PATIENCE, PRICE, Shop, VISA, anybody, placement},
};
use orchestrator::{
    SagaId,
    action::{Lane, Wait},
    ids::Uuid,
    journal::Entry,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Instant};
use workflows::{
    ids::OrderId,
    orders::{CancelOrder, Order, OrderStatus, PaymentMethod, Placement, REFUND_ORDER, cancel},
};

const PRIMARY: usize = 0;
const BACKUP: usize = 1;
const SETTLE: &str = "settle-doubt";

/// Every attempt that the order shows, in order, with what became of it.
fn attempts(order: &Order) -> Vec<(&str, &str)> {
    order.payments.iter().map(|payment| (payment.gateway.as_str(), payment.status.as_str())).collect()
}

/// From now on nobody can tell what the primary does with a charge, and nobody can end one there.
pub(super) async fn go_dark(shop: &Shop, fault: &str) {
    shop.fault_at(PRIMARY, json!({"fault": fault, "operation": "charge"})).await;
    for operation in ["probe", "void"] {
        shop.fault_at(PRIMARY, json!({"fault": "error_500", "operation": operation})).await;
    }
}

/// What a gateway's own books say that it has of an order.
async fn kept(shop: &Shop, gateway: usize, order: OrderId) -> i64 {
    let kept = |charge: &Value| charge["captured"].as_i64().unwrap() - charge["refunded"].as_i64().unwrap();
    shop.charges_at(gateway, order).await.iter().map(kept).sum()
}

async fn has_entry(shop: &Shop, placed: &Placement, wanted: impl Fn(&Entry) -> bool) -> bool {
    shop.view(placed.saga_id).await.journal.iter().any(|recorded| wanted(&recorded.entry))
}

async fn was_left_behind(shop: &Shop, placed: &Placement) -> bool {
    has_entry(shop, placed, |entry| matches!(entry, Entry::Noted { note, .. } if note["payment"] == "leftBehind")).await
}

async fn waits_for_settlement(shop: &Shop, placed: &Placement) -> bool {
    let waits = |entry: &Entry| matches!(entry, Entry::Waits { wait: Wait { child: Some(child), .. }, .. } if child.definition == SETTLE);
    has_entry(shop, placed, waits).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_was_taken_in_the_dark_is_given_back_and_the_order_stays() {
    for protocol in ["stripe", "adyen"] {
        let shop = Shop::with_backup(protocol).await;
        go_dark(&shop, "timeout_after").await;
        let placed = shop.order(VISA).await;
        shop.run_until(placed.saga_id, "completed").await;
        assert!(was_left_behind(&shop, &placed).await);
        assert_eq!(attempts(&shop.see(placed.order_id).await), [("primary", "inDoubt"), ("backup", "captured")]);
        // the nightmare, for as long as the gateway cannot be asked
        assert_eq!(
            (kept(&shop, PRIMARY, placed.order_id).await, kept(&shop, BACKUP, placed.order_id).await),
            (PRICE, PRICE)
        );
        shop.assert_well().await;

        shop.heal_gateway().await;
        assert_eq!(shop.run_all(SETTLE).await, ["completed"]);
        let order = shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
        assert_eq!(attempts(&order), [("primary", "refunded"), ("backup", "captured")]);
        assert_eq!(order.refunds.iter().map(|refund| refund.state.as_str()).collect::<Vec<_>>(), ["succeeded"]);
        assert!(order.refunds[0].seat_ids.is_empty());
        shop.assert_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_that_never_arrived_is_ended() {
    let shop = Shop::with_backup("stripe").await;
    go_dark(&shop, "timeout_before").await;
    let placed = shop.order(VISA).await;
    shop.run_until(placed.saga_id, "completed").await;
    assert!(was_left_behind(&shop, &placed).await);
    shop.heal_gateway().await;
    assert_eq!(shop.run_all(SETTLE).await, ["completed"]);
    let order = shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
    assert_eq!(attempts(&order), [("primary", "voided"), ("backup", "captured")]);
    assert!(order.refunds.is_empty());
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_cannot_be_asked_has_the_last_word_by_webhook() {
    for (fault, ended) in [("timeout_after", "refunded"), ("timeout_before", "voided")] {
        let shop = Shop::between("adyen", "stripe").await;
        go_dark(&shop, fault).await;
        let placed = shop.order(VISA).await;
        // its webhooks come when it is well again
        shop.run_until(placed.saga_id, "completed").await;
        assert!(was_left_behind(&shop, &placed).await);
        shop.heal_gateway().await;
        assert_eq!(shop.run_all(SETTLE).await, ["completed"], "{fault}");
        let order = shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
        assert_eq!(attempts(&order), [("primary", ended), ("backup", "captured")], "{fault}");
        shop.assert_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_rejected_only_when_what_it_left_behind_is_back() {
    let shop = Shop::with_backup("stripe").await;
    go_dark(&shop, "timeout_after").await;
    let hold = shop.hold("ada", 1).await;
    let method = BTreeMap::from([
        ("primary".to_owned(), VISA.to_owned()),
        ("backup".to_owned(), "pm_card_chargeDeclinedLostCard".to_owned()),
    ]);
    let placed = placement(shop.place_with(&hold, PaymentMethod::ByGateway(method), "both").await.unwrap());
    while !waits_for_settlement(&shop, &placed).await {
        shop.turn().await;
    }
    assert!(was_left_behind(&shop, &placed).await);
    assert_eq!(shop.see(placed.order_id).await.status, OrderStatus::Pending);
    shop.heal_gateway().await;
    shop.run_until(placed.saga_id, "compensated").await;
    let order = shop.assert_ended(placed.order_id, OrderStatus::Rejected).await;
    assert_eq!(attempts(&order), [("primary", "refunded"), ("backup", "declined")]);
    assert_eq!(order.reason.as_deref(), Some("card-declined:lost_card"));
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_order_gives_back_what_it_left_behind_as_well() {
    let shop = Shop::with_backup("stripe").await;
    go_dark(&shop, "timeout_after").await;
    let placed = shop.order(VISA).await;
    shop.run_until(placed.saga_id, "completed").await;
    assert!(was_left_behind(&shop, &placed).await);
    let request = CancelOrder {
        order_id: placed.order_id,
        reason: "ill".to_owned(),
        seat_ids: None,
        idempotency_key: None,
        address: None,
    };
    let refund = cancel(&shop.engine, &anybody(), request).await.unwrap().cancellation().saga_id;
    shop.run_until(refund, "completed").await;
    assert_eq!(shop.see(placed.order_id).await.status, OrderStatus::Cancelled, "its own money is back");
    shop.heal_gateway().await;
    assert_eq!(shop.run_all(SETTLE).await, ["completed"]);
    let order = shop.assert_ended(placed.order_id, OrderStatus::Cancelled).await;
    assert_eq!(attempts(&order), [("primary", "refunded"), ("backup", "refunded")]);
    assert_eq!(order.reason.as_deref(), Some("ill"));
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_is_told_after_its_doubt_was_settled_is_given_back_too() {
    let shop = Shop::between("adyen", "stripe").await;
    go_dark(&shop, "timeout_after").await;
    let placed = shop.order(VISA).await;
    shop.run_until(placed.saga_id, "completed").await;
    let late = shop.letter("AUTHORISATION").await;
    shop.heal_gateway().await;
    while shop.see(placed.order_id).await.payments[0].status != "voided" {
        let turn = async {
            shop.turn().await;
            None
        };
        if let Some(letter) = tokio::select! { letter = shop.postbox().next() => Some(letter), none = turn => none } {
            assert!(letter.says("TECHNICAL_CANCEL"), "nothing was there that could be cancelled");
            shop.receive(&letter).await.unwrap();
        }
    }
    assert_eq!(shop.run_all(SETTLE).await, ["completed"], "nothing came in all the time in which it could");

    // told twice at once, in two ways: one more saga looks after it, not two
    let psp = item(&late)["pspReference"].as_str().unwrap().to_owned();
    let told = tokio::join!(shop.receive(&late), capture(&shop, placed.order_id, &psp, PRICE, "e2"));
    told.0.unwrap();
    assert!(shop.inbox().await.contains(&"paymentCaptured settling".to_owned()));
    assert_eq!(shop.run_all(SETTLE).await, ["completed", "completed"]);
    let order = shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
    assert_eq!(attempts(&order), [("primary", "refunded"), ("backup", "captured")]);
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doubt_at_a_gateway_that_turns_calls_away_from_then_on_does_not_cost_the_order() {
    let shop = Shop::between("adyen", "stripe").await;
    // the second rule holds when the first is used up
    shop.fault_at(PRIMARY, json!({"fault": "timeout_before", "operation": "charge", "count": 1, "delayMs": 0})).await;
    shop.fault_at(PRIMARY, json!({"fault": "rate_limited", "operation": "charge"})).await;
    let placed = shop.order(VISA).await;
    shop.run_until(placed.saga_id, "completed").await;
    assert!(was_left_behind(&shop, &placed).await);
    assert_eq!(attempts(&shop.see(placed.order_id).await), [("primary", "inDoubt"), ("backup", "captured")]);
    shop.heal_gateway().await;
    assert_eq!(shop.run_all(SETTLE).await, ["completed"]);
    let order = shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
    assert_eq!(attempts(&order), [("primary", "voided"), ("backup", "captured")]);
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_of_what_was_left_behind_that_gets_stuck_leaves_the_order_as_it_is() {
    let shop = Shop::with_backup("stripe").await;
    go_dark(&shop, "timeout_after").await;
    let placed = shop.order(VISA).await;
    shop.run_until(placed.saga_id, "completed").await;
    shop.heal_gateway().await;
    let submit = Place { definition: REFUND_ORDER.to_owned(), step: "submit".to_owned(), lane: Lane::Forward };
    shop.knobs.turn(&submit, Fault::Refuse);
    let began = Instant::now();
    let stuck = loop {
        let saga: Option<Uuid> =
            sqlx::query_scalar("select saga_id from engine.sagas where definition = $1 and state = 'stuck'")
                .bind(REFUND_ORDER)
                .fetch_optional(&shop.pool)
                .await
                .unwrap();
        match saga {
            Some(saga) => break SagaId(saga),
            None => shop.turn().await,
        }
        assert!(began.elapsed() < PATIENCE, "no refund was stuck");
    };
    assert_eq!(shop.see(placed.order_id).await.status, OrderStatus::Confirmed, "it has its tickets");
    shop.knobs.reset();
    shop.retry(stuck).await;
    assert_eq!(shop.see(placed.order_id).await.status, OrderStatus::Confirmed);
    assert_eq!(shop.run_all(SETTLE).await, ["completed"]);
    let order = shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
    assert_eq!(attempts(&order), [("primary", "refunded"), ("backup", "captured")]);
    shop.assert_well().await;
}
