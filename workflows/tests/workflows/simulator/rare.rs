//! What happens rarely, counted: a run in which it never happened has not tried it.

use super::{books::State as ChargeState, protocol::BACKUP, world::World};
use orchestrator::{
    SagaId,
    action::Lane,
    journal::{ActKind, Entry, Recorded},
    run::{Phase, Run},
    saga::State,
    store::simulated::SagaRow,
};
use serde::Deserialize;
use std::fmt;
use workflows::{
    orders::BOOK_TICKETS,
    payments::{AMOUNT_MISMATCH, ChargeOutput, LeftBehind, PaymentNote, SETTLE_DOUBT, SettledDoubt},
};

macro_rules! rare {
    ($($(#[$doc:meta])* $name:ident: $words:literal),* $(,)?) => {
        /// How often each has happened.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub(super) struct Rare {
            $($(#[$doc])* pub(super) $name: u64,)*
        }

        impl Rare {
            fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$(($words, self.$name)),*]
            }

            pub(super) fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

rare! {
    confirmed: "orders with tickets",
    taken_back: "orders taken back",
    hold_lost_after_payment: "hold lost after payment",
    zombie_refused: "zombie refused",
    unknown_found_done: "unknown commit found done",
    unknown_found_not_done: "unknown commit found not done",
    stuck: "stuck",
    cancelled_in_doubt: "cancelled during doubt",
    probed_done: "found done by a probe",
    late_arrival: "a charge arrived late",
    late_arrival_refused: "a late charge found itself voided",
    confirmed_on_backup: "confirmed on the backup",
    tried_again: "another charge at one gateway",
    left_behind: "a charge was left behind",
    left_behind_refunded: "left behind, taken, and refunded",
    left_behind_voided: "left behind, and voided",
    left_behind_never_came: "left behind, and never came",
    void_lost: "a void of what was left behind came too late",
    late_capture_refunded: "a late capture refunded",
    rejected_after_settling: "rejected when what was left behind was settled",
    another_amount: "another amount was taken, and a person was asked",
    refunded: "refunded",
    killed: "killed by a person",
    parked: "parked behind an open breaker",
    doubt_parked: "in doubt, and parked behind an open breaker",
    passed_over: "a gateway whose breaker was open was passed over",
    came_back: "came back through half-open",
    signal_ended_wait: "the buyer's bank answered",
    worker_lost: "a step lost every worker",
    swept: "a lost wake-up was mended",
    retried_by_person: "a person had it tried again",
    deadline: "past its deadline",
}

impl Rare {
    /// What has never happened.
    pub(super) fn never(&self) -> Vec<&'static str> {
        self.all().into_iter().filter(|(_, times)| *times == 0).map(|(words, _)| words).collect()
    }
}

impl fmt::Display for Rare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all().iter().try_for_each(|(words, times)| writeln!(f, "{times:>9}  {words}"))
    }
}

impl World {
    /// Counts what rarely happens, from the journals and the books.
    pub(super) fn count_rare(&self) {
        let data = self.store.committed();
        let found = self.store.found();
        let mut rare = self.rare.lock().unwrap();
        rare.unknown_found_done += found.done;
        rare.unknown_found_not_done += found.not_done;
        for (saga, row) in &data.sagas {
            let run = read(*saga, row, &mut rare);
            match run.definition.as_str() {
                BOOK_TICKETS => read_order(&run, &mut rare),
                SETTLE_DOUBT if run.state == State::Completed => self.read_settled(&run, &mut rare),
                _ => {}
            }
        }
        for gateway in &self.gateways {
            let books = gateway.books.lock().unwrap();
            rare.late_arrival += books.late;
            rare.late_arrival_refused += books.late_refused;
            rare.came_back += books.came_back;
        }
        rare.refunded += u64::try_from(data.business.refunds.len()).unwrap();
    }

    /// A saga that has looked after a charge that was left behind, or taken when nobody waited for it any more.
    fn read_settled(&self, run: &Run, rare: &mut Rare) {
        let charge = LeftBehind::deserialize(&run.input).unwrap();
        let settle = run.step("settle");
        let taken = SettledDoubt::deserialize(settle.forward.output.as_ref().unwrap()).unwrap().taken.is_some();
        let books = self.gateway(&charge.gateway).books.lock().unwrap();
        let row = books.charges.get(charge.key.as_str());
        if charge.taken.is_some() {
            rare.late_capture_refunded += u64::from(taken);
        } else if taken {
            rare.left_behind_refunded += 1;
            rare.void_lost += u64::from(row.is_some_and(|row| row.void_came_too_late));
        } else {
            rare.left_behind_voided += u64::from(row.is_some_and(|row| row.state == ChargeState::Voided));
            rare.left_behind_never_came += u64::from(row.is_none());
        }
    }
}

fn read(saga: SagaId, row: &SagaRow, rare: &mut Rare) -> Run {
    let mut journal = row.journal.iter().map(|(recorded, _)| recorded);
    let first: Vec<Recorded> = journal.next().cloned().into_iter().collect();
    let mut run = Run::replay(saga, &first).unwrap();
    for recorded in journal {
        read_entry(&run, &recorded.entry, rare);
        run.apply(recorded).unwrap();
    }
    run
}

fn read_order(run: &Run, rare: &mut Rare) {
    let pay = run.step("pay");
    let notes = pay.forward.notes.iter().chain(&pay.compensation.notes);
    let notes: Vec<_> = notes.filter_map(|note| PaymentNote::deserialize(note).ok()).collect();
    let left_behind = notes.iter().filter(|note| matches!(note, PaymentNote::LeftBehind { .. })).count();
    let intended = notes.iter().filter(|note| matches!(note, PaymentNote::Intended { .. }));
    let intended: Vec<_> = intended.map(PaymentNote::charge).collect();
    rare.left_behind += u64::try_from(left_behind).unwrap();
    rare.tried_again += u64::from(intended.iter().any(|(_, key)| key.as_str().ends_with(":2")));
    rare.passed_over += u64::from(intended.first().is_some_and(|(gateway, _)| *gateway == BACKUP));
    match run.state {
        State::Completed => {
            let output = pay.forward.output.as_ref().map(ChargeOutput::deserialize).unwrap().unwrap();
            rare.confirmed += 1;
            rare.confirmed_on_backup += u64::from(output.gateway == BACKUP);
        }
        State::Compensated => {
            rare.taken_back += 1;
            rare.rejected_after_settling += u64::from(left_behind > 0);
        }
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
            rare.another_amount += u64::from(failure.code == AMOUNT_MISMATCH);
        }
        Entry::Acted { act: ActKind::Cancel, .. } => {
            let doubted = |phase: &Phase| matches!(phase, Phase::Doubt(_) | Phase::Open);
            rare.cancelled_in_doubt += u64::from(doubted(&run.step("pay").forward.phase));
        }
        Entry::Killed => rare.killed += 1,
        Entry::Succeeded { probed: true, .. } => rare.probed_done += 1,
        Entry::Parked { .. } => rare.parked += 1,
        Entry::InDoubt { parked: true, .. } => rare.doubt_parked += 1,
        Entry::Intended { step, lane: Lane::Forward, .. } if step == "pay" => {
            let waited =
                matches!(&run.step(step).forward.phase, Phase::Waiting(wait) if wait.reason == "the buyer's bank");
            let came = run.signals.iter().any(|signal| signal.name.starts_with("payment:"));
            rare.signal_ended_wait += u64::from(waited && came);
        }
        _ => {}
    }
}
