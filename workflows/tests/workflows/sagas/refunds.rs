//! Refunds that somebody in finance asks for: how much, which seats, and whose consent.

use super::{
    cancellations::give_back,
    faults::{Fault, Place},
    shop::{PRICE, Shop, VISA, anybody, placement},
};
use orchestrator::{
    action::Lane,
    acts::{Act, ActRequest},
};
use std::time::Instant;
use workflows::{
    access::{Principal, Role},
    approvals::{self, Approval, ApprovalState, DecideError, Decided, Decision, decide},
    events::{self, NewEvent, NewSection},
    holds::{Reserve, Wish},
    ids::{ApprovalId, OrderId},
    money::{Currency, Money},
    orders::{Cancellation, OrderStatus},
    refunds::{self, AskError, AskRefund, Asked, NotRefundable, RefundAsked, Refunds, Wanted},
    seats::{SeatStatus, seat_map},
    settings::BookingSettings,
};

fn finance(name: &str) -> Principal {
    Principal { role: Role::Finance, name: name.to_owned(), ..anybody() }
}

/// Above it a second person is asked for.
pub(super) const LIMIT: i64 = 10_000;

fn settings() -> BookingSettings {
    BookingSettings { refund_approval_above: LIMIT, ..BookingSettings::default() }
}

pub(super) fn wish(amount_minor: Option<i64>, seats: &[String]) -> Wanted {
    Wanted { amount_minor, seat_ids: (!seats.is_empty()).then(|| seats.to_vec()) }
}

async fn ask_as(shop: &Shop, who: &str, order: OrderId, wanted: Wanted, key: &str) -> Result<Asked, AskError> {
    let request = AskRefund {
        order_id: order,
        wanted,
        reason: "late doors".to_owned(),
        idempotency_key: key.to_owned(),
        address: None,
    };
    Refunds::new(shop.engine.clone(), &settings()).ask(&finance(who), request).await
}

/// Anna asks.
pub(super) async fn ask(shop: &Shop, order: OrderId, wanted: Wanted, key: &str) -> Result<RefundAsked, AskError> {
    match ask_as(shop, "anna", order, wanted, &format!("{order} {key}")).await? {
        Asked::New(asked) => Ok(asked),
        Asked::Replayed(asked) => panic!("{asked:?}"),
    }
}

pub(super) async fn say(
    shop: &Shop,
    who: &str,
    approval_id: ApprovalId,
    consents: bool,
) -> Result<Decided, DecideError> {
    let decision = Decision { approval_id, consents, reason: "looked at it".to_owned(), address: None };
    decide(&shop.engine, &finance(who), decision).await
}

pub(super) async fn approval(shop: &Shop, asked: &RefundAsked) -> Approval {
    approvals::find(&shop.pool, asked.approval_id.unwrap()).await.unwrap().unwrap()
}

/// A confirmed order of so many seats at [`PRICE`].
pub(super) async fn sold(shop: &Shop, seats: usize) -> (OrderId, Vec<String>) {
    let hold = shop.hold("ann", seats).await;
    let placed = placement(shop.place(&hold, VISA, &hold.hold_id.to_string()).await.unwrap());
    shop.run_until(placed.saga_id, "completed").await;
    (placed.order_id, hold.seat_ids)
}

/// What the order keeps: its money at the gateway, its valid tickets.
pub(super) async fn keeps(shop: &Shop, order: OrderId) -> (OrderStatus, i64, usize) {
    let seen = shop.see(order).await;
    let valid = seen.tickets.iter().filter(|ticket| ticket.valid).count();
    (seen.status, shop.kept(order).await, valid)
}

fn left(error: &AskError) -> Money {
    match error {
        AskError::NotRefundable(
            NotRefundable::ExceedsCaptured { left, .. } | NotRefundable::GivenBack { left, .. },
        ) => *left,
        other => panic!("{other:?}"),
    }
}

