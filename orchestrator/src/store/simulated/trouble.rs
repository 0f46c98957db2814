//! What goes wrong with a simulated store, and how often: all of it drawn from one seed.

use super::PAUSE_MIN;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use uuid::Uuid;

/// Where all chance of one simulated run comes from. Clones draw from the same source.
#[derive(Debug, Clone)]
pub struct Luck(Arc<Mutex<SmallRng>>);

impl Luck {
    /// The same seed, asked the same, gives the same.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(SmallRng::seed_from_u64(seed))))
    }

    /// A number from 0 to `most`, evenly.
    #[must_use]
    pub fn up_to(&self, most: u64) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).random_range(0..=most)
    }

    /// True so many times in a thousand.
    #[must_use]
    pub fn strikes(&self, per_mille: u32) -> bool {
        per_mille > 0 && self.up_to(999) < per_mille.into()
    }

    /// A time from 0 to `most`, evenly in milliseconds.
    #[must_use]
    pub fn time(&self, most: Duration) -> Duration {
        Duration::from_millis(self.up_to(u64::try_from(most.as_millis()).unwrap_or(u64::MAX)))
    }

    /// One of these.
    ///
    /// # Panics
    /// When there are none.
    #[must_use]
    pub fn one_of<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.up_to(of.len() as u64 - 1)).unwrap_or_default()]
    }

    /// An id, as random as a UUIDv7 and as ordered as the calls.
    #[must_use]
    pub fn id(&self, millis: u64) -> Uuid {
        let mut random = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        uuid::Builder::from_unix_timestamp_millis(millis, &random.random()).into_uuid()
    }
}

/// How often what goes wrong, in a thousand calls.
#[derive(Debug, Clone, Default)]
pub struct Trouble {
    /// A call takes up to this long.
    pub pause_max: Duration,
    /// A call finds nobody there.
    pub away: u32,
    /// A statement that is a transaction by itself is done, and its answer is lost.
    pub answer_lost: u32,
    /// COMMIT is lost before it arrives.
    pub commit_lost_before: u32,
    /// The answer to COMMIT is lost.
    pub commit_lost_after: u32,
    /// The connection is lost while COMMIT is on its way, which is done later.
    pub commit_on_its_way: u32,
    /// A hint is lost; as often one comes twice.
    pub hint_lost: u32,
    /// So many answers to such statements are lost before chance decides.
    pub next_answers_lost: u32,
    /// What becomes of the next COMMITs, before chance decides.
    pub next_commits: VecDeque<CommitFate>,
}

/// What becomes of a COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFate {
    /// It is done and answered.
    Done,
    /// It is lost before it arrives.
    LostBefore,
    /// It is done, and the answer is lost.
    LostAfter,
    /// It is done after this time; the connection is lost at once.
    LostOnItsWay(Duration),
}

impl Trouble {
    pub(super) fn pause(&self, luck: &Luck) -> Duration {
        PAUSE_MIN + luck.time(self.pause_max)
    }

    pub(super) fn is_away(&self, luck: &Luck) -> bool {
        luck.strikes(self.away)
    }

    pub(super) fn loses_answer(&mut self, luck: &Luck) -> bool {
        match self.next_answers_lost.checked_sub(1) {
            Some(left) => {
                self.next_answers_lost = left;
                true
            }
            None => luck.strikes(self.answer_lost),
        }
    }

    pub(super) fn commit(&mut self, luck: &Luck) -> CommitFate {
        if let Some(fate) = self.next_commits.pop_front() {
            fate
        } else if luck.strikes(self.commit_lost_before) {
            CommitFate::LostBefore
        } else if luck.strikes(self.commit_lost_after) {
            CommitFate::LostAfter
        } else if luck.strikes(self.commit_on_its_way) {
            CommitFate::LostOnItsWay(luck.time(Duration::from_secs(3)))
        } else {
            CommitFate::Done
        }
    }

    pub(super) fn hints(&self, luck: &Luck) -> u32 {
        match (luck.strikes(self.hint_lost), luck.strikes(self.hint_lost)) {
            (true, _) => 0,
            (false, true) => 2,
            (false, false) => 1,
        }
    }
}
