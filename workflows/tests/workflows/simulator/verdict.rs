//! What must be true when everything has come to rest, whatever happened before.

use super::{
    actions::{clock, price},
    business::{Business, Payment, SeatOf, Standing},
    people::Placed,
    world::World,
};
use orchestrator::{
    CHILD_OWNER, SagaId,
    journal::{Entry, Moment, Recorded},
    saga::State,
    store::simulated::{Data, SagaRow},
};
use serde::Deserialize;
use std::{collections::BTreeSet, fmt::Write};
use workflows::payments::PaymentNote;

impl World {
    /// Everything that is wrong.
    pub(super) fn judge(&self, placed: &[Placed]) -> Vec<String> {
        let data = self.store.committed();
        let mut wrong = data.violations();
        wrong.extend(data.business.broken.iter().cloned());
        wrong.extend(self.wrong.lock().unwrap().iter().cloned());
        self.gateways.iter().for_each(|gateway| wrong.extend(gateway.books.lock().unwrap().broken.iter().cloned()));
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
        let is_killed = |saga| data.sagas.get(saga).is_some_and(|row| row.state == State::Killed);
        let is_doubtful = |payment: &Payment| matches!(payment.standing, Standing::Pending | Standing::InDoubt);
        for (name, payment) in data.business.payments.iter().filter(|(_, payment)| is_doubtful(payment)) {
            if !is_killed(&payment.saga) {
                wrong.push(format!("{name:?} is {:?} in the end", payment.standing));
            }
        }
        wrong.extend(data.sagas.iter().flat_map(|(saga, row)| rejected_too_early(&data, *saga, row)));
        drop(data);
        placed.iter().for_each(|one| wrong.extend(self.judge_order(one)));
        wrong
    }

    fn judge_order(&self, placed: &Placed) -> Vec<String> {
        let data = self.store.committed();
        let Placed { order, seats, saga, only_at } = placed;
        let Some(row) = data.sagas.get(saga) else {
            return vec![format!("{saga} of {order} was promised and is gone")];
        };
        let own = |of: &SeatOf| matches!(of, SeatOf::Held(owner, _) | SeatOf::Sold(owner) if owner == order);
        let has: BTreeSet<_> = data.business.seats.iter().filter(|(_, of)| own(of)).map(|(seat, _)| seat).collect();
        let tickets: BTreeSet<_> =
            data.business.tickets.iter().filter(|(_, owner)| *owner == order).map(|(seat, _)| seat).collect();
        let mut refunds = data.business.refunds.values();
        let refunded = refunds.any(|refund| refund.order == *order && !refund.of_left_behind);
        let nets = self.gateways.each_ref().map(|gateway| gateway.books.lock().unwrap().net(*order));
        let price = price(seats.len()).amount_minor;

        let mut wrong = Vec::new();
        let mut claim = |is_so: bool, what: &str| {
            if !is_so {
                wrong
                    .push(format!("{order} is {}: {what} (net {nets:?}, has {has:?}, tickets {tickets:?})", row.state));
            }
        };
        for gateway in &self.gateways {
            let books = gateway.books.lock().unwrap();
            claim(books.charges_of(*order).all(|charge| charge.captures <= 1), "one key was charged twice");
            let is_understood = only_at.is_none_or(|only| only == gateway.name);
            claim(is_understood || books.charges_of(*order).count() == 0, "its token is of no use there");
        }
        match row.state {
            State::Completed if !refunded => {
                claim(nets == [price, 0] || nets == [0, price], "not one gateway has its price");
                claim(
                    tickets.iter().copied().eq(seats.iter().collect::<BTreeSet<_>>()),
                    "its tickets are not its seats",
                );
                claim(has == tickets, "its seats are not sold to it");
            }
            State::Completed | State::Compensated => {
                claim(nets == [0, 0], "money was kept");
                claim(tickets.is_empty(), "tickets are left");
                claim(has.is_empty(), "seats are left");
            }
            // what a kill leaves behind is in front of a person
            State::Killed => {
                claim(data.cases.get(saga).is_some_and(|case| !case.closed), "no case tells of it");
                claim(tickets.is_empty(), "tickets are left");
            }
            _ => {}
        }
        wrong
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
        for gateway in &self.gateways {
            let way = if gateway.prepares { "Stripe's" } else { "Adyen's" };
            writeln!(text, "{}, {way} way", gateway.name).unwrap();
            let books = gateway.books.lock().unwrap();
            for (key, charge) in &books.charges {
                writeln!(text, "  charge {key} of {}: {:?} {}", charge.order, charge.state, charge.amount).unwrap();
            }
            for (key, refund) in &books.refunds {
                writeln!(text, "  refund {key} of {}: {}", refund.payment, refund.amount).unwrap();
            }
        }
        wrong.iter().for_each(|one| writeln!(text, "WRONG: {one}").unwrap());
        text
    }
}

/// An order that has left charges behind is not rejected before each of them is settled.
fn rejected_too_early(data: &Data<Business>, saga: SagaId, row: &SagaRow) -> Vec<String> {
    let journal = row.journal.iter().map(|(recorded, _)| recorded);
    let Some(rejected) = journal.clone().find(|recorded| recorded.entry == Entry::Compensated) else {
        return Vec::new();
    };
    let left_behind = journal.filter_map(|recorded| match &recorded.entry {
        Entry::Noted { note, .. } => match PaymentNote::deserialize(note) {
            Ok(PaymentNote::LeftBehind { gateway, key }) => Some(format!("settle:{gateway}:{key}")),
            _ => None,
        },
        _ => None,
    });
    let is_open = |key: &String| {
        let settling = data.keys.get(&(CHILD_OWNER.to_owned(), key.clone()));
        let ended = settling.and_then(|holder| ended_at(data.sagas.get(&holder.saga_id)?));
        ended.is_none_or(|ended| ended > rejected.at)
    };
    left_behind.filter(is_open).map(|key| format!("{saga} was rejected before the end of {key}")).collect()
}

fn ended_at(row: &SagaRow) -> Option<Moment> {
    row.journal.last().filter(|_| row.state.is_finished()).map(|(recorded, _)| recorded.at)
}
