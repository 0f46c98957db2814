//! Placing, seeing, waiting for and cancelling orders.

use super::shop::{Shop, VISA, anybody, only, placement};
use orchestrator::{Start, ids::SagaId};
use serde_json::json;
use std::{collections::BTreeMap, time::Duration};
use workflows::{
    ids::OrderId,
    orders::{
        CancelError, CancelOrder, Cancelled, OrderFilter, OrderStatus, OrderWaits, PaymentMethod, PlaceError,
        PlaceOrder, Placed, cancel, find, list,
    },
    tickets::{self, TicketKeys},
};

pub(super) fn cancellation(order: OrderId) -> CancelOrder {
    CancelOrder { order_id: order, reason: "ill".to_owned(), seat_ids: None, idempotency_key: None, address: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_becomes_tickets() {
    let shop = Shop::open().await;
    let placed = shop.order(VISA).await;
    assert_eq!(shop.see(placed.order_id).await.status, OrderStatus::Pending);
    shop.run_until(placed.saga_id, "completed").await;
    let order = shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
    assert_eq!(order.payments.len(), 1);
    assert_eq!(order.payments[0].status, "captured");
    let verdict = tickets::verify(&shop.pool, &TicketKeys::development(), &order.tickets[0].code).await.unwrap();
    assert!(verdict.valid && verdict.seat_id.as_deref() == Some(&order.seat_ids[0]));
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_is_the_same_order_and_another_body_a_conflict() {
    let shop = Shop::open().await;
    let hold = shop.hold("ann", 1).await;
    let first = placement(shop.place(&hold, VISA, "k").await.unwrap());
    assert!(matches!(shop.place(&hold, VISA, "k").await, Ok(Placed::Replayed(again)) if again == first));
    assert!(matches!(shop.place(&hold, "pm_other", "k").await, Err(PlaceError::IdempotencyConflict)));
    assert!(matches!(shop.place(&hold, VISA, "other").await, Err(PlaceError::OrderExists)));
    shop.run_until(first.saga_id, "completed").await;
    assert!(matches!(shop.place(&hold, VISA, "k").await, Ok(Placed::Replayed(again)) if again == first));
    shop.assert_ended(first.order_id, OrderStatus::Confirmed).await;
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_at_once_with_one_key_place_one_order() {
    let shop = Shop::open().await;
    let hold = shop.hold("ann", 2).await;
    let placing = (0..40).map(|_| shop.place(&hold, VISA, "k"));
    let placed: Vec<_> = futures::future::join_all(placing).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(placed.iter().filter(|placed| matches!(placed, Placed::New(_))).count(), 1);
    let first = placement(placed[0]);
    assert!(placed.into_iter().all(|placed| placement(placed) == first));
    let orders: i64 = sqlx::query_scalar("select count(*) from booking.orders").fetch_one(&shop.pool).await.unwrap();
    assert_eq!(orders, 1);
    shop.run_until(first.saga_id, "completed").await;
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_who_hangs_up_finds_the_order_under_the_key() {
    let shop = Shop::open().await;
    for round in 0..40_u64 {
        let hold = shop.hold("ann", 1).await;
        let key = hold.hold_id.to_string();
        let hung_up = tokio::time::timeout(Duration::from_micros(100 * round), shop.place(&hold, VISA, &key));
        drop(hung_up.await);
        placement(shop.place(&hold, VISA, &key).await.unwrap());
    }
    let orders: i64 = sqlx::query_scalar("select count(*) from booking.orders").fetch_one(&shop.pool).await.unwrap();
    let sagas: i64 = sqlx::query_scalar("select count(*) from engine.sagas").fetch_one(&shop.pool).await.unwrap();
    assert_eq!((orders, sagas), (40, 40));
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_over_or_of_another_makes_no_order() {
    let shop = Shop::open().await;
    let hold = shop.hold("ann", 1).await;
    let request = PlaceOrder {
        hold_id: hold.hold_id,
        payment_method: PaymentMethod::Token(VISA.to_owned()),
        idempotency_key: "k".to_owned(),
        email: None,
    };
    assert!(matches!(shop.places.place(&only("bob"), request.clone()).await, Err(PlaceError::NotFound)));
    sqlx::query("update booking.holds set expires_at = now() - interval '1 second'").execute(&shop.pool).await.unwrap();
    sqlx::query("update booking.seats set held_until = now() - interval '1 second' where hold_id is not null")
        .execute(&shop.pool)
        .await
        .unwrap();
    assert!(matches!(shop.places.place(&only("ann"), request).await, Err(PlaceError::HoldExpired)));
    let kept: i64 =
        sqlx::query_scalar("select count(*) from booking.idempotency_keys").fetch_one(&shop.pool).await.unwrap();
    assert_eq!(kept, 0);
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_another_is_not_found() {
    let shop = Shop::open().await;
    let order = shop.confirmed().await.order_id;
    let (ann, bob) = (only("ann"), only("bob"));
    assert!(find(&shop.pool, &ann, order).await.unwrap().is_some());
    assert!(find(&shop.pool, &bob, order).await.unwrap().is_none());
    let all = OrderFilter { limit: 50, ..OrderFilter::default() };
    assert_eq!(list(&shop.pool, &bob, &all).await.unwrap(), []);
    assert_eq!(list(&shop.pool, &ann, &all).await.unwrap().len(), 1);
    let of_ann = OrderFilter { user: Some("ann".to_owned()), status: Some(OrderStatus::Confirmed), ..all };
    assert_eq!(list(&shop.pool, &bob, &of_ann).await.unwrap(), []);
    assert_eq!(list(&shop.pool, &anybody(), &of_ann).await.unwrap().len(), 1);
    assert!(matches!(cancel(&shop.engine, &bob, cancellation(order)).await, Err(CancelError::NotFound)));
    let ticket = shop.see(order).await.tickets[0].ticket_id;
    assert!(tickets::find(&shop.pool, &bob, ticket).await.unwrap().is_none());
    assert!(tickets::find(&shop.pool, &ann, ticket).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_is_told_when_the_order_is_settled() {
    let shop = Shop::open().await;
    let placed = shop.order(VISA).await;
    let waits = OrderWaits::new(shop.pool.clone());
    let began = std::time::Instant::now();
    waits.wait(placed.order_id, Duration::from_millis(150)).await;
    assert!(began.elapsed() < Duration::from_secs(5), "nothing came, and the time was over");
    let waiting = (0..50).map(|_| waits.wait(placed.order_id, Duration::from_secs(30)));
    let all = futures::future::join_all(waiting);
    let (_, _) = tokio::join!(all, shop.run_until(placed.saga_id, "completed"));
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(shop.see(placed.order_id).await.status, OrderStatus::Confirmed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_order_is_cancelled_and_paid_back() {
    let shop = Shop::open().await;
    let order = shop.confirmed().await.order_id;
    let code = shop.see(order).await.tickets[0].code.clone();
    let trusted = anybody();
    let asking = (0..10).map(|_| cancel(&shop.engine, &trusted, cancellation(order)));
    let answers: Vec<_> = futures::future::join_all(asking).await.into_iter().map(Result::unwrap).collect();
    let new = answers.iter().filter(|answer| matches!(answer, Cancelled::New(_))).count();
    assert_eq!(new, 1, "{answers:?}");
    let answers: Vec<_> = answers.into_iter().map(Cancelled::cancellation).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert!(answers[0].refund_id.is_some());
    assert_eq!(shop.see(order).await.status, OrderStatus::Cancelling);
    shop.run_until(answers[0].saga_id, "completed").await;
    let seen = shop.assert_ended(order, OrderStatus::Cancelled).await;
    assert_eq!(seen.refunds[0].state, "succeeded");
    assert_eq!(seen.payments[0].status, "refunded");
    assert_eq!(cancel(&shop.engine, &anybody(), cancellation(order)).await.unwrap(), Cancelled::Replayed(answers[0]));
    let verdict = tickets::verify(&shop.pool, &TicketKeys::development(), &code).await.unwrap();
    assert_eq!(verdict.reason, Some("revoked"));
    // the seat is sold again
    let again = shop.hold_seats("bob", &seen.seat_ids).await;
    let placed = placement(shop.place(&again, VISA, "again").await.unwrap());
    shop.run_until(placed.saga_id, "completed").await;
    shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_rejected_cannot_be_cancelled() {
    let shop = Shop::open().await;
    let placed = shop.order("pm_card_chargeDeclined").await;
    shop.run_until(placed.saga_id, "compensated").await;
    let seen = shop.assert_ended(placed.order_id, OrderStatus::Rejected).await;
    assert_eq!(seen.reason.as_deref(), Some("card-declined"));
    assert_eq!(seen.payments[0].status, "declined");
    let refused = cancel(&shop.engine, &anybody(), cancellation(placed.order_id)).await;
    assert!(matches!(refused, Err(CancelError::NotCancellable(_))));
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_seats_by_name_are_the_whole_order() {
    let shop = Shop::open().await;
    let hold = shop.hold("ann", 2).await;
    let placed = placement(shop.place(&hold, VISA, "k").await.unwrap());
    let one = CancelOrder { seat_ids: Some(vec![hold.seat_ids[0].clone()]), ..cancellation(placed.order_id) };
    // before there are tickets it is taken back as a whole
    assert!(matches!(cancel(&shop.engine, &anybody(), one).await, Err(CancelError::NotCancellable(_))));
    shop.run_until(placed.saga_id, "completed").await;
    let all = CancelOrder { seat_ids: Some(hold.seat_ids.clone()), ..cancellation(placed.order_id) };
    let cancelled = cancel(&shop.engine, &anybody(), all).await.unwrap().cancellation();
    assert_eq!(
        cancel(&shop.engine, &anybody(), cancellation(placed.order_id)).await.unwrap(),
        Cancelled::Replayed(cancelled)
    );
    shop.run_until(cancelled.saga_id, "completed").await;
    shop.assert_ended(placed.order_id, OrderStatus::Cancelled).await;
    shop.assert_well().await;
}

fn with_seats(order: OrderId, shop: &Shop, seats: &[String]) -> Start {
    Start {
        definition: "book-tickets".to_owned(),
        version: None,
        input: json!({
            "orderId": order, "paymentMethod": VISA, "eventId": shop.event, "seatIds": seats, "userId": "ann",
        }),
        owner: "test".to_owned(),
        key: SagaId::fresh().to_string(),
        tags: BTreeMap::new(),
        starts_at: None,
        priority: 0,
        parent: None,
        by: "test".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_is_started_with_seats_has_an_order_too() {
    let shop = Shop::open().await;
    let order = OrderId::fresh();
    let start = with_seats(order, &shop, &shop.seats[100..102]);
    let saga = shop.engine.start(start).await.unwrap().saga_id();
    shop.run_until(saga, "completed").await;
    let seen = shop.assert_ended(order, OrderStatus::Confirmed).await;
    assert_eq!((seen.saga_id, seen.user_id.as_str(), seen.tickets.len()), (saga, "ann", 2));
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_cannot_take_the_order_of_another() {
    let shop = Shop::open().await;
    let placed = shop.order(VISA).await;
    let mut start = with_seats(placed.order_id, &shop, &shop.seats[100..101]);
    start.input = json!({ "orderId": placed.order_id, "paymentMethod": VISA });
    start.priority = 10;
    let thief = shop.engine.start(start).await.unwrap().saga_id();
    let view = shop.run_until(thief, "compensated").await;
    assert_eq!(view.run.cause.unwrap().code, "order-exists");
    shop.run_until(placed.saga_id, "completed").await;
    shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rush_of_buyers_leaves_connections_for_everybody_else() {
    let shop = std::sync::Arc::new(Shop::open().await);
    let mut placing = Vec::new();
    for _ in 0..150 {
        let (hold, shop) = (shop.hold("ann", 1).await, std::sync::Arc::clone(&shop));
        let key = hold.hold_id.to_string();
        placing.push(async move { placement(shop.place(&hold, VISA, &key).await.unwrap()) });
    }
    let (placed, _) = tokio::join!(futures::future::join_all(placing), async {
        // more of these than the pool has connections, at the same time
        let asked = (0..30).map(|_| async {
            find(&shop.pool, &anybody(), OrderId::fresh()).await.unwrap();
        });
        futures::future::join_all(asked).await
    });
    for one in placed {
        shop.run_until(one.saga_id, "completed").await;
    }
    let filter = OrderFilter { status: Some(OrderStatus::Confirmed), limit: 500, ..OrderFilter::default() };
    assert_eq!(list(&shop.pool, &only("ann"), &filter).await.unwrap().len(), 150);
    shop.assert_well().await;
}
