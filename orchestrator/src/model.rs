//! One order, checked exhaustively: every order in which workers, gateways, messages, a hold, a rival and a buyer who
//! changes his mind can act, within the bounds of [`Sale`]. The saga is production code (`saga.rs`); the rest is the
//! world around it. Each of the five things that make it safe can be left out, which must be seen. `docs/model.md`
//! says more.

mod checks;
mod payments;
mod saga;
mod story;
mod workers;
mod world;

use self::{
    payments::{Charge, Each, Gateway},
    saga::Saga,
    workers::{Position, Who, Work},
    world::{Doubt, Event, Seat},
};
use crate::{definition::Definition, run::Corrupt};
use stateright::{Model, Property};
use std::sync::Arc;

/// What makes it safe. The fourth has three parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protection {
    /// 1: the intent is committed before the call.
    IntentFirst,
    /// 2: what is written is written under the claim's token.
    Token,
    /// 3: a timeout is unknown.
    TimeoutIsUnknown,
    /// 4: after failover the first attempt stays open: another saga settles it.
    FirstStaysOpen,
    /// 4: "not found" is not final.
    NotFoundIsNotFinal,
    /// 4: the loser is refunded.
    LoserIsRefunded,
    /// 5: the hold is checked again where the seat is sold.
    HoldIsCheckedAgain,
}

/// One order of one seat.
struct Sale {
    definition: Definition,
    /// What is left out.
    without: Option<Protection>,
}

/// So many times a worker dies in the middle of a call, or loses its claim there and goes on.
const LOSSES_MAX: u8 = 2;

impl Sale {
    fn new(without: Option<Protection>) -> Self {
        Self { definition: saga::definition(), without }
    }

    fn has(&self, protection: Protection) -> bool {
        self.without != Some(protection)
    }
}

/// A moment of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Scene {
    saga: Arc<Saga>,
    /// Where the worker stands whose token is the claim's.
    holder: Position,
    /// Where the one stands that has lost its claim and does not know.
    zombie: Option<Position>,
    /// The gateways' books.
    charges: Each<Charge>,
    /// Whether a charge is on its way there.
    coming: Each<bool>,
    seat: Seat,
    /// The saga that settles what was left behind.
    doubt: Option<Doubt>,
    losses_left: u8,
    /// The journal does not read, or not as what it was when it was written.
    corrupt: bool,
}

/// Something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// A worker goes on.
    Work(Who, Work),
    /// Something else happens.
    Event(Event),
}

impl Model for Sale {
    type State = Scene;
    type Action = Deed;

    fn init_states(&self) -> Vec<Scene> {
        vec![Scene {
            saga: Arc::new(Saga::begin(&self.definition)),
            holder: Position::Between,
            zombie: None,
            charges: Each::default(),
            coming: Each::default(),
            seat: Seat::Free,
            doubt: None,
            losses_left: LOSSES_MAX,
            corrupt: false,
        }]
    }

    fn actions(&self, scene: &Scene, deeds: &mut Vec<Deed>) {
        if scene.corrupt {
            return;
        }
        for who in [Who::Holder, Who::Zombie] {
            deeds.extend(self.works(scene, who).into_iter().map(|work| Deed::Work(who, work)));
        }
        deeds.extend(self.events(scene).into_iter().map(Deed::Event));
    }

    fn next_state(&self, scene: &Scene, deed: Deed) -> Option<Scene> {
        let mut next = scene.clone();
        let done = match deed {
            Deed::Work(who, work) => self.work(&mut next, who, work),
            Deed::Event(event) => self.happen(&mut next, event),
        };
        next.corrupt |= done.is_err();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        checks::properties()
    }
}

impl Scene {
    /// The saga is finished, and so is everything that could still have an effect.
    fn is_at_rest(&self) -> bool {
        let over = self.doubt.is_none_or(|doubt| doubt.over);
        let coming = Gateway::ALL.into_iter().any(|gateway| self.coming.at(gateway));
        let working = self.holder != Position::Between || self.zombie.is_some();
        self.saga.run.state.is_finished() && over && !coming && !working
    }

    /// How many gateways hold the buyer's money.
    fn paid(&self) -> usize {
        Gateway::ALL.into_iter().filter(|gateway| self.charges.at(*gateway) == Charge::Taken).count()
    }

    fn keep(&mut self, saga: Result<Saga, Corrupt>) -> Result<(), Corrupt> {
        self.saga = Arc::new(saga?);
        Ok(())
    }
}
