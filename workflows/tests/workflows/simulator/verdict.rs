//! What must be true when everything has come to rest, whatever happened before.

use super::{
    actions::{clock, price},
    business::SeatOf,
    people::Placed,
    rare::Rare,
    world::World,
};
use orchestrator::{
    SagaId,
    action::Lane,
    journal::{ActKind, Entry, Recorded},
    run::{Phase, Run},
    saga::State,
    store::simulated::SagaRow,
};
use std::{collections::BTreeSet, fmt::Write};

impl World {
    /// Everything that is wrong.
    pub(super) fn judge(&self, placed: &[Placed]) -> Vec<String> {
        let data = self.store.committed();
        let mut wrong = data.violations();
        wrong.extend(data.business.broken.iter().cloned());
        for (saga, row) in &data.sagas {
            if !row.state.is_finished() {
                wrong.push(format!("{saga} is {} and will never end", row.state));
            }
        }
        if !data.child_waits.is_empty() || !data.outbox.is_empty() {
            wrong.push(format!("{:?} and {:?} are left", data.child_waits, data.outbox));
        }
        for refund in data.business.refunds.values().filter(|refund| !refund.settled) {
            wrong.push(format!("the refund of {} was never settled", refund.order));
        }
        drop(data);
        placed.iter().for_each(|one| wrong.extend(self.judge_order(one)));
        wrong
    }

    fn judge_order(&self, placed: &Placed) -> Vec<String> {
        let data = self.store.committed();
        let books = self.gateway.books.lock().unwrap();
        let Placed { order, seats, saga } = placed;
        let Some(row) = data.sagas.get(saga) else {
            return vec![format!("{saga} of {order} was promised and is gone")];
        };
        let own = |of: &SeatOf| matches!(of, SeatOf::Held(owner, _) | SeatOf::Sold(owner) if owner == order);
        let has: BTreeSet<_> = data.business.seats.iter().filter(|(_, of)| own(of)).map(|(seat, _)| seat).collect();
        let tickets: BTreeSet<_> =
            data.business.tickets.iter().filter(|(_, owner)| *owner == order).map(|(seat, _)| seat).collect();
        let refunded = data.business.refunds.values().any(|refund| refund.order == *order);
        let (net, captures) = (books.net(*order), books.captures(*order));

        let mut wrong = Vec::new();
        let mut claim = |is_so: bool, what: &str| {
            if !is_so {
                wrong.push(format!("{order} is {}: {what} (net {net}, has {has:?}, tickets {tickets:?})", row.state));
            }
        };
        claim(captures <= 1, "its card was charged twice");
        match row.state {
            State::Completed if !refunded => {
                claim(net == price(seats.len()).amount_minor, "the gateway has not its price");
                claim(
                    tickets.iter().copied().eq(seats.iter().collect::<BTreeSet<_>>()),
                    "its tickets are not its seats",
                );
                claim(has == tickets, "its seats are not sold to it");
            }
            State::Completed | State::Compensated => {
                claim(net == 0, "money was kept");
                claim(tickets.is_empty(), "tickets are left");
                claim(has.is_empty(), "seats are left");
            }
            // what a kill leaves behind is in front of a person
            State::Killed => claim(data.cases.get(saga).is_some_and(|case| !case.closed), "no case tells of it"),
            _ => {}
        }
        wrong
    }

    /// Counts what rarely happens, from the journals and the books.
    pub(super) fn count_rare(&self) {
        let data = self.store.committed();
        let found = self.store.found();
        let mut rare = self.rare.lock().unwrap();
        rare.unknown_found_done += found.done;
        rare.unknown_found_not_done += found.not_done;
        for (saga, row) in &data.sagas {
            read(*saga, row, &mut rare);
        }
        let books = self.gateway.books.lock().unwrap();
        rare.late_arrival += books.late;
        rare.late_arrival_refused += books.late_refused;
        rare.captured_before_void += books.void_too_late;
        rare.refunded += u64::try_from(data.business.refunds.len()).unwrap();
    }

    /// What happened, for people.
    pub(super) fn story(&self, wrong: &[String]) -> String {
        let data = self.store.committed();
        let mut text = String::new();
        for (saga, row) in &data.sagas {
            writeln!(text, "{saga} {}", row.state).unwrap();
            for (Recorded { seq, at, entry }, _) in &row.journal {
                writeln!(text, "  {seq:>3} {} {}", clock(*at), serde_json::to_string(entry).unwrap()).unwrap();
            }
        }
        let books = self.gateway.books.lock().unwrap();
        for (key, charge) in &books.charges {
            writeln!(text, "charge {key} of {}: {:?} {}", charge.order, charge.state, charge.amount).unwrap();
        }
        for (key, refund) in &books.refunds {
            writeln!(text, "refund {key} of {}: {}", refund.payment, refund.amount).unwrap();
        }
        wrong.iter().for_each(|one| writeln!(text, "WRONG: {one}").unwrap());
        text
    }
}

fn read(saga: SagaId, row: &SagaRow, rare: &mut Rare) {
    let journal: Vec<_> = row.journal.iter().map(|(recorded, _)| recorded.clone()).collect();
    let mut run: Option<Run> = None;
    for recorded in &journal {
        if let Some(run) = &run {
            read_entry(run, &recorded.entry, rare);
        }
        match &mut run {
            Some(run) => run.apply(recorded).unwrap(),
            None => run = Some(Run::replay(saga, std::slice::from_ref(recorded)).unwrap()),
        }
    }
    match row.state {
        State::Completed if journal.iter().any(|one| one.entry.step() == Some("issue")) => rare.confirmed += 1,
        State::Compensated => rare.taken_back += 1,
        _ => {}
    }
}

/// `run`: before the entry.
fn read_entry(run: &Run, entry: &Entry, rare: &mut Rare) {
    let paid = run.step("pay").forward.phase == Phase::Done;
    match entry {
        Entry::Compensating { cause } if paid && cause.code == "hold-lost" => rare.hold_lost_after_payment += 1,
        Entry::Compensating { cause } if cause.code == "deadline" => rare.deadline += 1,
        Entry::Stuck { failure, .. } => {
            rare.stuck += 1;
            rare.worker_lost += u64::from(failure.code == "worker-lost");
        }
        Entry::Acted { act: ActKind::Cancel, .. } => {
            let doubted = |phase: &Phase| matches!(phase, Phase::Doubt(_) | Phase::Open);
            rare.cancelled_in_doubt += u64::from(doubted(&run.step("pay").forward.phase));
        }
        Entry::Killed => rare.killed += 1,
        Entry::Succeeded { probed: true, .. } => rare.probed_done += 1,
        Entry::Intended { step, lane: Lane::Forward, .. } if step == "pay" => {
            let waited =
                matches!(&run.step(step).forward.phase, Phase::Waiting(wait) if wait.reason == "the buyer's bank");
            let came = run.signals.iter().any(|signal| signal.name.starts_with("payment:"));
            rare.signal_ended_wait += u64::from(waited && came);
        }
        _ => {}
    }
}