fn gbp(minor: i64) -> Money {
    Money::new(minor, Currency::GBP)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_seat_of_three_gives_back_its_share_of_a_hundred() {
    let shop = Shop::open().await;
    let section = |name: &str, price| NewSection { name: name.into(), rows: 1, seats_per_row: 1, price };
    let event = NewEvent {
        name: "Lear".into(),
        venue: "Globe".into(),
        description: None,
        start_time: "2036-12-31T20:00".into(),
        time_zone: None,
        sales_start: None,
        sales_end: None,
        currency: "GBP".into(),
        sections: vec![section("A", 3_333), section("B", 3_334), section("C", 3_333)],
    };
    let event = events::create(&shop.pool, &event, "a test".into()).await.unwrap().event_id;
    let seats: Vec<_> =
        seat_map(&shop.pool, event, None).await.unwrap().items.into_iter().map(|seat| seat.seat_id).collect();
    let wish_for_all = Wish::Seats(seats.clone());
    let reserve = Reserve { event_id: event, user_id: "ann".into(), wish: wish_for_all, hold_token: None };
    let hold = shop.holds.reserve(reserve).await.unwrap().hold().clone();
    let placed = placement(shop.place(&hold, VISA, "k").await.unwrap());
    shop.run_until(placed.saga_id, "completed").await;
    let order = placed.order_id;

    for (index, (share, rest)) in [(3_334, 6_666), (3_333, 3_333), (3_333, 0)].into_iter().enumerate() {
        let seat = [&seats[1], &seats[0], &seats[2]][index].clone();
        let asked = ask(&shop, order, wish(None, std::slice::from_ref(&seat)), &seat).await.unwrap();
        assert_eq!((asked.state.as_str(), asked.approval_id), ("approved", None));
        shop.run_until(asked.saga_id, "completed").await;
        let refund = refunds::find(&shop.pool, asked.refund_id).await.unwrap().unwrap();
        assert_eq!((refund.state.as_str(), refund.amount), ("succeeded", gbp(share)));
        let status = if rest > 0 { OrderStatus::Confirmed } else { OrderStatus::Cancelled };
        assert_eq!(keeps(&shop, order).await, (status, rest, 2 - index));
        let map = seat_map(&shop.pool, event, None).await.unwrap().items;
        let free = map.iter().filter(|seat| seat.status == SeatStatus::Available).count();
        assert_eq!(free, index + 1);
        let again = ask(&shop, order, wish(None, &[seat]), "again").await.unwrap_err();
        if rest > 0 {
            assert_eq!(left(&again), gbp(rest));
        }
        shop.assert_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amount_alone_leaves_the_tickets_and_the_last_seats_give_what_is_left() {
    let shop = Shop::open().await;
    let (order, seats) = sold(&shop, 2).await;
    let some = ask(&shop, order, wish(Some(1_000), &[]), "some").await.unwrap();
    shop.run_until(some.saga_id, "completed").await;
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Confirmed, 2 * PRICE - 1_000, 2));
    shop.assert_well().await;
    let too_much = ask(&shop, order, wish(Some(2 * PRICE - 999), &[]), "much").await.unwrap_err();
    assert_eq!(left(&too_much), gbp(2 * PRICE - 1_000));
    let rest = ask(&shop, order, wish(None, &seats), "rest").await.unwrap();
    shop.run_until(rest.saga_id, "completed").await;
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Cancelled, 0, 0));
    let nothing = ask(&shop, order, wish(None, &[]), "nothing").await.unwrap_err();
    assert!(matches!(nothing, AskError::NotRefundable(NotRefundable::NothingLeft)), "{nothing:?}");
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_can_go_back_for_less_than_they_cost() {
    let shop = Shop::open().await;
    let (order, seats) = sold(&shop, 2).await;
    let less = ask(&shop, order, wish(Some(4_000), &seats[..1]), "less").await.unwrap();
    shop.run_until(less.saga_id, "completed").await;
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Confirmed, 5_000, 1));
    shop.assert_well().await;
    let last = ask(&shop, order, wish(None, &seats[1..]), "last").await.unwrap();
    shop.run_until(last.saga_id, "completed").await;
    // what was kept of the first is kept
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Cancelled, 500, 0));
    shop.assert_well().await;
    let all = ask(&shop, order, wish(None, &[]), "all").await.unwrap();
    shop.run_until(all.saga_id, "completed").await;
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Cancelled, 0, 0));
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_at_once_with_one_key_ask_for_one_refund() {
    let shop = Shop::open().await;
    let (order, seats) = sold(&shop, 2).await;
    let asking = (0..20).map(|_| ask_as(&shop, "anna", order, wish(None, &seats[..1]), "k"));
    let asked: Vec<_> = futures::future::join_all(asking).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(asked.iter().filter(|asked| matches!(asked, Asked::New(_))).count(), 1);
    let (Asked::New(first) | Asked::Replayed(first)) = asked[0].clone();
    let same = |asked: &Asked| matches!(asked, Asked::New(one) | Asked::Replayed(one) if one.refund_id == first.refund_id && one.saga_id == first.saga_id);
    assert!(asked.iter().all(same), "{asked:?}");
    let other = ask_as(&shop, "anna", order, wish(None, &seats), "k").await;
    assert!(matches!(other, Err(AskError::IdempotencyConflict)), "{other:?}");
    shop.run_until(first.saga_id, "completed").await;
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Confirmed, PRICE, 1));
    let again = ask_as(&shop, "anna", order, wish(None, &seats[..1]), "k").await.unwrap();
    assert!(matches!(again, Asked::Replayed(again) if again.state == "succeeded"));
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_being_carried_out_is_cancelled_not_refunded() {
    let shop = Shop::open().await;
    let placed = shop.order(VISA).await;
    let refused = ask(&shop, placed.order_id, wish(None, &[]), "k").await.unwrap_err();
    assert!(matches!(refused, AskError::StillAtWork), "{refused:?}");
    let unknown = ask(&shop, OrderId::fresh(), wish(None, &[]), "k").await.unwrap_err();
    assert!(matches!(unknown, AskError::NotFound), "{unknown:?}");
    shop.run_until(placed.saga_id, "completed").await;
    let foreign = ask(&shop, placed.order_id, wish(None, &["x".to_owned()]), "k").await.unwrap_err();
    assert!(matches!(foreign, AskError::NotRefundable(NotRefundable::UnknownSeat(_))), "{foreign:?}");
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn much_money_waits_for_a_second_person() {
    let shop = Shop::open().await;
    let (order, seats) = sold(&shop, 3).await;
    let asked = ask(&shop, order, wish(None, &[]), "k").await.unwrap();
    assert_eq!(asked.state, "requested");
    let approval_id = asked.approval_id.unwrap();
    shop.run_until(asked.saga_id, "waiting").await;
    // nothing has happened but that the money is spoken for
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Confirmed, 3 * PRICE, 3));
    assert_eq!(shop.seat_status(&seats[0]).await, SeatStatus::Sold);
    let second = ask(&shop, order, wish(Some(1), &[]), "second").await.unwrap_err();
    assert!(matches!(second, AskError::NotRefundable(NotRefundable::NothingLeft)), "{second:?}");

    let own = say(&shop, "anna", approval_id, true).await.unwrap_err();
    assert!(matches!(own, DecideError::FourEyes(_)), "{own:?}");
    let operator = Principal { role: Role::Operator, ..finance("olga") };
    let decision = Decision { approval_id, consents: true, reason: "x".to_owned(), address: None };
    let other = decide(&shop.engine, &operator, decision).await.unwrap_err();
    assert!(matches!(other, DecideError::WrongRole(Role::Finance)), "{other:?}");
    assert_eq!(approval(&shop, &asked).await.state, ApprovalState::Requested);

    assert!(matches!(say(&shop, "bert", approval_id, true).await.unwrap(), Decided::New(_)));
    assert!(matches!(say(&shop, "bert", approval_id, true).await.unwrap(), Decided::Replayed(_)));
    let late = say(&shop, "carl", approval_id, false).await.unwrap_err();
    assert!(matches!(late, DecideError::AlreadyDecided { .. }), "{late:?}");
    let view = shop.run_until(asked.saga_id, "completed").await;
    assert_eq!(view.run.outputs()["approve"]["approvedBy"], "bert");
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Cancelled, 0, 0));
    assert_eq!(shop.seat_status(&seats[0]).await, SeatStatus::Available);
    assert!(matches!(say(&shop, "bert", approval_id, true).await.unwrap(), Decided::Replayed(_)));
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_says_the_same() {
    let shop = Shop::open().await;
    let (order, _) = sold(&shop, 3).await;
    let asked = ask(&shop, order, wish(None, &[]), "k").await.unwrap();
    let refused = async |statement: &str, constraint: &str| {
        let error = sqlx::query(sqlx::AssertSqlSafe(statement.to_owned())).execute(&shop.pool).await.unwrap_err();
        assert!(error.to_string().contains(constraint), "{statement}: {error}");
    };
    let decided =
        "update booking.approvals set state = 'approved', ended_at = now(), decision_reason = 'x', decided_by";
    refused(&format!("{decided} = 'anna'"), "four_eyes").await;
    refused("update booking.approvals set requested_by = 'bert'", "frozen").await;
    refused("update booking.approvals set content = '{}'", "frozen").await;
    refused("update booking.approvals set expires_at = now() + interval '1 year'", "frozen").await;
    for state in ["submitted", "pending", "inDoubt", "approved"] {
        let statement = format!("update booking.refunds set state = '{state}'");
        refused(&statement, "approved_before_it_is_submitted").await;
    }
    say(&shop, "bert", asked.approval_id.unwrap(), true).await.unwrap();
    shop.run_until(asked.saga_id, "completed").await;
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_second_person_refuses_is_as_if_it_had_never_been_asked_for() {
    let shop = Shop::open().await;
    let (order, _) = sold(&shop, 3).await;
    let asked = ask(&shop, order, wish(None, &[]), "k").await.unwrap();
    say(&shop, "bert", asked.approval_id.unwrap(), false).await.unwrap();
    let view = shop.run_until(asked.saga_id, "compensated").await;
    assert_eq!(view.run.cause.unwrap().code, "approval-rejected");
    let refund = refunds::find(&shop.pool, asked.refund_id).await.unwrap().unwrap();
    assert_eq!((refund.state.as_str(), refund.outstanding), ("rejected", gbp(0)));
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Confirmed, 3 * PRICE, 3));
    shop.assert_well().await;
    let again = ask(&shop, order, wish(None, &[]), "another").await.unwrap();
    say(&shop, "bert", again.approval_id.unwrap(), true).await.unwrap();
    shop.run_until(again.saga_id, "completed").await;
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Cancelled, 0, 0));
    shop.assert_well().await;
}

