//! What happens around the workers: messages arrive late, twice or never, workers die or lose their claims, the hold
//! ends, a rival buys, the buyer changes his mind, and the saga that settles a doubt goes on.

use super::{
    Protection, Sale, Scene,
    payments::{Charge, Gateway},
    workers::Position,
};
use crate::run::Corrupt;

/// The seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Seat {
    /// Whoever wants it may have it.
    Free,
    /// Held for the order.
    Held,
    /// Sold to the order.
    Ours,
    /// Sold to somebody else.
    Rivals,
    /// Sold to both.
    SoldTwice,
}

/// The saga that settles a charge which was left behind. It lives on when the order's has finished. Its steps are
/// done again until they are done, by key; so nothing is lost with a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Doubt {
    pub(super) gateway: Gateway,
    pub(super) over: bool,
}

/// Something that no worker of the order does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// The holder dies, and its lease ends.
    HolderDies,
    /// The holder's lease ends, and it goes on all the same.
    ClaimIsLost,
    /// The zombie dies.
    ZombieDies,
    /// A charge arrives, and the gateway takes the money. `twice`: it will arrive again.
    Taken { gateway: Gateway, twice: bool },
    /// A charge arrives, and the gateway declines.
    Declined(Gateway),
    /// A charge is lost on its way, or arrives where its key is known or barred: nothing comes of it.
    Dropped(Gateway),
    /// Somebody else buys the seat: it was not held yet, or the hold's time is over.
    RivalBuys,
    /// The buyer wants it no more.
    Cancelled,
    /// The saga that settles a doubt ends the charge for good, or hears that no such charge will come any more.
    DoubtVoids(Gateway),
    /// It gives the money back.
    DoubtRefunds(Gateway),
    /// It is done.
    DoubtEnds(Gateway),
}

impl Sale {
    pub(super) fn events(&self, scene: &Scene) -> Vec<Event> {
        let mut events = Vec::new();
        if scene.losses_left > 0 && scene.holder != Position::Between {
            events.push(Event::HolderDies);
            if scene.zombie.is_none() {
                events.push(Event::ClaimIsLost);
            }
        }
        if scene.zombie.is_some() {
            events.push(Event::ZombieDies);
        }
        for gateway in Gateway::ALL.into_iter().filter(|gateway| scene.coming.at(*gateway)) {
            events.push(Event::Dropped(gateway));
            if scene.charges.at(gateway) == Charge::Nothing {
                events.extend([false, true].map(|twice| Event::Taken { gateway, twice }));
                events.push(Event::Declined(gateway));
            }
        }
        // once the order is taken back, it makes no difference to it who has the seat
        if matches!(scene.seat, Seat::Free | Seat::Held) && !scene.saga.run.compensating {
            events.push(Event::RivalBuys);
        }
        if scene.saga.cancellable {
            events.push(Event::Cancelled);
        }
        events.extend(self.doubt(scene));
        events
    }

    /// What the saga that settles a doubt may do.
    fn doubt(&self, scene: &Scene) -> Option<Event> {
        let Doubt { gateway, .. } = scene.doubt.filter(|doubt| !doubt.over)?;
        Some(match scene.charges.at(gateway) {
            Charge::Nothing if self.has(Protection::NotFoundIsNotFinal) => Event::DoubtVoids(gateway),
            Charge::Taken if self.has(Protection::LoserIsRefunded) => Event::DoubtRefunds(gateway),
            _ => Event::DoubtEnds(gateway),
        })
    }

    pub(super) fn happen(&self, scene: &mut Scene, event: Event) -> Result<(), Corrupt> {
        match event {
            Event::HolderDies | Event::ClaimIsLost => {
                // whoever claims it next knows nothing but the journal
                scene.corrupt = !scene.saga.replays();
                scene.losses_left -= 1;
                if event == Event::ClaimIsLost {
                    scene.zombie = self.zombie(scene.holder);
                }
                scene.holder = Position::Between;
            }
            Event::ZombieDies => scene.zombie = None,
            Event::Taken { gateway, twice } => {
                scene.charges.put(gateway, Charge::Taken);
                scene.coming.put(gateway, twice);
            }
            Event::Declined(gateway) => {
                scene.charges.put(gateway, Charge::Declined);
                scene.coming.put(gateway, false);
            }
            Event::Dropped(gateway) => scene.coming.put(gateway, false),
            Event::RivalBuys => scene.seat = Seat::Rivals,
            Event::Cancelled => scene.keep(scene.saga.cancelled(&self.definition))?,
            Event::DoubtVoids(gateway) => scene.void(gateway),
            Event::DoubtRefunds(gateway) => scene.refund(gateway),
            Event::DoubtEnds(gateway) => scene.doubt = Some(Doubt { gateway, over: true }),
        }
        Ok(())
    }
}

impl Scene {
    /// A gateway ends the charge, and refuses it when it arrives later. What it has taken, it keeps.
    pub(super) fn void(&mut self, gateway: Gateway) {
        if self.charges.at(gateway) == Charge::Nothing {
            self.charges.put(gateway, Charge::Voided);
        }
    }

    /// A gateway gives back what it has taken, once.
    pub(super) fn refund(&mut self, gateway: Gateway) {
        if self.charges.at(gateway) == Charge::Taken {
            self.charges.put(gateway, Charge::Returned);
        }
    }
}
