//! An order whose saga was stopped goes on in another: money that was taken is taken once.

use super::{
    faults::Place,
    refunds::{ask, wish},
    shop::{Death, PRICE, Shop, VISA},
};
use orchestrator::{
    SagaId,
    action::Lane,
    acts::{Act, ActAnswer, ActError, ActRequest},
};
use workflows::{cases::close_killed, orders::OrderStatus, seats::SeatStatus};

async fn act(shop: &Shop, saga: SagaId, act: Act) -> Result<ActAnswer, ActError> {
    let seq = shop.view(saga).await.run.seq;
    let (reason, by) = ("a test".to_owned(), "olga".to_owned());
    shop.engine.act(ActRequest { saga_id: saga, act, reason, seq, by, address: None }).await
}

fn fork(step: &str) -> Act {
    Act::Fork { step: step.to_owned(), input: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_stopped_after_it_was_paid_comes_to_its_tickets() {
    let shop = Shop::open().await;
    let placed = shop.order(VISA).await;
    let pay = Place { definition: "book-tickets".to_owned(), step: "pay".to_owned(), lane: Lane::Forward };
    let zombie = shop.run_and_die(placed.saga_id, &pay, Death::AfterRecord).await;
    act(&shop, placed.saga_id, Act::Kill).await.unwrap();
    shop.wake(zombie).await;
    assert_eq!(shop.see(placed.order_id).await.status, OrderStatus::Attention);
    for step in ["hold", "pay"] {
        let refused = act(&shop, placed.saga_id, fork(step)).await;
        assert!(matches!(&refused, Err(ActError::NotAllowed(why)) if why.contains("`pay` moves money")), "{refused:?}");
    }
    act(&shop, placed.saga_id, fork("commit")).await.unwrap();
    let forked = shop.view(placed.saga_id).await.run.forked_into.unwrap();
    assert_eq!(shop.see(placed.order_id).await.saga_id, forked);
    shop.run_until(forked, "completed").await;
    assert_eq!(shop.kept(placed.order_id).await, PRICE);
    assert_eq!(shop.charges(placed.order_id).await.len(), 1);
    let order = shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
    assert_eq!(order.tickets.len(), 1);
    assert_eq!(close_killed(&shop.pool).await.unwrap(), 1, "nothing of it is left to the one that was killed");
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_whose_seats_are_gone_gives_the_money_back() {
    let shop = Shop::open().await;
    let placed = shop.order(VISA).await;
    let pay = Place { definition: "book-tickets".to_owned(), step: "pay".to_owned(), lane: Lane::Forward };
    let zombie = shop.run_and_die(placed.saga_id, &pay, Death::AfterRecord).await;
    act(&shop, placed.saga_id, Act::Kill).await.unwrap();
    shop.wake(zombie).await;
    let seats = shop.see(placed.order_id).await.seat_ids;
    shop.end_hold(placed.order_id).await;
    shop.hold_seats("rival", &seats).await;
    act(&shop, placed.saga_id, fork("commit")).await.unwrap();
    let forked = shop.view(placed.saga_id).await.run.forked_into.unwrap();
    shop.run_until(forked, "compensated").await;
    assert_eq!(shop.kept(placed.order_id).await, 0);
    assert_eq!(shop.see(placed.order_id).await.status, OrderStatus::Rejected);
    assert_eq!(shop.seat_status(&seats[0]).await, SeatStatus::Held, "the rival's");
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_behind_the_pivot_issues_the_same_tickets() {
    let shop = Shop::open().await;
    let placed = shop.confirmed().await;
    let before = shop.see(placed.order_id).await;
    act(&shop, placed.saga_id, fork("issue")).await.unwrap();
    let forked = shop.view(placed.saga_id).await.run.forked_into.unwrap();
    shop.run_until(forked, "completed").await;
    let after = shop.assert_ended(placed.order_id, OrderStatus::Confirmed).await;
    assert_eq!(after.tickets, before.tickets);
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_money_is_asked_back_does_not_go_on() {
    let shop = Shop::open().await;
    let placed = shop.order(VISA).await;
    let pay = Place { definition: "book-tickets".to_owned(), step: "pay".to_owned(), lane: Lane::Forward };
    let zombie = shop.run_and_die(placed.saga_id, &pay, Death::AfterRecord).await;
    act(&shop, placed.saga_id, Act::Kill).await.unwrap();
    shop.wake(zombie).await;
    let asked = ask(&shop, placed.order_id, wish(None, &[]), "k").await.unwrap();
    for _ in 0..2 {
        let refused = act(&shop, placed.saga_id, fork("commit")).await;
        assert!(matches!(&refused, Err(ActError::NotAllowed(why)) if why.contains("asked back")), "{refused:?}");
        shop.run_until(asked.saga_id, "completed").await;
    }
    assert!(shop.see(placed.order_id).await.tickets.is_empty());
    assert_eq!(shop.kept(placed.order_id).await, 0);
}
