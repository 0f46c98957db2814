//! How many calls may be made that were made before. When a gateway fails, everybody tries again; without a limit
//! that is what keeps it down.
//!
//! Every first call earns a fifth of a repeated one. Somebody who is alone must be able to try again as well, so a few
//! are there from the beginning, and of those one more comes with every second in which first calls do not earn as much.

use super::{calls::Repeatable, state::Millis};
use std::collections::HashMap;

/// What a repeated call costs; a first one earns a fifth of it.
const COST: i64 = 100;
const EARNED: i64 = 20;
/// What is there from the beginning: ten calls.
const RESERVE: i64 = 10 * COST;
/// What there can be at most: a hundred calls.
const SAVED_MAX: i64 = 100 * COST;
/// In how many milliseconds one hundredth of a call comes by itself: one call in a second.
const TRICKLE_MS: i64 = 10;
/// For how long at most nothing comes by itself because first calls have earned it.
const EARNED_AHEAD_MS: i64 = 1_000;
/// How long a call is remembered whose answer did not come.
const REMEMBERED_MS: i64 = 600_000;
/// How many are remembered; beyond that, a repeated call counts as a first one.
const CALLS_MAX: usize = 10_000;

/// The repeated calls that one gateway may be asked for.
#[derive(Debug)]
pub(super) struct Budget {
    saved: i64,
    at: Millis,
    /// Calls without an answer, until when they are remembered.
    unanswered: HashMap<String, Millis>,
}

impl Budget {
    pub(super) fn new(now: Millis) -> Self {
        Self { saved: RESERVE, at: now, unanswered: HashMap::new() }
    }

    /// Takes what this call costs; false when there is not enough.
    pub(super) fn take(&mut self, call: &Repeatable, now: Millis) -> bool {
        self.trickle(now);
        if call.is_repeated || self.unanswered.get(&call.name).is_some_and(|until| now < *until) {
            if self.saved < COST {
                return false;
            }
            self.saved -= COST;
            return true;
        }
        self.saved = (self.saved + EARNED).min(SAVED_MAX);
        // what is earned comes in the place of what would have come by itself
        self.at = self.at.saturating_add(EARNED * TRICKLE_MS).min(now.saturating_add(EARNED_AHEAD_MS));
        if self.unanswered.len() >= CALLS_MAX {
            self.unanswered.retain(|_, until| now < *until);
        }
        if self.unanswered.len() < CALLS_MAX {
            self.unanswered.insert(call.name.clone(), now.saturating_add(REMEMBERED_MS));
        }
        true
    }

    /// It was answered, or not made: it is not made again, or for the first time.
    pub(super) fn forget(&mut self, call: &str) {
        self.unanswered.remove(call);
    }

    fn trickle(&mut self, now: Millis) {
        let come = now.saturating_sub(self.at).max(0) / TRICKLE_MS;
        self.at = self.at.saturating_add(come * TRICKLE_MS);
        // nobody saves by doing nothing: what comes by itself fills no more than what is there from the beginning
        self.saved = self.saved.max(self.saved.saturating_add(come).min(RESERVE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: impl Into<String>) -> Repeatable {
        Repeatable { name: name.into(), is_repeated: false }
    }

    #[test]
    fn every_first_call_earns_a_fifth_of_a_repeated_one() {
        let mut budget = Budget::new(0);
        for number in 0..500 {
            assert!(budget.take(&call(format!("charge:{number}")), 0));
        }
        let repeated = (0..500).filter(|number| budget.take(&call(format!("charge:{number}")), 0)).count();
        assert_eq!(repeated, 100, "as many as can be saved");
        let mut budget = Budget::new(0);
        for number in 0..100 {
            assert!(budget.take(&call(format!("charge:{number}")), 0));
        }
        let repeated = (0..100).filter(|number| budget.take(&call(format!("charge:{number}")), 0)).count();
        assert_eq!(repeated, 30, "the reserve, and a fifth");
    }

    #[test]
    fn somebody_who_is_alone_may_try_once_a_second() {
        let mut budget = Budget::new(0);
        assert!(budget.take(&call("charge:a"), 0));
        assert_eq!((0..50).filter(|_| budget.take(&call("charge:a"), 0)).count(), 10);
        assert!(!budget.take(&call("charge:a"), 990));
        assert!(budget.take(&call("charge:a"), 1_000), "what the first call earned, and the rest came by itself");
        assert!(!budget.take(&call("charge:a"), 1_999));
        assert!(budget.take(&call("charge:a"), 2_000));
    }

    #[test]
    fn where_many_come_a_fifth_is_all() {
        let mut budget = Budget::new(0);
        let (mut first, mut repeated) = (0, 0);
        for now in (0..600_000).step_by(100) {
            first += i32::from(budget.take(&call(format!("charge:{now}")), now));
            let again = Repeatable { is_repeated: true, ..call("charge:again") };
            repeated += (0..5).filter(|_| budget.take(&again, now)).count();
        }
        assert_eq!((first, repeated), (6_000, 1_200 + 10), "of ten a second for ten minutes, and the reserve");
    }

    #[test]
    fn nobody_saves_by_doing_nothing() {
        let mut budget = Budget::new(0);
        let asked = (0..60).map(|number| call(format!("charge:{number}"))).collect::<Vec<_>>();
        assert!(asked.iter().all(|call| budget.take(call, 86_400_000)));
        assert_eq!(asked.iter().cycle().take(600).filter(|call| budget.take(call, 86_400_000)).count(), 22);
    }

    #[test]
    fn what_was_answered_is_not_repeated() {
        let mut budget = Budget::new(0);
        for _ in 0..100 {
            assert!(budget.take(&call("charge:a"), 0));
            budget.forget("charge:a");
        }
    }

    #[test]
    fn what_another_process_has_made_before_costs_the_same() {
        let mut budget = Budget::new(0);
        let again = |number| Repeatable { is_repeated: true, ..call(format!("charge:{number}")) };
        assert_eq!((0..50).filter(|number| budget.take(&again(*number), 0)).count(), 10);
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let mut budget = Budget::new(0);
        for number in 0..=CALLS_MAX {
            assert!(budget.take(&call(format!("charge:{number}")), 0));
        }
        assert_eq!(budget.unanswered.len(), CALLS_MAX);
        assert!(budget.take(&call("charge:late"), REMEMBERED_MS));
        assert_eq!(budget.unanswered.len(), 1);
    }
}
