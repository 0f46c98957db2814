//! A path through the model, in words.

use super::{
    Deed, Scene,
    payments::Gateway,
    workers::{Asking, Charging, TakingBack, Who, Work},
    world::Event,
};
use crate::journal::Entry;
use serde_json::json;
use stateright::Path;
use std::fmt::Write;

/// What happened, a line each, with what it wrote into the journal, and how it ended.
pub(super) fn tell(path: Path<Scene, Deed>) -> String {
    let mut story = String::new();
    let mut told = 0;
    for (scene, deed) in path.into_vec() {
        for recorded in scene.saga.journal.iter().skip(told) {
            writeln!(story, "        {:2} {}", recorded.seq, entry(&recorded.entry)).unwrap();
            told += 1;
        }
        writeln!(story, "  {}", deed.map_or_else(|| ending(&scene), said)).unwrap();
    }
    story
}

/// An entry without what matters to nobody here.
fn entry(entry: &Entry) -> String {
    let mut value = json!(entry);
    let mut kept = vec![entry.kind().to_owned()];
    for name in ["step", "lane", "intent", "note", "output", "failure", "permanent", "act", "cause"] {
        kept.extend(
            value.as_object_mut().and_then(|members| members.remove(name)).map(|value| format!("{name} {value}")),
        );
    }
    kept.join(", ")
}

fn ending(scene: &Scene) -> String {
    let books = Gateway::ALL.map(|gateway| format!("{gateway:?}: {:?}", scene.charges.at(gateway)));
    let rest = if scene.is_at_rest() { "at rest" } else { "not at rest" };
    let corrupt = if scene.corrupt { ", and its journal does not read" } else { "" };
    format!(
        "In the end ({rest}) the order is {}{corrupt}; {}; the seat is {:?}; left behind: {:?}.",
        scene.saga.run.state,
        books.join(", "),
        scene.seat,
        scene.doubt,
    )
}

fn said(deed: Deed) -> String {
    match deed {
        Deed::Work(Who::Holder, work) => format!("The worker {}.", does(work)),
        Deed::Work(Who::Zombie, work) => format!("The zombie {}.", does(work)),
        Deed::Event(event) => happens(event),
    }
}

fn does(work: Work) -> String {
    match work {
        Work::Decide => "records what is decided".to_owned(),
        Work::Local(due) => format!("runs step {} ({:?}) in its move", due.step + 1, due.lane),
        Work::GiveUp => "finds no gateway left".to_owned(),
        Work::Charge(at, Charging::Intend) => format!("is about to charge at {at:?}"),
        Work::Charge(at, Charging::Send) => format!("calls {at:?}"),
        Work::Charge(at, Charging::FindNobody) => format!("finds that nobody listens at {at:?}"),
        Work::Charge(at, Charging::Hear) => format!("hears {at:?}'s answer"),
        Work::Charge(at, Charging::TimeOut) => format!("hears nothing from {at:?} in time"),
        Work::Ask(at, Asking::Ask) => format!("asks {at:?} what became of the charge"),
        Work::Ask(at, Asking::AskAndVoid) => format!("asks {at:?}, which ends the charge if it has not come"),
        Work::Ask(at, Asking::AskInVain) => format!("asks {at:?} and gets no answer"),
        Work::Ask(at, Asking::Leave) => format!("goes on without knowing what became of the charge at {at:?}"),
        Work::Ask(at, Asking::FindLeft) => format!("finds that the charge at {at:?} was left behind"),
        Work::TakeBack(TakingBack::Intend) => "begins to take the payment back".to_owned(),
        Work::TakeBack(TakingBack::Void(at)) => format!("has {at:?} end the charge, if it is not too late"),
        Work::TakeBack(TakingBack::VoidNothing(at)) => format!("hears from {at:?} that there is no such charge"),
        Work::TakeBack(TakingBack::VoidUnheard(at)) => format!("has {at:?} end the charge, and does not hear of it"),
        Work::TakeBack(TakingBack::Refund(at)) => format!("has {at:?} give the money back"),
        Work::TakeBack(TakingBack::RefundUnheard(at)) => format!("has {at:?} give the money back, unheard"),
        Work::Note(note, _) => format!("notes {note:?}"),
        Work::Record(verdict) => format!("records {verdict:?}"),
    }
}

fn happens(event: Event) -> String {
    match event {
        Event::HolderDies => "The worker dies; another one takes its place.".to_owned(),
        Event::ClaimIsLost => "The worker sleeps until it has lost its claim: it is a zombie now.".to_owned(),
        Event::ZombieDies => "The zombie dies.".to_owned(),
        Event::Taken { gateway, twice: false } => format!("The charge arrives at {gateway:?}, which takes the money."),
        Event::Taken { gateway, twice: true } => format!("The charge arrives at {gateway:?}, for the first time."),
        Event::Declined(gateway) => format!("The charge arrives at {gateway:?}, which declines it."),
        Event::Dropped(gateway) => format!("Nothing comes of the charge on its way to {gateway:?}."),
        Event::RivalBuys => "A rival buys the seat.".to_owned(),
        Event::Cancelled => "The buyer cancels.".to_owned(),
        Event::DoubtVoids(gateway) => format!("What settles the doubt has {gateway:?} end the charge."),
        Event::DoubtRefunds(gateway) => format!("What settles the doubt has {gateway:?} give the money back."),
        Event::DoubtEnds(gateway) => format!("The doubt about {gateway:?} is settled."),
    }
}