/// Asks for more than [`LIMIT`], where a second person has a second to decide.
async fn ask_for_a_second(shop: &Shop, order: OrderId) -> RefundAsked {
    let hasty = BookingSettings { approval_expires_secs: 1, ..settings() };
    let request = AskRefund {
        order_id: order,
        wanted: wish(None, &[]),
        reason: "late doors".to_owned(),
        idempotency_key: "hasty".to_owned(),
        address: None,
    };
    match Refunds::new(shop.engine.clone(), &hasty).ask(&finance("anna"), request).await.unwrap() {
        Asked::New(asked) => asked,
        Asked::Replayed(asked) => panic!("{asked:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_disputed_while_it_waits_for_consent_is_not_refunded_as_well() {
    let shop = Shop::open().await;
    let (order, _) = sold(&shop, 3).await;
    let asked = ask(&shop, order, wish(None, &[]), "k").await.unwrap();
    shop.run_until(asked.saga_id, "waiting").await;
    let charge = shop.charge_of(order).await;
    shop.dispute(&charge, "opened").await;
    shop.until_posted("disputeOpened", 1).await;
    assert!(matches!(say(&shop, "bert", asked.approval_id.unwrap(), true).await.unwrap(), Decided::New(_)));
    let view = shop.run_until(asked.saga_id, "compensated").await;
    assert_eq!(view.run.cause.unwrap().code, "charge-disputed");
    // somebody wanted it back, and has to know that it does not come from us
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Attention, 3 * PRICE, 3));
    assert_eq!(shop.see(order).await.reason.as_deref(), Some("charge-disputed"));
    shop.assert_well().await;

    // the money is ours after all
    shop.dispute(&charge, "won").await;
    shop.until_posted("disputeWon", 1).await;
    let again = ask(&shop, order, wish(Some(1), &[]), "again").await.unwrap();
    shop.run_until(again.saga_id, "completed").await;
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_decides_when_the_time_is_over() {
    let shop = Shop::open().await;
    let (order, _) = sold(&shop, 3).await;
    let asked = ask_for_a_second(&shop, order).await;
    let view = shop.run_until(asked.saga_id, "compensated").await;
    assert_eq!(view.run.cause.unwrap().code, "approval-expired");
    assert_eq!(approval(&shop, &asked).await.state, ApprovalState::Expired);
    let late = say(&shop, "bert", asked.approval_id.unwrap(), true).await.unwrap_err();
    assert!(matches!(late, DecideError::Void(_)), "{late:?}");
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Confirmed, 3 * PRICE, 3));
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_that_comes_too_late_is_none() {
    let shop = Shop::open().await;
    let (order, _) = sold(&shop, 3).await;
    let asked = ask_for_a_second(&shop, order).await;
    // no worker has looked at it yet
    let over = "select expires_at <= clock_timestamp() from booking.approvals";
    let began = Instant::now();
    while !sqlx::query_scalar::<_, bool>(over).fetch_one(&shop.pool).await.unwrap() {
        assert!(began.elapsed() < super::shop::PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let late = say(&shop, "bert", asked.approval_id.unwrap(), true).await.unwrap_err();
    assert!(matches!(late, DecideError::Void(_)), "{late:?}");
    assert_eq!(approval(&shop, &asked).await.state, ApprovalState::Expired);
    shop.run_until(asked.saga_id, "compensated").await;
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Confirmed, 3 * PRICE, 3));
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_is_to_what_was_asked_for_and_to_nothing_else() {
    let shop = Shop::open().await;
    let change = "update booking.refunds set seat_ids = seat_ids[2:] where refund_id = $1";
    // changed before there is consent, and after
    for consents_first in [false, true] {
        let (order, _) = sold(&shop, 3).await;
        let asked = ask(&shop, order, wish(None, &[]), "k").await.unwrap();
        if consents_first {
            say(&shop, "bert", asked.approval_id.unwrap(), true).await.unwrap();
        }
        sqlx::query(change).bind(asked.refund_id.0).execute(&shop.pool).await.unwrap();
        if !consents_first {
            let void = say(&shop, "bert", asked.approval_id.unwrap(), true).await.unwrap_err();
            assert!(matches!(void, DecideError::Void(_)), "{void:?}");
        }
        let view = shop.run_until(asked.saga_id, "compensated").await;
        assert_eq!(view.run.cause.unwrap().code, "approval-void");
        assert_eq!(approval(&shop, &asked).await.state, ApprovalState::Void);
        assert_eq!(keeps(&shop, order).await, (OrderStatus::Confirmed, 3 * PRICE, 3));
        shop.assert_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_decide_at_once_decide_once() {
    let shop = Shop::open().await;
    for round in 0..10 {
        let (order, _) = sold(&shop, 3).await;
        let asked = ask(&shop, order, wish(None, &[]), "k").await.unwrap();
        if round % 2 == 0 {
            shop.run_until(asked.saga_id, "waiting").await;
        }
        let approval_id = asked.approval_id.unwrap();
        let (yes, no) = tokio::join!(say(&shop, "bert", approval_id, true), say(&shop, "carl", approval_id, false));
        assert!(yes.is_ok() != no.is_ok(), "{yes:?} {no:?}");
        let loser = yes.as_ref().err().or(no.as_ref().err()).unwrap();
        assert!(matches!(loser, DecideError::AlreadyDecided { .. }), "{loser:?}");
        let state = if yes.is_ok() { "completed" } else { "compensated" };
        shop.run_until(asked.saga_id, state).await;
        let status = if yes.is_ok() { OrderStatus::Cancelled } else { OrderStatus::Confirmed };
        assert_eq!(shop.see(order).await.status, status);
        shop.assert_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_killed_while_it_waits_leaves_the_money_to_another() {
    let shop = Shop::open().await;
    let (order, _) = sold(&shop, 3).await;
    let asked = ask(&shop, order, wish(None, &[]), "k").await.unwrap();
    let view = shop.run_until(asked.saga_id, "waiting").await;
    let kill = ActRequest {
        saga_id: asked.saga_id,
        act: Act::Kill,
        reason: "mistaken".to_owned(),
        seq: view.run.seq,
        by: "olga".to_owned(),
        address: None,
    };
    shop.engine.act(kill).await.unwrap();
    let void = say(&shop, "bert", asked.approval_id.unwrap(), true).await.unwrap_err();
    assert!(matches!(void, DecideError::Void(_)), "{void:?}");
    let again = ask(&shop, order, wish(None, &[]), "again").await.unwrap();
    say(&shop, "bert", again.approval_id.unwrap(), true).await.unwrap();
    shop.run_until(again.saga_id, "completed").await;
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Cancelled, 0, 0));
    shop.assert_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_stuck_with_some_seats_does_not_end_the_order() {
    let shop = Shop::open().await;
    let (order, seats) = sold(&shop, 2).await;
    let submit = Place { definition: "refund-order".to_owned(), step: "submit".to_owned(), lane: Lane::Forward };
    shop.knobs.turn(&submit, Fault::Refuse);
    let asked = ask(&shop, order, wish(None, &seats[..1]), "k").await.unwrap();
    shop.run_until(asked.saga_id, "stuck").await;
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Attention, 2 * PRICE, 1));
    shop.knobs.reset();
    shop.retry(asked.saga_id).await;
    shop.run_until(asked.saga_id, "completed").await;
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Confirmed, PRICE, 1));
    shop.assert_well().await;
}

