//! Two gateways: whoever is asked next, the order is paid once, and the first gateway's own books say so.

use super::shop::{PRICE, Shop, VISA, placement};
use orchestrator::SagaId;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use workflows::{
    ids::OrderId,
    orders::{Order, OrderStatus, PaymentMethod},
};

const PRIMARY: usize = 0;
const BACKUP: usize = 1;
const PROTOCOLS: [&str; 2] = ["stripe", "adyen"];

/// Every attempt that the order shows, with what became of it.
fn attempts(order: &Order) -> Vec<(&str, &str)> {
    order.payments.iter().map(|payment| (payment.gateway.as_str(), payment.status.as_str())).collect()
}

fn captured(charges: &[Value]) -> Vec<i64> {
    charges.iter().map(|charge| charge["captured"].as_i64().unwrap()).filter(|captured| *captured > 0).collect()
}

async fn assert_paid_at(shop: &Shop, order: OrderId, gateway: usize) {
    for place in [PRIMARY, BACKUP] {
        let expected: &[i64] = if place == gateway { &[PRICE] } else { &[] };
        assert_eq!(captured(&shop.charges_at(place, order).await), expected, "at gateway {place}");
    }
    shop.assert_ended(order, OrderStatus::Confirmed).await;
    shop.assert_well().await;
}

/// The codes of what went wrong with the payment, in order.
async fn failures(shop: &Shop, saga: SagaId) -> Vec<String> {
    let journal = shop.view(saga).await.journal;
    let failure = |entry: Value| Some(entry["failure"]["code"].as_str()?.to_owned());
    journal.iter().filter_map(|recorded| failure(json!(recorded.entry))).collect()
}

#[tokio::test]
async fn what_was_certainly_not_executed_is_asked_of_the_backup() {
    for protocol in PROTOCOLS {
        let shop = Shop::with_backup(protocol).await;
        shop.fault_at(PRIMARY, json!({"fault": "rate_limited", "operation": "all"})).await;
        let placed = shop.order(VISA).await;
        shop.run_until(placed.saga_id, "completed").await;
        assert_eq!(failures(&shop, placed.saga_id).await, ["gateway-unavailable"], "it failed where it was made to");
        assert_paid_at(&shop, placed.order_id, BACKUP).await;
        assert_eq!(attempts(&shop.see(placed.order_id).await).len(), 2);
    }
}

#[tokio::test]
async fn what_is_not_known_is_asked_about_and_ended_before_the_backup_is_asked() {
    for protocol in PROTOCOLS {
        for fault in ["error_500", "timeout_before", "reset"] {
            let shop = Shop::with_backup(protocol).await;
            shop.fault_at(PRIMARY, json!({"fault": fault, "operation": "charge"})).await;
            let placed = shop.order(VISA).await;
            shop.run_until(placed.saga_id, "completed").await;
            assert_eq!(failures(&shop, placed.saga_id).await[0], "gateway-doubt", "{fault}");
            let order = shop.see(placed.order_id).await;
            let mut attempts = attempts(&order);
            attempts.sort_unstable();
            assert_eq!(attempts, [("backup", "captured"), ("primary", "voided")], "{fault}");
            assert_paid_at(&shop, placed.order_id, BACKUP).await;
        }
    }
}

#[tokio::test]
async fn what_was_executed_although_its_answer_is_lost_is_kept() {
    let shop = Shop::with_backup("adyen").await;
    shop.fault_at(PRIMARY, json!({"fault": "timeout_after", "operation": "charge"})).await;
    let placed = shop.order(VISA).await;
    shop.run_until(placed.saga_id, "completed").await;
    assert_eq!(failures(&shop, placed.saga_id).await, ["gateway-doubt"]);
    assert_paid_at(&shop, placed.order_id, PRIMARY).await;
    assert!(shop.charges_at(BACKUP, placed.order_id).await.is_empty(), "the backup was not asked");
}

