//! What a simulated store has committed: the tables of the schema `engine`.

use super::{Business, after};
use crate::{
    ids::SagaId,
    journal::Moment,
    outbox::{Destination, DueMessage, Message, Rest},
    saga::State,
    store::{ActRow, Claim, Journals, KeyHolder, Stored, StoredDefinition, Taken, Written},
};
use chrono::DateTime;
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;

/// How many lost wake-ups one sweep mends.
const SWEPT_MAX: usize = 1_000;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Data<B: Business> {
    /// `engine.definitions`.
    pub definitions: BTreeMap<(String, i32), StoredDefinition>,
    /// `engine.active_definitions`.
    pub active: BTreeMap<String, i32>,
    /// `engine.sagas` with `engine.journal`.
    pub sagas: BTreeMap<SagaId, Arc<SagaRow>>,
    /// `engine.ready`.
    pub ready: BTreeMap<SagaId, Ready>,
    /// `engine.start_keys`.
    pub keys: BTreeMap<(String, String), KeyHolder>,
    /// `engine.outbox`.
    pub outbox: BTreeMap<Uuid, OutboxRow>,
    /// `engine.cases`.
    pub cases: BTreeMap<SagaId, Case>,
    /// `engine.child_waits`: the key by child and parent.
    pub child_waits: BTreeMap<(SagaId, SagaId), String>,
    /// `engine.acts`.
    pub acts: Vec<Act>,
    /// What local actions keep.
    pub business: B,
    /// An entry that the store refuses, by its text: a bad row.
    pub refused: Option<String>,
    tokens: i64,
    messages: u64,
}

/// A saga's projection and journal.
#[derive(Debug, Clone)]
pub struct SagaRow {
    /// Where it stands.
    pub state: State,
    /// The last entry.
    pub seq: i64,
    /// Higher ones are claimed first.
    pub priority: i16,
    /// Its journal.
    pub journal: Vec<Written>,
}

impl SagaRow {
    /// Where its journal ends.
    pub(super) fn last_seq(&self) -> i64 {
        self.journal.last().map_or(0, |(recorded, _)| recorded.seq)
    }
}

/// A wake-up.
#[derive(Debug, Clone)]
pub struct Ready {
    /// Higher ones are claimed first.
    pub priority: i16,
    /// When it is due; never, where it waits for something else.
    pub wake_at: Moment,
    /// Until when it is somebody's.
    pub lease_until: Moment,
    /// Whose it is.
    pub token: Option<i64>,
    /// Claims since the journal last grew.
    pub claims: i32,
}

/// A message.
#[derive(Debug, Clone)]
pub struct OutboxRow {
    /// What it says.
    pub message: Message,
    /// When it is delivered next.
    pub due_at: Moment,
    /// Deliveries that were begun.
    pub attempts: i32,
    /// Nobody tries any more.
    pub dead: bool,
    /// Why the last delivery failed.
    pub last_error: Option<String>,
}

/// What is in front of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Why.
    pub cause: String,
    /// It is over.
    pub closed: bool,
}

/// An act that was done or refused.
#[derive(Debug, Clone)]
pub struct Act {
    key: (String, String, SagaId, i64, String),
    /// `done` or `refused`.
    pub outcome: String,
    detail: Value,
}

/// Nobody's, and due.
pub(super) fn fresh(priority: i16, wake_at: Moment) -> Ready {
    Ready { priority, wake_at, lease_until: DateTime::<chrono::Utc>::MIN_UTC, token: None, claims: 0 }
}

impl Ready {
    /// Ends the claim.
    pub(super) fn release(&mut self) {
        self.lease_until = DateTime::<chrono::Utc>::MIN_UTC;
        self.token = None;
    }
}

impl<B: Business> Data<B> {
    pub(super) fn claim(&mut self, limit: usize, lease_secs: i32, now: Moment) -> Taken {
        let due = |(_, ready): &(&SagaId, &mut Ready)| ready.wake_at <= now && ready.lease_until <= now;
        let mut due: Vec<_> = self.ready.iter_mut().filter(due).collect();
        due.sort_by_key(|(_, ready)| (std::cmp::Reverse(ready.priority), ready.wake_at));
        let mut claims = Vec::new();
        for (saga_id, ready) in due.into_iter().take(limit) {
            self.tokens += 1;
            ready.token = Some(self.tokens);
            ready.lease_until = after(now, lease_secs);
            ready.claims += 1;
            claims.push(Claim { saga_id: *saga_id, token: self.tokens, claims: ready.claims });
        }
        let wanted: Vec<_> = claims.iter().map(|claim| (claim.saga_id, 0)).collect();
        Taken { journals: self.journals_after(&wanted), claims, now }
    }

    fn held(&mut self, saga_id: SagaId, token: i64) -> Option<&mut Ready> {
        self.ready.get_mut(&saga_id).filter(|ready| ready.token == Some(token))
    }

    pub(super) fn renew(&mut self, held: &[(SagaId, i64)], lease_secs: i32, now: Moment) -> Vec<SagaId> {
        let mut ours = Vec::new();
        for (saga_id, token) in held {
            if let Some(ready) = self.held(*saga_id, *token) {
                ready.lease_until = after(now, lease_secs);
                ours.push(*saga_id);
            }
        }
        ours
    }

