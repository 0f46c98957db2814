//! The calls about the money: charging, asking, taking back.
//!
//! This is what the payment steps do, without their protocols: the same gateway and the same key while an attempt is
//! open; the next gateway when it is dead, or when it is left to a saga that settles it; an attempt that was left is
//! not this saga's any more.

use super::{Asking, Charging, Position, TakingBack, Verdict, Work};
use crate::{
    action::Lane,
    model::{
        Protection, Sale, Scene,
        payments::{Charge, Each, Fate, Gateway, Known, Note},
        workers::Who,
    },
    run::Corrupt,
};
use serde_json::{Value, json};

/// What whoever is in the middle of a call may do.
pub(super) fn goes_on(scene: &Scene, position: Position) -> Vec<Work> {
    match position {
        Position::Between | Position::Told(..) => Vec::new(),
        Position::Sending(gateway) => {
            [Charging::Send, Charging::FindNobody].map(|stage| Work::Charge(gateway, stage)).to_vec()
        }
        Position::Waiting(gateway) => {
            let answered = !scene.coming.at(gateway) && scene.charges.at(gateway) != Charge::Nothing;
            let heard = answered.then_some(Charging::Hear);
            heard.into_iter().chain([Charging::TimeOut]).map(|stage| Work::Charge(gateway, stage)).collect()
        }
        Position::Voiding(gateway) => {
            let nothing = scene.charges.at(gateway) == Charge::Nothing;
            let stages = [TakingBack::Void(gateway), TakingBack::VoidUnheard(gateway)];
            let not_known = nothing.then_some(TakingBack::VoidNothing(gateway));
            stages.into_iter().chain(not_known).map(Work::TakeBack).collect()
        }
        Position::Refunding(gateway) => {
            [TakingBack::Refund(gateway), TakingBack::RefundUnheard(gateway)].map(Work::TakeBack).to_vec()
        }
    }
}

/// Where it may be charged. The first gateway may be passed over: its breaker is open. While neither has heard of
/// the order that makes no difference, since the two are alike.
pub(super) fn choices(scene: &Scene) -> Vec<Work> {
    let known = &scene.saga.known;
    let intend = |gateway| Work::Charge(gateway, Charging::Intend);
    let untouched = scene.charges == Each::default() && scene.coming == Each::default();
    match known.last {
        None if untouched => vec![intend(Gateway::Primary)],
        None => known.untried().map(intend).collect(),
        Some(last) if matches!(known.fate(last), Fate::Open { .. } | Fate::Captured) => vec![intend(last)],
        Some(_) => vec![known.untried().next().map_or(Work::GiveUp, intend)],
    }
}

/// What may be asked about the last charge. Only while there is another gateway may it be left without an answer.
pub(super) fn questions(scene: &Scene) -> Vec<Work> {
    let known = &scene.saga.known;
    let Some(last) = known.last else { return Vec::new() };
    let questions: &[Asking] = match known.fate(last) {
        Fate::Left => &[Asking::FindLeft],
        Fate::Open { .. } if known.untried().next().is_some() => {
            &[Asking::Ask, Asking::AskAndVoid, Asking::AskInVain, Asking::Leave]
        }
        Fate::Open { .. } => &[Asking::Ask, Asking::AskAndVoid, Asking::AskInVain],
        Fate::Untried | Fate::Captured | Fate::Dead => &[Asking::Ask, Asking::AskInVain],
    };
    questions.iter().map(|question| Work::Ask(last, *question)).collect()
}

/// What is to be taken back: at most one charge, since the next one begins when the one before is dead or left.
fn owed(known: &Known) -> Position {
    let charge = |gateway| match known.fate(gateway) {
        Fate::Open { .. } => Some(Position::Voiding(gateway)),
        Fate::Captured => Some(Position::Refunding(gateway)),
        Fate::Untried | Fate::Dead | Fate::Left => None,
    };
    Gateway::ALL.into_iter().find_map(charge).unwrap_or(Position::Told(None, Verdict::TakenBack))
}

