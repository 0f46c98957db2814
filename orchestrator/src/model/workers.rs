//! Workers: where each may stand, what it may do there, and what it writes.
//!
//! Whoever has the claim is the holder; one who had it and goes on all the same is the zombie. Their names do not
//! matter, so that two workers are two places, and the claim's token is current in one of them. Between two calls a
//! worker knows nothing that is not in the journal: there any worker may be the holder.

mod calls;

use super::{
    Protection, Sale, Scene,
    payments::{Gateway, Note},
    saga::PAY,
    world::{Doubt, Seat},
};
use crate::{
    action::{Answer, Failure, Halt, Lane, Probed},
    plan::{Due, Next},
    run::Corrupt,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// One of two workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Its token is the claim's.
    Holder,
    /// Its token was the claim's.
    Zombie,
}

/// Where a worker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Position {
    /// Not in the middle of a call.
    Between,
    /// The intent is committed; the call is made next.
    Sending(Gateway),
    /// The call is made.
    Waiting(Gateway),
    /// About to end a charge of which nobody knows whether it was executed.
    Voiding(Gateway),
    /// About to give money back.
    Refunding(Gateway),
    /// It has learned something that is not written yet: a note first, where there is one, then the verdict.
    Told(Option<Note>, Verdict),
}

/// What a call has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Verdict {
    /// The charge was executed.
    Charged(Gateway),
    /// It was not executed, and none is to be tried.
    Refused,
    /// It was certainly not executed.
    NotExecuted,
    /// Nobody knows.
    Unknown,
    /// A question has found that it was executed.
    FoundCharged(Gateway),
    /// A question has found it refused.
    FoundRefused,
    /// A question has found that it was not executed.
    FoundNothing,
    /// A question got no answer.
    FoundUnknown,
    /// Nothing is left to be taken back.
    TakenBack,
    /// It cannot be taken back yet.
    NotYet,
}

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Records what is decided.
    Decide,
    /// Runs a local action in the transaction of its move.
    Local(Due),
    /// Answers that no gateway is left.
    GiveUp,
    /// Takes the money.
    Charge(Gateway, Charging),
    /// Finds out what became of a charge.
    Ask(Gateway, Asking),
    /// Gives the money back.
    TakeBack(TakingBack),
    /// Commits a note.
    Note(Note, Verdict),
    /// Commits an answer.
    Record(Verdict),
}

/// The stages of a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charging {
    /// Commits the intent.
    Intend,
    /// Makes the call.
    Send,
    /// Finds that nobody listens there.
    FindNobody,
    /// Gets the gateway's answer.
    Hear,
    /// Gives up waiting for it.
    TimeOut,
}

/// What can be asked about a charge, and what can be done without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// Asks what became of it.
    Ask,
    /// Asks, and ends it where it has not arrived.
    AskAndVoid,
    /// Gets no answer.
    AskInVain,
    /// Goes on without an answer: another saga settles it.
    Leave,
    /// Finds that it was left before.
    FindLeft,
}

/// The stages of taking back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TakingBack {
    /// Commits the intent.
    Intend,
    /// Ends the charge, or learns that it is too late for that.
    Void(Gateway),
    /// Learns that the gateway does not know the charge, and has not ended anything.
    VoidNothing(Gateway),
    /// Does not learn that it was ended.
    VoidUnheard(Gateway),
    /// Gives the money back.
    Refund(Gateway),
    /// Does not learn that it was given back.
    RefundUnheard(Gateway),
}

impl Verdict {
    /// The half of the step that it is about.
    fn lane(self) -> Lane {
        if matches!(self, Self::TakenBack | Self::NotYet) { Lane::Compensation } else { Lane::Forward }
    }
}

impl Sale {
    /// What a worker may do now.
    pub(super) fn works(&self, scene: &Scene, who: Who) -> Vec<Work> {
        let position = match who {
            Who::Holder => scene.holder,
            Who::Zombie => scene.zombie.unwrap_or(Position::Between),
        };
        match position {
            Position::Between if who == Who::Zombie => Vec::new(),
            Position::Between => self.starts(scene),
            Position::Told(Some(note), verdict) => vec![Work::Note(note, verdict)],
            Position::Told(None, verdict) => vec![Work::Record(verdict)],
            in_call => calls::goes_on(scene, in_call),
        }
    }

    /// What the plan says is to be done next.
    fn starts(&self, scene: &Scene) -> Vec<Work> {
        match scene.saga.next {
            Next::Decide(_) => vec![Work::Decide],
            Next::Run(due) if self.definition.steps[due.step].step != PAY => vec![Work::Local(due)],
            Next::Run(due) if due.lane == Lane::Compensation => vec![Work::TakeBack(TakingBack::Intend)],
            Next::Run(_) => calls::choices(scene),
            Next::Probe(_) => calls::questions(scene),
            Next::Sleep(_) | Next::Rest => Vec::new(),
        }
    }

    /// Does it.
    pub(super) fn work(&self, scene: &mut Scene, who: Who, work: Work) -> Result<(), Corrupt> {
        let position = match work {
            Work::Decide => self.decide(scene),
            Work::Local(due) => self.local(scene, due),
            Work::GiveUp => self.record(scene, Verdict::Refused),
            Work::Charge(gateway, stage) => self.charge(scene, who, gateway, stage),
            Work::Ask(gateway, question) => Ok(self.ask(scene, gateway, question)),
            Work::TakeBack(stage) => self.take_back(scene, stage),
            Work::Note(note, verdict) => self.note(scene, note, verdict),
            Work::Record(verdict) => self.record(scene, verdict),
        }?;
        match who {
            Who::Holder => scene.holder = position,
            Who::Zombie => scene.zombie = self.zombie(position),
        }
        Ok(())
    }