    pub(super) fn hand_back(&mut self, held: &[(SagaId, i64)]) {
        for (saga_id, token) in held {
            if let Some(ready) = self.held(*saga_id, *token) {
                ready.release();
                ready.claims = (ready.claims - 1).max(0);
            }
        }
    }

    pub(super) fn put_off(&mut self, claim: &Claim, until: Moment) {
        if let Some(ready) = self.held(claim.saga_id, claim.token) {
            ready.release();
            ready.claims = (ready.claims - 1).max(0);
            ready.wake_at = until;
        }
    }

    pub(super) fn sweep(&mut self, now: Moment) -> u64 {
        let lost = |(saga_id, row): &(&SagaId, &Arc<SagaRow>)| {
            let moves = matches!(row.state, State::Running | State::Waiting | State::Compensating);
            moves && !self.ready.contains_key(saga_id)
        };
        let lost: Vec<_> = self.sagas.iter().filter(lost).take(SWEPT_MAX).collect();
        let mended = lost.iter().map(|(saga_id, row)| (**saga_id, fresh(row.priority, now)));
        self.ready.extend(mended.collect::<Vec<_>>());
        lost.len() as u64
    }

    pub(super) fn journals_after(&self, after: &[(SagaId, i64)]) -> Journals {
        let behind = |(saga_id, seq): &(SagaId, i64)| {
            let journal = self.sagas.get(saga_id).map(|row| row.journal.as_slice()).unwrap_or_default();
            let from = usize::try_from(*seq).unwrap_or_default().min(journal.len());
            (*saga_id, Ok(journal[from..].to_vec()))
        };
        after.iter().map(behind).collect()
    }

    pub(super) fn enqueue(&mut self, messages: &[Message], now: Moment) {
        for message in messages {
            self.messages += 1;
            let id = Uuid::from_u64_pair(0, self.messages);
            let message = message.clone();
            self.outbox.insert(id, OutboxRow { message, due_at: now, attempts: 0, dead: false, last_error: None });
        }
    }

    pub(super) fn due_messages(&mut self, destination: Destination, limit: i64, now: Moment) -> Vec<DueMessage> {
        let is_due = |row: &OutboxRow| !row.dead && row.message.destination == destination && row.due_at <= now;
        let mut due: Vec<_> = self.outbox.iter_mut().filter(|(_, row)| is_due(row)).collect();
        due.sort_by_key(|(_, row)| row.due_at);
        due.truncate(usize::try_from(limit).unwrap_or_default());
        let take = |(id, row): (&Uuid, &mut OutboxRow)| {
            row.attempts += 1;
            row.due_at = after(now, destination.lease_secs());
            DueMessage { message_id: *id, message: row.message.clone(), attempts: row.attempts }
        };
        due.into_iter().map(take).collect()
    }

    pub(super) fn postpone(&mut self, message: &DueMessage, rest: Rest, error: &str, now: Moment) {
        if let Some(row) = self.outbox.get_mut(&message.message_id) {
            (row.dead, row.due_at) = match rest {
                Rest::Pause(secs) => (false, after(now, secs)),
                Rest::Dead => (true, now),
            };
            row.last_error = Some(error.to_owned());
        }
    }

    fn done(&self, act: &ActRow<'_>) -> Option<&Act> {
        self.acts.iter().find(|done| done.outcome == "done" && done.key == key(act))
    }

    pub(super) fn act_done(&self, act: &ActRow<'_>) -> Option<i64> {
        self.done(act).and_then(|done| done.detail["seq"].as_i64())
    }

    pub(super) fn record_act(&mut self, act: &ActRow<'_>, outcome: &str, detail: &Value) -> Stored<()> {
        if outcome == "done" && self.done(act).is_some() {
            return Err(sqlx::Error::Decode("the same act was done before".into()));
        }
        self.acts.push(Act { key: key(act), outcome: outcome.to_owned(), detail: detail.clone() });
        Ok(())
    }

    /// What the view `engine.violations` would say, each with the name of its invariant first: empty when all is well.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (saga_id, row) in &self.sagas {
            let has_case = self.cases.get(saga_id).is_some_and(|case| !case.closed);
            let has_wake_up = self.ready.contains_key(saga_id);
            if !row.state.is_finished() && row.state != State::Paused && !has_wake_up && !has_case {
                let state = row.state;
                found.push(format!("saga-is-looked-after {saga_id}: {state} without a wake-up, a case or a pause"));
            }
            if row.state.is_finished() && has_wake_up {
                found.push(format!("finished-saga-rests {saga_id}: {} but still has a wake-up", row.state));
            }
            if row.state == State::Stuck && !has_case {
                found.push(format!("stuck-saga-has-case {saga_id}: stuck without an open case"));
            }
            let last = row.last_seq();
            if row.seq != last || i64::try_from(row.journal.len()).ok() != Some(last) {
                found.push(format!("projection-is-current {saga_id}: seq {} but the journal ends at {last}", row.seq));
            }
        }
        let strays = self.ready.keys().filter(|saga_id| !self.sagas.contains_key(saga_id));
        found.extend(
            strays.map(|saga_id| format!("wake-up-has-saga {saga_id}: a wake-up of a saga that does not exist")),
        );
        found
    }
}

fn key(act: &ActRow<'_>) -> (String, String, SagaId, i64, String) {
    (act.actor.to_owned(), act.act.to_owned(), act.saga_id, act.seq, act.digest.to_owned())
}
