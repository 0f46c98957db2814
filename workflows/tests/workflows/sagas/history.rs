//! Orders outlive their sagas.

use super::shop::{Shop, anybody};
use std::time::Duration;
use workflows::{
    ids::OrderId,
    orders::{CancelError, CancelOrder, Cancellation, Cancelled, OrderStatus, cancel},
};

/// Drops this week, and everything that has happened so far with it.
pub(super) async fn drop_everything(shop: &Shop) {
    orchestrator::start::expire_keys(&shop.pool, Duration::ZERO, 1_000).await.unwrap();
    sqlx::query("select engine.drop_week(first_id, after_id) from engine.weeks").execute(&shop.pool).await.unwrap();
    let sagas: i64 = sqlx::query_scalar("select count(*) from engine.sagas").fetch_one(&shop.pool).await.unwrap();
    assert_eq!(sagas, 0);
    shop.engine.make_partitions().await.unwrap();
}

async fn cancelled(shop: &Shop, order: OrderId) -> Result<Cancellation, CancelError> {
    let request =
        CancelOrder { order_id: order, reason: "ill".to_owned(), seat_ids: None, idempotency_key: None, address: None };
    cancel(&shop.engine, &anybody(), request).await.map(Cancelled::cancellation)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_saga_is_history_is_seen_checked_and_refunded_as_before() {
    let shop = Shop::open().await;
    let confirmed = shop.confirmed().await;
    let rejected = shop.order("pm_card_chargeDeclined").await;
    shop.run_until(rejected.saga_id, "compensated").await;
    let left = shop.confirmed().await;
    drop_everything(&shop).await;
    assert!(shop.engine.saga(confirmed.saga_id).await.unwrap().is_none());
    shop.assert_ended(confirmed.order_id, OrderStatus::Confirmed).await;
    shop.assert_ended(rejected.order_id, OrderStatus::Rejected).await;
    shop.assert_well().await;

    // its books are still looked at
    let missing = "update booking.payments set captured_minor = captured_minor + 1 where order_id = $1";
    sqlx::query(missing).bind(left.order_id.0).execute(&shop.pool).await.unwrap();
    let found = workflows::invariants::violations(&shop.pool).await.unwrap();
    assert_eq!(found.len(), 2, "by its tickets and by the ledger: {found:?}");
    // with a person, and nothing is left to take back
    sqlx::query("update booking.orders set status = 'attention', reason = 'left' where order_id = $1")
        .bind(left.order_id.0)
        .execute(&shop.pool)
        .await
        .unwrap();
    assert!(matches!(cancelled(&shop, left.order_id).await, Err(CancelError::NotCancellable(_))));
    let found = workflows::invariants::violations(&shop.pool).await.unwrap();
    assert_eq!(found.len(), 1, "the ledger says so still: {found:?}");

    let refund = cancelled(&shop, confirmed.order_id).await.unwrap();
    shop.run_until(refund.saga_id, "completed").await;
    shop.assert_ended(confirmed.order_id, OrderStatus::Cancelled).await;
    // a saga that was never there is another matter
    sqlx::query("delete from engine.dropped_weeks").execute(&shop.pool).await.unwrap();
    let found = workflows::invariants::violations(&shop.pool).await.unwrap();
    assert_eq!(found.len(), 4, "{found:?}");
}