    /// What is left to a zombie. One that only waits for an answer, or has one, wants nothing more than to write it:
    /// that is refused, and it stops.
    pub(super) fn zombie(&self, position: Position) -> Option<Position> {
        match position {
            Position::Between => None,
            Position::Waiting(_) | Position::Told(..) if self.has(Protection::Token) => None,
            position => Some(position),
        }
    }

    fn may_write(&self, who: Who) -> bool {
        who == Who::Holder || !self.has(Protection::Token)
    }

    fn decide(&self, scene: &mut Scene) -> Result<Position, Corrupt> {
        scene.keep(scene.saga.moved(&self.definition, Vec::new()))?;
        Ok(Position::Between)
    }

    /// A local action: its effect and its entry are one.
    fn local(&self, scene: &mut Scene, due: Due) -> Result<Position, Corrupt> {
        let lost = || Err(Halt::permanent("hold-lost", "the seat is not ours any more"));
        let (seat, answer) = match (self.definition.steps[due.step].step.as_str(), due.lane, scene.seat) {
            ("hold", Lane::Forward, Seat::Free | Seat::Held) => (Seat::Held, Ok(Value::Null)),
            ("hold", Lane::Forward, seat) => (seat, lost()),
            ("hold", Lane::Compensation, Seat::Held) => (Seat::Free, Ok(Value::Null)),
            ("hold", Lane::Compensation, seat) => (seat, Ok(Value::Null)),
            (_, _, Seat::Held) => (Seat::Ours, Ok(Value::Null)),
            (_, _, seat) if self.has(Protection::HoldIsCheckedAgain) => (seat, lost()),
            (_, _, Seat::Rivals | Seat::SoldTwice) => (Seat::SoldTwice, Ok(Value::Null)),
            (_, _, Seat::Free | Seat::Ours) => (Seat::Ours, Ok(Value::Null)),
        };
        scene.seat = seat;
        scene.keep(scene.saga.moved(&self.definition, scene.saga.done(&self.definition, due, answer)))?;
        Ok(Position::Between)
    }

    /// Commits an intent, in the middle of a call from then on.
    fn intend(&self, scene: &mut Scene, lane: Lane, intent: Value) -> Result<(), Corrupt> {
        let entry = scene.saga.intent(lane, intent);
        scene.keep(scene.saga.moved_in_call(&self.definition, entry))
    }

    /// Commits a note in the middle of a call. Somebody who is in the middle of a charge stops there when the buyer
    /// has changed his mind; what was learned is in the note.
    fn note(&self, scene: &mut Scene, note: Note, verdict: Verdict) -> Result<Position, Corrupt> {
        let lane = verdict.lane();
        let entry = scene.saga.note(lane, json!(note));
        scene.keep(scene.saga.moved_in_call(&self.definition, entry))?;
        if let Note::Left(gateway) = note
            && self.has(Protection::FirstStaysOpen)
        {
            // started by key, in the same transaction
            scene.doubt.get_or_insert(Doubt { gateway, over: false });
        }
        Ok(match note {
            Note::Captured(gateway) => Position::Refunding(gateway),
            _ if scene.saga.is_interrupted() => Position::Between,
            _ => Position::Told(None, verdict),
        })
    }

    /// Commits what a call has come to, with the decisions that follow.
    fn record(&self, scene: &mut Scene, verdict: Verdict) -> Result<Position, Corrupt> {
        let (saga, lane) = (Arc::clone(&scene.saga), verdict.lane());
        let entries = match meaning(verdict) {
            Meaning::Answer(answer) => saga.paid(&self.definition, lane, answer),
            Meaning::Found(found) => saga.asked(&self.definition, found),
        };
        scene.keep(saga.moved(&self.definition, entries))?;
        Ok(Position::Between)
    }
}

/// A verdict as the engine's actions and probes say it.
enum Meaning {
    Answer(Answer<Value>),
    Found(Answer<Probed<Value>>),
}

fn meaning(verdict: Verdict) -> Meaning {
    use Meaning::{Answer, Found};
    match verdict {
        Verdict::Charged(gateway) => Answer(Ok(json!(gateway))),
        Verdict::Refused => Answer(Err(Halt::permanent("declined", "no"))),
        Verdict::NotExecuted => Answer(Err(Halt::transient("not-executed", "not now"))),
        Verdict::Unknown => Answer(Err(Halt::in_doubt("timeout", "no answer"))),
        Verdict::FoundCharged(gateway) => Found(Ok(Probed::Executed(json!(gateway)))),
        Verdict::FoundRefused => Found(Ok(Probed::Refused(Failure::new("declined", "no")))),
        Verdict::FoundNothing => Found(Ok(Probed::NotExecuted)),
        Verdict::FoundUnknown => Found(Err(Halt::in_doubt("timeout", "no answer"))),
        Verdict::TakenBack => Answer(Ok(Value::Null)),
        Verdict::NotYet => Answer(Err(Halt::transient("not-yet", "not yet"))),
    }
}
