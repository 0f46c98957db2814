//! Row 9: refunds that fail, come back, or go through in part. The gateways' own books say what they have paid back.

use super::{
    faults::Place,
    front::Front,
    news::cancelled,
    shop::{Death, PRICE, Shop, VISA},
};
use orchestrator::{
    SagaId,
    action::Lane,
    acts::{Act, ActRequest},
    journal::StuckCause,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use workflows::{
    cases::close_killed,
    gateways::{IdempotencyKey, RefundRequest},
    ids::{OrderId, RefundId},
    money::Money,
    orders::OrderStatus,
    refunds::{ReplayError, ReplayRefund, Replayed, replay},
    settings::BookingSettings,
};

/// What a refund's row says.
#[derive(Debug, PartialEq, Eq, sqlx::FromRow)]
struct Row {
    refund_id: uuid::Uuid,
    state: String,
    generation: i32,
    amount_minor: i64,
    outstanding_minor: i64,
    /// Of its payment.
    refunded_minor: i64,
    payment: String,
}

async fn row(shop: &Shop, order: OrderId) -> Row {
    sqlx::query_as(
        "select r.refund_id, r.state, r.generation, r.amount_minor, r.outstanding_minor, p.refunded_minor, p.status as payment
         from booking.refunds r join booking.payments p using (payment_id) where r.order_id = $1",
    )
    .bind(order.0)
    .fetch_one(&shop.pool)
    .await
    .unwrap()
}

/// State, generation and what is outstanding.
async fn stands(shop: &Shop, order: OrderId) -> (String, i32, i64) {
    let row = row(shop, order).await;
    (row.state, row.generation, row.outstanding_minor)
}

/// The primary's refunds, each with its state, amount and the generations that asked for it.
async fn at_primary(shop: &Shop) -> Vec<(String, i64, Vec<String>)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let generation = |key: &Value| text(key).rsplit(':').next().unwrap().to_owned();
    let of = |refund: &Value| {
        let keys = refund["idempotencyKeys"].as_array().unwrap().iter().map(generation).collect();
        (text(&refund["status"]), refund["amount"].as_i64().unwrap(), keys)
    };
    shop.refunds_at_primary().await.iter().map(of).collect()
}

pub(super) async fn person_wants(shop: &Shop, order: OrderId, by: &str) -> Result<Replayed, ReplayError> {
    let refund_id = RefundId(row(shop, order).await.refund_id);
    let wanted = ReplayRefund { refund_id, reason: "the card is back".to_owned(), by: by.to_owned(), address: None };
    replay(&shop.engine, wanted).await
}

pub(super) fn saga_of(replayed: Replayed) -> SagaId {
    match replayed {
        Replayed::New(saga, _) | Replayed::Before(saga, _) => saga,
    }
}

/// An order whose refund was carried out, and has come back since.
pub(super) async fn reversed(shop: &Shop) -> (OrderId, SagaId) {
    let placed = shop.confirmed().await;
    shop.gateway_fault(json!({"fault": "refund_fails_later", "operation": "refund", "count": 1, "delayMs": 300})).await;
    let saga = cancelled(shop, placed.order_id).await;
    run_until_taken(shop, saga, "completed").await;
    while shop.see(placed.order_id).await.status != OrderStatus::Attention {
        shop.take_post().await;
        shop.turn().await;
    }
    (placed.order_id, saga)
}

