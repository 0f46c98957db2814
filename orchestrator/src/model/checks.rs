//! What must hold, what must be possible, and that each protection is needed.

use super::{
    LOSSES_MAX, Protection, Sale, Scene,
    payments::{Charge, Fate, Gateway},
    saga::PAY,
    story,
    workers::{Position, Who},
    world::Seat,
};
use crate::{run::Phase, saga::State};
use stateright::{Checker, HasDiscoveries, Model, Property};

type Condition = fn(&Sale, &Scene) -> bool;

const SOLD_ONCE: &str = "the seat is sold once";
const PAID_ONCE: &str = "at rest, who has the seat has paid for it once";
const PAID_NOTHING: &str = "at rest, who does not have the seat has paid nothing";
const READS: &str = "the journal reads, and whoever replays it knows the same";
const GOES_ON: &str = "somebody has something to do for a saga that is not finished";

/// What must hold at every moment.
const ALWAYS: [(&str, Condition); 5] = [
    (SOLD_ONCE, |_, scene| scene.seat != Seat::SoldTwice),
    (PAID_ONCE, |_, scene| !scene.ends(State::Completed) || (scene.paid() == 1 && scene.seat == Seat::Ours)),
    (PAID_NOTHING, |_, scene| !scene.ends(State::Compensated) || (scene.paid() == 0 && scene.seat != Seat::Ours)),
    (READS, |_, scene| !scene.corrupt),
    (GOES_ON, |sale, scene| scene.saga.run.state.is_finished() || !sale.works(scene, Who::Holder).is_empty()),
];

/// What must happen at some moment: where it never does, the rest shows nothing.
const SOMETIMES: [(&str, Condition); 12] = [
    ("paid at the first gateway", |_, scene| {
        scene.ends(State::Completed) && scene.charges.at(Gateway::Primary) == Charge::Taken
    }),
    ("paid at the second one, when the first call is certainly dead", |_, scene| {
        scene.ends(State::Completed) && scene.loses(Charge::Voided) && scene.doubt.is_none()
    }),
    ("paid at the second one, and the first call, which came late, refunded", |_, scene| {
        scene.ends(State::Completed) && scene.loses(Charge::Returned) && scene.doubt.is_some()
    }),
    ("both gateways hold the money for a while", |_, scene| scene.paid() == 2),
    ("declined", |_, scene| scene.ends(State::Compensated) && scene.loses(Charge::Declined)),
    ("paid, and refunded since the hold was lost", |_, scene| {
        scene.ends(State::Compensated) && scene.seat == Seat::Rivals && scene.loses(Charge::Returned)
    }),
    ("cancelled while a call that got no answer is in doubt", |_, scene| {
        scene.saga.is_interrupted() && scene.is_in_doubt() && scene.losses_left == LOSSES_MAX
    }),
    ("given up while it is in doubt", |_, scene| scene.saga.run.compensating && scene.is_in_doubt()),
    ("a charge arrives when the order is finished", |_, scene| {
        scene.saga.run.state.is_finished() && scene.coming.at(Gateway::Primary)
    }),
    ("a zombie is about to charge when the order is finished", |_, scene| {
        scene.saga.run.state.is_finished() && matches!(scene.zombie, Some(Position::Sending(_)))
    }),
    ("a zombie gives the money back beside the holder", |_, scene| {
        matches!((scene.zombie, scene.holder), (Some(Position::Refunding(_)), Position::Refunding(_)))
    }),
    ("a call finds nobody when an earlier one by its key is on its way", |_, scene| {
        let known = &scene.saga.known;
        known.fate(Gateway::Primary) == (Fate::Open { again: true })
            && scene.coming.at(Gateway::Primary)
            && scene.holder == Position::Sending(Gateway::Primary)
    }),
];

impl Scene {
    fn ends(&self, state: State) -> bool {
        self.is_at_rest() && self.saga.run.state == state
    }

    fn loses(&self, charge: Charge) -> bool {
        self.charges.at(Gateway::Primary) == charge
    }

    fn is_in_doubt(&self) -> bool {
        matches!(self.saga.run.step(PAY).forward.phase, Phase::Doubt(_))
    }
}

pub(super) fn properties() -> Vec<Property<Sale>> {
    let always = ALWAYS.into_iter().map(|(name, holds)| Property::always(name, holds));
    always.chain(SOMETIMES.into_iter().map(|(name, is)| Property::sometimes(name, is))).collect()
}

#[test]
fn with_all_five_it_is_safe() {
    let checker = Sale::new(None).checker().threads(2).spawn_bfs().join();
    println!("{} states, {} of them different", checker.state_count(), checker.unique_state_count());
    for (name, _) in ALWAYS {
        if let Some(path) = checker.discovery(name) {
            panic!("it is not so that {name}:\n{}", story::tell(path));
        }
    }
    for (name, _) in SOMETIMES {
        assert!(checker.discovery(name).is_some(), "it never happens: {name}");
    }
    assert!(checker.is_done(), "not everything was looked at");
}

/// Without `protection`, `name` does not hold.
fn is_needed(protection: Protection, name: &'static str) {
    let found = HasDiscoveries::AnyOf([name].into());
    let checker = Sale::new(Some(protection)).checker().threads(2).finish_when(found).spawn_bfs().join();
    let path = checker.discovery(name);
    let path = path.unwrap_or_else(|| panic!("without {protection:?} it is still so that {name}"));
    println!("without {protection:?} it is not so that {name}:\n{}", story::tell(path));
}

#[test]
fn without_an_intent_before_the_call_a_charge_is_forgotten() {
    is_needed(Protection::IntentFirst, PAID_NOTHING);
    is_needed(Protection::IntentFirst, PAID_ONCE);
}

#[test]
fn without_the_token_a_zombie_writes_what_is_not_so() {
    is_needed(Protection::Token, PAID_ONCE);
}

#[test]
fn a_timeout_that_counts_as_a_failure_is_paid_twice() {
    is_needed(Protection::TimeoutIsUnknown, PAID_NOTHING);
    is_needed(Protection::TimeoutIsUnknown, PAID_ONCE);
}

#[test]
fn a_first_attempt_that_is_not_settled_is_paid_twice() {
    is_needed(Protection::FirstStaysOpen, PAID_ONCE);
}

#[test]
fn a_charge_that_was_not_found_may_still_come() {
    is_needed(Protection::NotFoundIsNotFinal, PAID_NOTHING);
    is_needed(Protection::NotFoundIsNotFinal, PAID_ONCE);
}

#[test]
fn a_loser_that_is_not_refunded_is_paid_twice() {
    is_needed(Protection::LoserIsRefunded, PAID_ONCE);
}

#[test]
fn a_hold_that_is_not_checked_again_sells_the_seat_twice() {
    is_needed(Protection::HoldIsCheckedAgain, SOLD_ONCE);
}
