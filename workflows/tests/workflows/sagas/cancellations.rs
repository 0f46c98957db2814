//! Buyers who give back seats, or all of an order, beside what finance asks for.

use super::{
    refunds::{LIMIT, approval, ask, keeps, say, sold, wish},
    shop::{PRICE, Shop, anybody},
};
use workflows::{
    approvals::{ApprovalState, DecideError},
    ids::OrderId,
    orders::{CancelError, CancelOrder, Cancellation, Cancelled, OrderStatus, cancel},
    seats::SeatStatus,
};

pub(super) async fn give_back(shop: &Shop, order: OrderId, seats: &[String]) -> Result<Cancelled, CancelError> {
    let request = CancelOrder {
        order_id: order,
        reason: "ill".to_owned(),
        seat_ids: (!seats.is_empty()).then(|| seats.to_vec()),
        idempotency_key: None,
        address: None,
    };
    cancel(&shop.engine, &anybody(), request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_gives_some_seats_back_and_keeps_the_others() {
    let shop = Shop::open().await;
    let (order, seats) = sold(&shop, 3).await;
    let asking = (0..10).map(|_| give_back(&shop, order, &seats[..1]));
    let answers: Vec<_> = futures::future::join_all(asking).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| matches!(answer, Cancelled::New(_))).count(), 1, "{answers:?}");
    let first: Cancellation = answers[0].cancellation();
    assert!(answers.iter().all(|answer| answer.cancellation() == first));
    shop.run_until(first.saga_id, "completed").await;
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Confirmed, 2 * PRICE, 2));
    assert_eq!(shop.seat_status(&seats[0]).await, SeatStatus::Available);
    let overlapping = give_back(&shop, order, &seats[..2]).await.unwrap_err();
    assert!(matches!(overlapping, CancelError::NotCancellable(_)), "{overlapping:?}");
    shop.assert_well().await;
    // the rest, by name or as a whole, is all of it
    let rest = give_back(&shop, order, &seats[1..]).await.unwrap().cancellation();
    shop.run_until(rest.saga_id, "completed").await;
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Cancelled, 0, 0));
    assert_eq!(give_back(&shop, order, &seats[..1]).await.unwrap(), Cancelled::Replayed(first));
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_cancellation_gives_back_what_is_left_and_needs_nobody() {
    let shop = Shop::open().await;
    let (order, seats) = sold(&shop, 4).await;
    let part = give_back(&shop, order, &seats[1..2]).await.unwrap().cancellation();
    let whole = give_back(&shop, order, &[]).await.unwrap().cancellation();
    let refused = give_back(&shop, order, &seats[..1]).await.unwrap_err();
    assert!(matches!(refused, CancelError::NotCancellable(_)), "{refused:?}");
    shop.run_until(whole.saga_id, "completed").await;
    shop.run_until(part.saga_id, "completed").await;
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Cancelled, 0, 0));
    const { assert!(3 * PRICE > LIMIT, "finance would have had to wait for this") };
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_second_person_keeps_no_buyer_waiting() {
    let shop = Shop::open().await;
    let (order, seats) = sold(&shop, 4).await;
    let beside = ask(&shop, order, wish(Some(LIMIT + 1), &[]), "beside").await.unwrap();
    let part = give_back(&shop, order, &seats[..1]).await.unwrap().cancellation();
    shop.run_until(part.saga_id, "completed").await;
    assert_eq!(approval(&shop, &beside).await.state, ApprovalState::Requested, "it was not in the way");

    let whole = give_back(&shop, order, &[]).await.unwrap().cancellation();
    let void = say(&shop, "bert", beside.approval_id.unwrap(), true).await.unwrap_err();
    assert!(matches!(void, DecideError::Void(_)), "{void:?}");
    let view = shop.run_until(beside.saga_id, "compensated").await;
    assert_eq!(view.run.cause.unwrap().code, "refund-withdrawn");
    shop.run_until(whole.saga_id, "completed").await;
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Cancelled, 0, 0));
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_that_wait_for_a_second_person_are_given_back_by_their_buyer() {
    let shop = Shop::open().await;
    let (order, seats) = sold(&shop, 4).await;
    let asked = ask(&shop, order, wish(None, &seats[..3]), "k").await.unwrap();
    assert_eq!(asked.state, "requested");
    shop.run_until(asked.saga_id, "waiting").await;
    let own = give_back(&shop, order, &seats[..1]).await.unwrap().cancellation();
    shop.run_until(asked.saga_id, "compensated").await;
    shop.run_until(own.saga_id, "completed").await;
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Confirmed, 3 * PRICE, 3));
    assert_eq!(approval(&shop, &asked).await.state, ApprovalState::Void);
    shop.assert_well().await;
}
