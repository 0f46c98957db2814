//! Requests that come in one batch and fight.

use super::*;
use crate::{
    access::{Principal, Role},
    holds::{Hold, HoldState},
    ids::{EventId, OrderId},
    money::{Money, currency_from_code},
    orders::{PaymentMethod, PlaceOrder},
};
use chrono::{DateTime, Utc};
use orchestrator::ids::Uuid;

fn placing(key: &str, hold: HoldId) -> Placing {
    let principal = Principal { token_id: Uuid::nil(), name: "shop".to_owned(), role: Role::Client, user: None };
    let request = PlaceOrder {
        hold_id: hold,
        payment_method: PaymentMethod::Token("pm_card_visa".to_owned()),
        idempotency_key: key.to_owned(),
        email: None,
    };
    Placing::new(&principal, request)
}

fn hold(state: HoldState, over: bool) -> Hold {
    Hold {
        hold_id: HoldId::fresh(),
        event_id: EventId::fresh(),
        user_id: "ann".to_owned(),
        hold_token: "t".to_owned(),
        seat_ids: vec!["a-1-1".to_owned()],
        returned_seat_ids: Vec::new(),
        total: Money::new(4_500, currency_from_code("EUR").unwrap()),
        state,
        expires_at: DateTime::<Utc>::UNIX_EPOCH,
        over,
        order_id: None,
    }
}

/// What a batch is told, in words, and which of it become orders.
fn decided<'a>(
    batch: &'a [Placing],
    holds: &[&Hold],
    taken: &mut HashMap<Key<'a>, Taken>,
) -> (Vec<&'static str>, Vec<usize>) {
    let mut holds = holds.iter().map(|hold| (hold.hold_id, Bindable::of((*hold).clone()))).collect();
    let Decided { answers, placed } = decide(&batch.iter().collect::<Vec<_>>(), taken, &mut holds);
    let words = answers.iter().zip(batch).map(|(answer, placing)| match answer {
        Ok(Placed::New(placement)) if placement.order_id == placing.order_id => "new",
        Ok(Placed::Replayed(placement)) if placement.order_id != placing.order_id => "replayed",
        Err(PlaceError::NotFound) => "not found",
        Err(PlaceError::HoldExpired) => "expired",
        Err(PlaceError::OrderExists) => "order exists",
        Err(PlaceError::IdempotencyConflict) => "conflict",
        other => panic!("{other:?}"),
    });
    (words.collect(), placed)
}

fn alone(batch: &[Placing], holds: &[&Hold]) -> (Vec<&'static str>, Vec<usize>) {
    decided(batch, holds, &mut HashMap::new())
}

#[test]
fn the_first_of_a_key_places_and_the_others_are_told_of_it() {
    let (mine, other) = (hold(HoldState::Active, false), hold(HoldState::Active, false));
    let batch = [placing("k", mine.hold_id), placing("k", other.hold_id), placing("k", mine.hold_id)];
    assert_eq!(alone(&batch, &[&mine, &other]), (vec!["new", "conflict", "replayed"], vec![0]));
}

#[test]
fn the_first_of_a_hold_gets_it() {
    let wanted = hold(HoldState::Active, false);
    let batch = [placing("k", wanted.hold_id), placing("l", wanted.hold_id), placing("k", wanted.hold_id)];
    assert_eq!(alone(&batch, &[&wanted]), (vec!["new", "order exists", "replayed"], vec![0]));
}

#[test]
fn who_is_refused_leaves_the_key_to_the_next() {
    let (gone, good) = (hold(HoldState::Expired, true), hold(HoldState::Active, false));
    let batch = [
        placing("k", HoldId::fresh()),
        placing("k", gone.hold_id),
        placing("k", good.hold_id),
        placing("k", gone.hold_id),
    ];
    let mut taken = HashMap::new();
    let (words, placed) = decided(&batch, &[&gone, &good], &mut taken);
    assert_eq!((words, placed), (vec!["not found", "expired", "new", "conflict"], vec![2]));
    assert_eq!(taken[&batch[0].key()].order_id, batch[2].order_id);
}

#[test]
fn keys_are_their_owners() {
    let (one, other) = (hold(HoldState::Active, false), hold(HoldState::Active, false));
    let mut bound = placing("k", other.hold_id);
    bound.owner = "another".to_owned();
    assert_eq!(alone(&[placing("k", one.hold_id), bound], &[&one, &other]).0, ["new", "new"]);
}

#[test]
fn a_hold_is_refused_with_the_reason() {
    for (hold, word) in [
        (hold(HoldState::Active, true), "expired"),
        (hold(HoldState::Released, false), "expired"),
        (hold(HoldState::Void, false), "not found"),
        (Hold { order_id: Some(OrderId::fresh()), ..hold(HoldState::Committed, false) }, "order exists"),
    ] {
        assert_eq!(alone(&[placing("k", hold.hold_id)], &[&hold]), (vec![word], vec![]));
    }
    let mut other = placing("k", HoldId::fresh());
    other.principal.user = Some("bob".to_owned());
    let of_ann = Hold { hold_id: other.request.hold_id, ..hold(HoldState::Active, false) };
    assert_eq!(alone(&[other], &[&of_ann]).0, ["not found"]);
}

#[test]
fn what_was_committed_already_is_answered_as_the_first_time() {
    let bound = Hold { order_id: Some(OrderId::fresh()), ..hold(HoldState::Ordered, false) };
    let batch = [placing("k", bound.hold_id), placing("k", bound.hold_id)];
    let mut taken = HashMap::from([(batch[0].key(), batch[0].taken())]);
    assert_eq!(decided(&batch, &[&bound], &mut taken), (vec!["new", "replayed"], vec![]));
}