impl Sale {
    pub(super) fn charge(
        &self,
        scene: &mut Scene,
        who: Who,
        gateway: Gateway,
        stage: Charging,
    ) -> Result<Position, Corrupt> {
        let dead = Some(Note::Dead(gateway));
        // without the first protection the intent is committed when the call is over
        let due = match stage {
            Charging::Intend => self.has(Protection::IntentFirst),
            Charging::Send => false,
            Charging::FindNobody | Charging::Hear | Charging::TimeOut => !self.has(Protection::IntentFirst),
        };
        if due && self.may_write(who) {
            self.intend(scene, Lane::Forward, json!(Note::Intended(gateway)))?;
        }
        Ok(match stage {
            Charging::Intend => Position::Sending(gateway),
            Charging::Send => {
                scene.coming.put(gateway, true);
                Position::Waiting(gateway)
            }
            // an earlier call by the same key may still be on its way
            Charging::FindNobody if scene.saga.known.fate(gateway) == (Fate::Open { again: true }) => {
                Position::Told(None, Verdict::Unknown)
            }
            Charging::FindNobody => Position::Told(dead, Verdict::NotExecuted),
            Charging::TimeOut if self.has(Protection::TimeoutIsUnknown) => Position::Told(None, Verdict::Unknown),
            Charging::TimeOut => Position::Told(dead, Verdict::NotExecuted),
            Charging::Hear => match scene.charges.at(gateway) {
                Charge::Nothing => Position::Told(None, Verdict::Unknown),
                Charge::Taken | Charge::Returned => Position::Told(None, Verdict::Charged(gateway)),
                Charge::Declined => Position::Told(dead, Verdict::Refused),
                Charge::Voided => Position::Told(dead, Verdict::NotExecuted),
            },
        })
    }

    pub(super) fn ask(&self, scene: &mut Scene, gateway: Gateway, question: Asking) -> Position {
        let noted = scene.saga.known.fate(gateway) == Fate::Dead;
        let dead = (!noted).then_some(Note::Dead(gateway));
        match question {
            Asking::AskInVain => Position::Told(None, Verdict::FoundUnknown),
            Asking::Leave => Position::Told(Some(Note::Left(gateway)), Verdict::FoundNothing),
            Asking::FindLeft => Position::Told(None, Verdict::FoundNothing),
            Asking::Ask | Asking::AskAndVoid => {
                if question == Asking::AskAndVoid {
                    scene.void(gateway);
                }
                match scene.charges.at(gateway) {
                    // the same call may be made again, at the same gateway, by the same key
                    Charge::Nothing if self.has(Protection::NotFoundIsNotFinal) => {
                        Position::Told(None, Verdict::FoundNothing)
                    }
                    Charge::Nothing | Charge::Voided => Position::Told(dead, Verdict::FoundNothing),
                    Charge::Taken | Charge::Returned => Position::Told(None, Verdict::FoundCharged(gateway)),
                    Charge::Declined => Position::Told(dead, Verdict::FoundRefused),
                }
            }
        }
    }

    pub(super) fn take_back(&self, scene: &mut Scene, stage: TakingBack) -> Result<Position, Corrupt> {
        Ok(match stage {
            TakingBack::Intend => {
                self.intend(scene, Lane::Compensation, Value::Null)?;
                owed(&scene.saga.known)
            }
            TakingBack::Void(gateway) => {
                scene.void(gateway);
                match scene.charges.at(gateway) {
                    Charge::Taken | Charge::Returned => Position::Told(Some(Note::Captured(gateway)), Verdict::NotYet),
                    _ => Position::Told(Some(Note::Dead(gateway)), Verdict::TakenBack),
                }
            }
            TakingBack::VoidNothing(_) if self.has(Protection::NotFoundIsNotFinal) => {
                Position::Told(None, Verdict::NotYet)
            }
            TakingBack::VoidNothing(gateway) => Position::Told(Some(Note::Dead(gateway)), Verdict::TakenBack),
            TakingBack::VoidUnheard(gateway) => {
                scene.void(gateway);
                Position::Told(None, Verdict::NotYet)
            }
            TakingBack::Refund(gateway) => {
                scene.refund(gateway);
                Position::Told(None, Verdict::TakenBack)
            }
            TakingBack::RefundUnheard(gateway) => {
                scene.refund(gateway);
                Position::Told(None, Verdict::NotYet)
            }
        })
    }
}
