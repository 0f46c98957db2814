//! Two gateways with their books, and what a saga's journal says of its charges: the little of a payment that its
//! safety rests on. Keys are made of saga, step and gateway, so that a gateway knows one charge at most.

use crate::{
    action::Lane,
    run::{LaneRun, Run},
};
use serde::{Deserialize, Serialize};

/// Who takes money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Gateway {
    Primary,
    Backup,
}

impl Gateway {
    pub(super) const ALL: [Self; 2] = [Self::Primary, Self::Backup];
}

/// One of each kind for each gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Each<T>(T, T);

impl<T: Copy> Each<T> {
    pub(super) fn at(&self, gateway: Gateway) -> T {
        match gateway {
            Gateway::Primary => self.0,
            Gateway::Backup => self.1,
        }
    }

    pub(super) fn put(&mut self, gateway: Gateway, value: T) {
        match gateway {
            Gateway::Primary => self.0 = value,
            Gateway::Backup => self.1 = value,
        }
    }
}

/// The order's charge in a gateway's own books.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum Charge {
    /// Nothing of it has arrived.
    #[default]
    Nothing,
    /// The gateway holds the buyer's money.
    Taken,
    /// It has given the money back.
    Returned,
    /// It has refused: no money was taken, and by this key none will be.
    Declined,
    /// It was ended before it took money; what arrives later is refused.
    Voided,
}

/// What a worker writes into the journal of its charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Note {
    /// It is about to be asked for.
    Intended(Gateway),
    /// It was taken. Written where the step has another answer.
    Captured(Gateway),
    /// No money was taken, and none will be.
    Dead(Gateway),
    /// The saga goes on without it; another one settles it.
    Left(Gateway),
}

/// How a charge stands, as far as the journal knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) enum Fate {
    /// It was never intended.
    #[default]
    Untried,
    /// It was intended, and may have been executed. `again`: more than once, so that an earlier call may still be on
    /// its way while a later one is answered.
    Open { again: bool },
    /// It was executed.
    Captured,
    /// It was not, and will not be.
    Dead,
    /// Another saga has to find out.
    Left,
}

/// What the journal says of all charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Known {
    fates: Each<Fate>,
    /// The one that was intended last.
    pub(super) last: Option<Gateway>,
}

impl Known {
    pub(super) fn of(run: &Run) -> Self {
        let pay = run.step(super::saga::PAY);
        let mut known = Self::default();
        for lane in [Lane::Forward, Lane::Compensation] {
            notes(pay.lane(lane)).for_each(|note| known.learn(note));
        }
        let charged = pay.forward.output.as_ref().and_then(|output| Gateway::deserialize(output).ok());
        charged.into_iter().for_each(|gateway| known.learn(Note::Captured(gateway)));
        known
    }

    fn learn(&mut self, note: Note) {
        match note {
            Note::Intended(gateway) => {
                self.last = Some(gateway);
                if matches!(self.fate(gateway), Fate::Untried | Fate::Open { .. }) {
                    let again = self.fate(gateway) != Fate::Untried;
                    self.fates.put(gateway, Fate::Open { again });
                }
            }
            Note::Captured(gateway) => self.fates.put(gateway, Fate::Captured),
            Note::Dead(gateway) => self.fates.put(gateway, Fate::Dead),
            Note::Left(gateway) => self.fates.put(gateway, Fate::Left),
        }
    }

    pub(super) fn fate(&self, gateway: Gateway) -> Fate {
        self.fates.at(gateway)
    }

    /// Where nothing was intended yet.
    pub(super) fn untried(&self) -> impl Iterator<Item = Gateway> + '_ {
        Gateway::ALL.into_iter().filter(|gateway| self.fate(*gateway) == Fate::Untried)
    }
}

fn notes(lane: &LaneRun) -> impl Iterator<Item = Note> + '_ {
    lane.notes.iter().filter_map(|note| Note::deserialize(note).ok())
}