/// As [`Shop::run_until`], with the gateway's webhooks taken.
pub(super) async fn run_until_taken(shop: &Shop, saga: SagaId, state: &str) {
    while shop.view(saga).await.run.state.as_str() != state {
        shop.take_post().await;
        shop.turn().await;
        assert!(!shop.view(saga).await.run.state.is_finished() || shop.view(saga).await.run.state.as_str() == state);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_once_is_asked_for_by_the_next_generation() {
    for shop in [Shop::open().await, Shop::at_adyen().await] {
        let placed = shop.confirmed().await;
        shop.gateway_fault(json!({"fault": "decline", "operation": "refund", "count": 1})).await;
        let saga = cancelled(&shop, placed.order_id).await;
        run_until_taken(&shop, saga, "completed").await;
        assert_eq!(stands(&shop, placed.order_id).await, ("succeeded".to_owned(), 2, 0));
        shop.assert_ended(placed.order_id, OrderStatus::Cancelled).await;
        let done: Vec<_> = at_primary(&shop).await.into_iter().filter(|(status, ..)| status == "succeeded").collect();
        assert_eq!(done.len(), 1, "{done:?}");
        shop.assert_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_again_and_again_is_for_a_person_with_what_is_outstanding() {
    let shop = Shop::open().await;
    let placed = shop.confirmed().await;
    shop.gateway_fault(json!({"fault": "decline", "operation": "refund"})).await;
    let saga = cancelled(&shop, placed.order_id).await;
    let stuck = shop.run_until(saga, "stuck").await.run.stuck.unwrap();
    assert_eq!(stuck.cause, StuckCause::Refused);
    assert!(stuck.failure.message.ends_with("; 45.00 GBP is outstanding"), "{:?}", stuck.failure);
    assert_eq!(stands(&shop, placed.order_id).await, ("failed".to_owned(), 3, PRICE));
    let seen = shop.see(placed.order_id).await;
    assert_eq!((seen.status, seen.reason), (OrderStatus::Attention, Some(stuck.failure.code)));
    assert_eq!(shop.kept(placed.order_id).await, PRICE);
    shop.assert_well().await;

    shop.heal_gateway().await;
    let replayed = person_wants(&shop, placed.order_id, "fin").await.unwrap();
    assert!(matches!(replayed, Replayed::New(same, _) if same == saga), "{replayed:?}");
    shop.run_until(saga, "completed").await;
    assert_eq!(stands(&shop, placed.order_id).await, ("succeeded".to_owned(), 4, 0));
    assert_eq!(at_primary(&shop).await, [("succeeded".to_owned(), PRICE, vec!["4".to_owned()])]);
    shop.assert_ended(placed.order_id, OrderStatus::Cancelled).await;
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nobody_knows_there_is_one_key() {
    for fault in ["timeout_after", "timeout_before", "malformed", "reset"] {
        for shop in [Shop::open().await, Shop::at_adyen().await] {
            let placed = shop.confirmed().await;
            shop.gateway_fault(json!({"fault": fault, "operation": "refund", "count": 2})).await;
            let saga = cancelled(&shop, placed.order_id).await;
            run_until_taken(&shop, saga, "completed").await;
            assert_eq!(at_primary(&shop).await, [("succeeded".to_owned(), PRICE, vec!["1".to_owned()])], "{fault}");
            shop.assert_ended(placed.order_id, OrderStatus::Cancelled).await;
            shop.assert_well().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_that_sticks_to_its_key_ends_it_once_the_gateway_says_that_nothing_was_done() {
    let shop = Shop::open().await;
    let placed = shop.confirmed().await;
    // as often as a refusal would be for a person
    shop.gateway_fault(json!({"fault": "error_500", "operation": "refund", "count": 3})).await;
    let saga = cancelled(&shop, placed.order_id).await;
    run_until_taken(&shop, saga, "completed").await;
    assert_eq!(at_primary(&shop).await, [("succeeded".to_owned(), PRICE, vec!["4".to_owned()])]);
    shop.assert_ended(placed.order_id, OrderStatus::Cancelled).await;

    // where nothing sticks, the same key goes through
    let shop = Shop::at_adyen().await;
    let placed = shop.confirmed().await;
    shop.gateway_fault(json!({"fault": "error_500", "operation": "refund", "count": 2})).await;
    let saga = cancelled(&shop, placed.order_id).await;
    run_until_taken(&shop, saga, "completed").await;
    assert_eq!(at_primary(&shop).await, [("succeeded".to_owned(), PRICE, vec!["1".to_owned()])]);
    shop.assert_well().await;
}

/// Pays back half of what it is asked for.
fn halving(_: &IdempotencyKey, asked: &RefundRequest) -> RefundRequest {
    RefundRequest { amount: Money::new(asked.amount.amount_minor / 2, asked.amount.currency), ..asked.clone() }
}

/// Pays back a thousand less than it is asked for, for as long as there is so much.
fn stingy(key: &IdempotencyKey, asked: &RefundRequest) -> RefundRequest {
    let less = asked.amount.amount_minor - 1_000;
    let is_first = key.as_str().ends_with(":1");
    let amount = if is_first { less } else { asked.amount.amount_minor };
    RefundRequest { amount: Money::new(amount, asked.amount.currency), ..asked.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_part_the_rest_is_asked_for() {
    let settings = BookingSettings::default();
    let shop = Shop::with(settings, |gateway| Front::refunding(gateway, stingy)).await;
    for fault in [None, Some("timeout_after")] {
        let placed = shop.confirmed().await;
        if let Some(fault) = fault {
            shop.gateway_fault(json!({"fault": fault, "operation": "refund", "count": 1})).await;
        }
        let saga = cancelled(&shop, placed.order_id).await;
        let submit = Place { definition: "refund-order".to_owned(), step: "submit".to_owned(), lane: Lane::Forward };
        let zombie = shop.run_and_die(saga, &submit, Death::AfterRecord).await;
        let part = row(&shop, placed.order_id).await;
        if fault.is_none() {
            assert_eq!(
                (part.state.as_str(), part.outstanding_minor, part.refunded_minor),
                ("submitted", 1_000, PRICE - 1_000)
            );
            assert_eq!(part.payment, "captured");
        }
        shop.run_until(saga, "completed").await;
        shop.wake(zombie).await;
        let done = row(&shop, placed.order_id).await;
        assert_eq!((done.state.as_str(), done.generation, done.outstanding_minor), ("succeeded", 2, 0));
        assert_eq!((done.refunded_minor, done.payment.as_str()), (PRICE, "refunded"));
        shop.assert_ended(placed.order_id, OrderStatus::Cancelled).await;
        shop.assert_well().await;
    }
    let amounts: Vec<_> = at_primary(&shop).await.into_iter().map(|(_, amount, _)| amount).collect();
    assert_eq!(amounts, [PRICE - 1_000, 1_000, PRICE - 1_000, 1_000]);
    let posted: Vec<i64> = sqlx::query_scalar(
        "select e.amount_minor from booking.ledger_postings p join booking.ledger_entries e using (posting_id)
         where p.kind = 'refundSucceeded' and e.amount_minor > 0 order by p.at, p.posting_id",
    )
    .fetch_all(&shop.pool)
    .await
    .unwrap();
    assert_eq!(posted, amounts, "a part posts its part");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_comes_back_is_on_the_books_again_and_is_replayed_once() {
    for shop in [Shop::open().await, Shop::at_adyen().await] {
        let (order, first) = reversed(&shop).await;
        let seen = row(&shop, order).await;
        assert_eq!((seen.state.as_str(), seen.outstanding_minor, seen.refunded_minor), ("failed", PRICE, 0));
        assert_eq!(seen.payment, "captured");
        assert_eq!(shop.see(order).await.reason.as_deref(), Some("refund-reversed"));
        assert_eq!(shop.kept(order).await, PRICE);
        assert!(shop.inbox().await.contains(&"refund recorded".to_owned()), "{:?}", shop.inbox().await);
        shop.assert_well().await;

        // two people, and clicks of each
        let clicks = (0..20).map(|click| person_wants(&shop, order, if click % 2 == 0 { "ann" } else { "bob" }));
        let answers = futures::future::join_all(clicks).await;
        let done: Vec<_> = answers.iter().filter(|answer| matches!(answer, Ok(Replayed::New(..)))).collect();
        assert_eq!(done.len(), 1, "{answers:#?}");
        let sagas: BTreeSet<_> = answers.iter().flatten().map(|replayed| saga_of(*replayed)).collect();
        assert_eq!(sagas.len(), 1, "{answers:#?}");
        let refused = |error: &ReplayError| matches!(error, ReplayError::UnderWay(_));
        assert!(answers.iter().filter_map(|answer| answer.as_ref().err()).all(refused), "{answers:#?}");
        let second = sagas.into_iter().next().unwrap();
        assert_ne!(second, first);

        run_until_taken(&shop, second, "completed").await;
        assert_eq!(stands(&shop, order).await, ("succeeded".to_owned(), 2, 0));
        let kept = shop.assert_ended(order, OrderStatus::Cancelled).await;
        assert_eq!(kept.reason.as_deref(), Some("ill"));
        let books = at_primary(&shop).await;
        let paid: i64 = books.iter().filter(|(status, ..)| status == "succeeded").map(|(_, amount, _)| amount).sum();
        assert_eq!((books.len(), paid), (2, PRICE), "{books:?}");
        assert!(matches!(person_wants(&shop, order, "ann").await, Err(ReplayError::AlreadyRefunded)));
        shop.assert_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_rejected_is_rejected_again_when_its_money_is_back() {
    let shop = Shop::open().await;
    let placed = shop.order(VISA).await;
    let pay = Place { definition: "book-tickets".to_owned(), step: "pay".to_owned(), lane: Lane::Forward };
    shop.run_and_die(placed.saga_id, &pay, Death::BeforeRecord).await;
    shop.end_hold(placed.order_id).await;
    let seats = shop.see(placed.order_id).await.seat_ids;
    shop.hold_seats("bob", &seats).await;
    shop.gateway_fault(json!({"fault": "refund_fails_later", "operation": "refund", "count": 1, "delayMs": 300})).await;
    shop.run_until(placed.saga_id, "compensated").await;
    while shop.see(placed.order_id).await.status != OrderStatus::Attention {
        shop.take_post().await;
    }
    shop.assert_well().await;
    let replayed = saga_of(person_wants(&shop, placed.order_id, "fin").await.unwrap());
    shop.run_until(replayed, "completed").await;
    let seen = shop.see(placed.order_id).await;
    assert_eq!((seen.status, seen.reason.as_deref()), (OrderStatus::Rejected, Some("hold-lost")));
    assert_eq!(shop.kept(placed.order_id).await, 0);
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_back_before_it_is_settled_is_no_success() {
    let shop = Shop::open().await;
    let placed = shop.confirmed().await;
    shop.gateway_fault(json!({"fault": "refund_fails_later", "operation": "refund", "count": 1, "delayMs": 1})).await;
    let saga = cancelled(&shop, placed.order_id).await;
    let settle = Place { definition: "refund-order".to_owned(), step: "settle".to_owned(), lane: Lane::Forward };
    let zombie = shop.run_and_die(saga, &settle, Death::Before).await;
    let letter = shop.letter("refund.failed").await;
    shop.receive(&letter).await.unwrap();
    assert!(shop.inbox().await.contains(&"refund told".to_owned()), "{:?}", shop.inbox().await);
    shop.run_until(saga, "completed").await;
    shop.wake(zombie).await;
    assert_eq!(stands(&shop, placed.order_id).await, ("failed".to_owned(), 1, PRICE));
    assert_eq!(shop.see(placed.order_id).await.status, OrderStatus::Attention);
    shop.assert_well().await;
    let replayed = saga_of(person_wants(&shop, placed.order_id, "fin").await.unwrap());
    shop.run_until(replayed, "completed").await;
    shop.assert_ended(placed.order_id, OrderStatus::Cancelled).await;
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_not_replayed_and_what_is_in_doubt_is_asked_about() {
    let shop = Shop::at_adyen().await;
    let placed = shop.confirmed().await;
    let saga = cancelled(&shop, placed.order_id).await;
    shop.run_until(saga, "waiting").await;
    match person_wants(&shop, placed.order_id, "fin").await {
        Err(ReplayError::UnderWay(why)) => assert!(why.contains("primary to finish the refund"), "{why}"),
        other => panic!("{other:?}"),
    }
    run_until_taken(&shop, saga, "completed").await;
    let foreign = ReplayRefund {
        refund_id: RefundId::fresh(),
        reason: "why not".to_owned(),
        by: "fin".to_owned(),
        address: None,
    };
    assert!(matches!(replay(&shop.engine, foreign).await, Err(ReplayError::NotFound)));
}

async fn act(shop: &Shop, saga: SagaId, act: Act) {
    let request = ActRequest {
        saga_id: saga,
        act,
        reason: "a mistake".to_owned(),
        seq: shop.view(saga).await.run.seq,
        by: "operator".to_owned(),
        address: None,
    };
    shop.engine.act(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_killed_in_doubt_is_asked_about_and_goes_on_by_the_same_key() {
    let shop = Shop::open().await;
    // of what was done, it is only asked about
    for (fault, asked) in [("timeout_after", 1), ("timeout_before", 2)] {
        let placed = shop.confirmed().await;
        let before = at_primary(&shop).await.len();
        shop.gateway_fault(json!({"fault": fault, "operation": "refund", "count": 1})).await;
        let saga = cancelled(&shop, placed.order_id).await;
        let submit = Place { definition: "refund-order".to_owned(), step: "submit".to_owned(), lane: Lane::Forward };
        shop.run_and_die(saga, &submit, Death::AfterRecord).await;
        act(&shop, saga, Act::Kill).await;
        assert_eq!(row(&shop, placed.order_id).await.state, "inDoubt");
        let replayed = saga_of(person_wants(&shop, placed.order_id, "fin").await.unwrap());
        assert_ne!(replayed, saga);
        shop.run_until(replayed, "completed").await;
        assert_eq!(close_killed(&shop.pool).await.unwrap(), 1, "nothing is left of the one that was killed");
        let books = at_primary(&shop).await;
        assert_eq!(books[before..], [("succeeded".to_owned(), PRICE, vec!["1".to_owned()])], "{fault}");
        assert_eq!(shop.refunds_at_primary().await[before]["asked"], asked, "{fault}");
        shop.assert_ended(placed.order_id, OrderStatus::Cancelled).await;
        shop.assert_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_after_a_kill_is_written_down() {
    let shop = Shop::at_adyen().await;
    for (fault, state, status) in [
        (None, "succeeded", OrderStatus::Cancelled),
        (Some(json!({"fault": "decline", "operation": "refund", "count": 1})), "failed", OrderStatus::Attention),
    ] {
        let placed = shop.confirmed().await;
        if let Some(fault) = fault {
            shop.gateway_fault(fault).await;
        }
        let saga = cancelled(&shop, placed.order_id).await;
        shop.run_until(saga, "waiting").await;
        act(&shop, saga, Act::Kill).await;
        let letter = shop.letter("\"REFUND\",\"eventDate").await;
        shop.receive(&letter).await.unwrap();
        assert_eq!(row(&shop, placed.order_id).await.state, state);
        assert_eq!(shop.see(placed.order_id).await.status, status);
        shop.assert_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_has_given_back_by_hand_is_what_was_outstanding() {
    let shop = Shop::with(BookingSettings::default(), |gateway| Front::refunding(gateway, halving)).await;
    let placed = shop.confirmed().await;
    let saga = cancelled(&shop, placed.order_id).await;
    shop.run_until(saga, "stuck").await;
    let part = row(&shop, placed.order_id).await;
    assert_eq!((part.state.as_str(), part.generation, part.outstanding_minor), ("failed", 3, PRICE - 3_937));
    shop.assert_well().await;
    let output = json!({
        "refundId": RefundId(part.refund_id), "reference": "transfer-1",
        "amount": { "amount": part.outstanding_minor, "currency": "GBP" },
    });
    act(&shop, saga, Act::Complete { step: "submit".to_owned(), output, evidence: "a bank statement".to_owned() })
        .await;
    shop.run_until(saga, "completed").await;
    assert_eq!(stands(&shop, placed.order_id).await, ("succeeded".to_owned(), 4, 0));
    assert_eq!(row(&shop, placed.order_id).await.refunded_minor, PRICE);
    assert_eq!(shop.see(placed.order_id).await.status, OrderStatus::Cancelled);
    // the gateway knows nothing of a transfer
    shop.assert_sound().await;
}