#[tokio::test]
async fn a_decline_goes_elsewhere_only_where_another_gateway_could_do_better() {
    for protocol in PROTOCOLS {
        let shop = Shop::with_backup(protocol).await;
        let method = |token: &str| {
            PaymentMethod::ByGateway(BTreeMap::from([("primary".into(), token.into()), ("backup".into(), VISA.into())]))
        };
        let hold = shop.hold("ada", 1).await;
        let error = method("pm_card_chargeDeclinedProcessingError");
        let placed = placement(shop.place_with(&hold, error, "elsewhere").await.unwrap());
        shop.run_until(placed.saga_id, "completed").await;
        assert_eq!(failures(&shop, placed.saga_id).await, ["card-declined:processing_error"]);
        assert_paid_at(&shop, placed.order_id, BACKUP).await;

        let hold = shop.hold("bob", 1).await;
        let lost = method("pm_card_chargeDeclinedLostCard");
        let placed = placement(shop.place_with(&hold, lost, "final").await.unwrap());
        shop.run_until(placed.saga_id, "compensated").await;
        shop.assert_ended(placed.order_id, OrderStatus::Rejected).await;
        assert!(shop.charges_at(BACKUP, placed.order_id).await.is_empty(), "nobody would do better");
        shop.assert_well().await;
    }
}

#[tokio::test]
async fn a_token_that_only_one_gateway_understands_goes_nowhere_else() {
    let shop = Shop::with_backup("adyen").await;
    shop.fault_at(PRIMARY, json!({"fault": "rate_limited", "operation": "all"})).await;
    let hold = shop.hold("ada", 1).await;
    let method = PaymentMethod::ByGateway(BTreeMap::from([("primary".into(), VISA.into())]));
    let placed = placement(shop.place_with(&hold, method, "one").await.unwrap());
    shop.run_until(placed.saga_id, "compensated").await;
    let order = shop.assert_ended(placed.order_id, OrderStatus::Rejected).await;
    assert_eq!(order.reason.as_deref(), Some("gateway-unavailable"));
    assert!(shop.charges_at(BACKUP, placed.order_id).await.is_empty());
    shop.assert_well().await;
}

#[tokio::test]
async fn when_nobody_could_be_reached_the_first_is_asked_again_by_the_same_key() {
    let shop = Shop::with_backup("stripe").await;
    for gateway in [PRIMARY, BACKUP] {
        shop.fault_at(gateway, json!({"fault": "rate_limited", "operation": "all", "count": 1})).await;
    }
    let placed = shop.order(VISA).await;
    shop.run_until(placed.saga_id, "completed").await;
    assert_paid_at(&shop, placed.order_id, PRIMARY).await;
    assert_eq!(shop.see(placed.order_id).await.payments.len(), 2, "one charge at each");
}

#[tokio::test]
async fn an_order_outlives_that_both_gateways_are_broken_for_seconds() {
    let shop = Shop::with_backup("adyen").await;
    for gateway in [PRIMARY, BACKUP] {
        shop.fault_at(gateway, json!({"fault": "error_500", "operation": "all", "count": 4})).await;
    }
    let placed = shop.order(VISA).await;
    shop.run_until(placed.saga_id, "completed").await;
    assert!(failures(&shop, placed.saga_id).await.len() >= 6, "they failed as often as they were made to");
    shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
    shop.assert_well().await;
}

#[tokio::test]
async fn a_gateway_that_repeats_its_500_for_ever_is_asked_for_another_charge() {
    let shop = Shop::open().await;
    shop.gateway_fault(json!({"fault": "error_500", "operation": "charge", "count": 1})).await;
    let placed = shop.order(VISA).await;
    shop.run_until(placed.saga_id, "completed").await;
    assert_eq!(captured(&shop.charges(placed.order_id).await), [PRICE]);
    let order = shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
    let mut attempts = attempts(&order);
    attempts.sort_unstable();
    assert_eq!(attempts, [("primary", "captured"), ("primary", "voided")]);
    shop.assert_well().await;
}