/// Of the release before, when one step asked for the refund and took the tickets back.
const ONE_STEP: &str = include_str!("../../definitions/refund-order-1.yaml");

#[tokio::test(flavor = "multi_thread")]
async fn a_version_with_one_step_for_both_goes_on_and_asks_nobody_above_the_limit() {
    let shop = Shop::open().await;
    let (order, seats) = sold(&shop, 3).await;
    let applied = shop.engine.catalog().apply(ONE_STEP, "release").await.unwrap();
    shop.engine.catalog().activate("refund-order", applied.version, "olga", "as before").await.unwrap();
    let asked = ask(&shop, order, wish(None, &seats[..1]), "k").await.unwrap();
    shop.run_until(asked.saga_id, "completed").await;
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Confirmed, 2 * PRICE, 2));
    let (dear, _) = sold(&shop, 3).await;
    let refused = ask(&shop, dear, wish(None, &[]), "k").await.unwrap_err();
    assert!(matches!(refused, AskError::AsksNobody), "{refused:?}");
    let whole: Cancellation = give_back(&shop, order, &[]).await.unwrap().cancellation();
    shop.run_until(whole.saga_id, "completed").await;
    assert_eq!(keeps(&shop, order).await, (OrderStatus::Cancelled, 0, 0));
    shop.assert_well().await;
}
