//! A transaction of a simulated store: a copy of everything, which becomes the truth or is forgotten.

use super::{
    Business, Simulated, after,
    data::{Case, Data, SagaRow, fresh},
    lost,
};
use crate::{
    ids::SagaId,
    journal::{Entry, Moment, Recorded},
    outbox::Message,
    saga::State,
    store::{ActRow, Append, Journals, KeyHolder, Schedule, StartKey, Stored, Tx, Waiter},
};
use async_trait::async_trait;
use chrono::DateTime;
use serde_json::Value;
use std::{
    collections::{HashMap, btree_map},
    sync::Arc,
};
use uuid::Uuid;

/// See the module.
pub struct SimulatedTx<B: Business> {
    data: Data<B>,
    /// As it was at each savepoint, the innermost last.
    saved: Vec<Data<B>>,
    failed: Option<Failed>,
    /// What was written, start by start and move by move.
    moves: Vec<Uuid>,
    store: Simulated<B>,
}

/// Why nothing more is taken by a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failed {
    /// A statement of it was refused; what was done since the savepoint can be undone.
    Refused,
    /// Its connection is gone.
    Lost,
}

impl<B: Business> SimulatedTx<B> {
    pub(super) fn new(data: Data<B>, store: Simulated<B>) -> Self {
        Self { data, saved: Vec::new(), failed: None, moves: Vec::new(), store }
    }

    pub(super) fn moves(&self) -> &[Uuid] {
        &self.moves
    }

    fn is_written(&mut self, move_id: Uuid) {
        self.store.unknown().is_written(move_id);
        self.moves.push(move_id);
    }

    fn is_seen(&self, journals: &Journals) {
        let mut unknown = self.store.unknown();
        journals.values().flatten().flatten().for_each(|(_, move_id)| unknown.is_seen(*move_id));
    }

    /// What is to become the truth; nothing where a statement was refused: PostgreSQL rolls such a transaction back,
    /// and tells nobody.
    pub(super) fn into_data(self) -> Stored<Option<Data<B>>> {
        match self.failed {
            None => Ok(Some(self.data)),
            Some(Failed::Refused) => Ok(None),
            Some(Failed::Lost) => Err(lost("the connection was lost before COMMIT was sent")),
        }
    }

    /// Before every statement.
    fn goes_on(&self) -> Stored<()> {
        match self.failed {
            None => Ok(()),
            Some(Failed::Refused) => Err(refused("a statement of this transaction has failed")),
            Some(Failed::Lost) => Err(lost("the connection is gone")),
        }
    }

    /// Before every statement that takes its time.
    async fn call(&mut self) -> Stored<()> {
        self.goes_on()?;
        let called = self.store.call().await;
        if called.is_err() {
            self.failed = Some(Failed::Lost);
        }
        called
    }

    /// What a statement came to.
    fn done<T>(&mut self, done: Stored<T>) -> Stored<T> {
        if done.is_err() {
            self.failed = Some(Failed::Refused);
        }
        done
    }

    /// What local actions keep.
    pub fn business(&mut self) -> &mut B {
        &mut self.data.business
    }

    /// The store's time.
    #[must_use]
    pub fn time(&self) -> Moment {
        self.store.time()
    }

    fn write_entries(&mut self, append: &Append, row: &mut SagaRow) -> Stored<()> {
        for (seq, entry) in (append.first_seq()..).zip(append.entries.iter()) {
            let json = serde_json::json!(entry);
            if has_nul(&json) || self.data.refused.as_ref().is_some_and(|text| json.to_string().contains(text)) {
                return Err(refused("the store refuses this entry"));
            }
            if seq != row.last_seq() + 1 {
                return Err(sqlx::Error::Protocol("a seq was taken while its saga's wake-up was locked".into()));
            }
            row.journal.push((Recorded { seq, at: append.at, entry: entry.clone() }, append.move_id));
        }
        Ok(())
    }

    fn write(&mut self, append: &Append, lease_secs: i32) -> Stored<()> {
        let Some(row) = self.data.sagas.get(&append.run.saga_id) else { return Ok(()) };
        let mut row = SagaRow::clone(row);
        self.write_entries(append, &mut row)?;
        self.is_written(append.move_id);
        (row.state, row.seq) = (append.run.state, append.run.seq);
        self.data.sagas.insert(append.run.saga_id, Arc::new(row));
        self.schedule(append, lease_secs);
        self.cases(append);
        Ok(())
    }

    fn write_start(&mut self, append: &Append, priority: i16) -> Stored<()> {
        let saga_id = append.run.saga_id;
        if self.data.sagas.contains_key(&saga_id) {
            return Err(sqlx::Error::Protocol(format!("{saga_id} is there already")));
        }
        let mut row = SagaRow { state: State::Running, seq: 1, priority, journal: Vec::new() };
        self.write_entries(append, &mut row)?;
        self.is_written(append.move_id);
        self.data.sagas.insert(saga_id, Arc::new(row));
        self.data.ready.insert(saga_id, fresh(priority, append.run.starts_at));
        Ok(())
    }

    fn schedule(&mut self, append: &Append, lease_secs: i32) {
        let (saga_id, now) = (append.run.saga_id, self.time());
        let priority = self.data.sagas.get(&saga_id).map_or(0, |row| row.priority);
        match append.schedule {
            Schedule::InCall => {}
            Schedule::Rest => drop(self.data.ready.remove(&saga_id)),
            Schedule::Nudge => {
                let ready = self.data.ready.entry(saga_id).or_insert_with(|| fresh(priority, now));
                ready.wake_at = now;
                ready.claims = 0;
            }
            Schedule::Keep => {
                if let Some(ready) = self.data.ready.get_mut(&saga_id) {
                    ready.lease_until = after(now, lease_secs);
                    ready.claims = if append.progress { 0 } else { ready.claims };
                }
            }
            Schedule::Wake(at) => {
                if let Some(ready) = self.data.ready.get_mut(&saga_id) {
                    ready.release();
                    ready.claims = if append.progress { 0 } else { (ready.claims - 1).max(0) };
                    ready.wake_at = at.unwrap_or(DateTime::<chrono::Utc>::MAX_UTC);
                }
            }
        }
    }

    fn cases(&mut self, append: &Append) {
        let saga_id = append.run.saga_id;
        for entry in append.entries.iter() {
            let cause = match entry {
                Entry::Stuck { cause, .. } => cause.as_str(),
                Entry::Killed => "killed",
                _ => continue,
            };
            self.data.cases.insert(saga_id, Case { cause: cause.to_owned(), closed: false });
        }
        let stands = matches!(append.run.state, State::Stuck | State::Killed);
        let over = |entry: &Entry| matches!(entry, Entry::Succeeded { .. } | Entry::Completed | Entry::Compensated);
        if !stands
            && append.entries.iter().any(over)
            && let Some(case) = self.data.cases.get_mut(&saga_id)
        {
            case.closed = true;
        }
    }
}

#[async_trait]
impl<B: Business> Tx for SimulatedTx<B> {
    async fn now(&mut self) -> Stored<Moment> {
        self.call().await?;
        Ok(self.time())
    }

    async fn lock_claims(&mut self, sagas: &[SagaId]) -> Stored<HashMap<SagaId, Option<i64>>> {
        self.call().await?;
        Ok(sagas.iter().filter_map(|saga_id| Some((*saga_id, self.data.ready.get(saga_id)?.token))).collect())
    }

    async fn lock_saga(&mut self, _saga: SagaId) -> Stored<()> {
        self.call().await
    }

    async fn news(&mut self, seen: &[(SagaId, i64)]) -> Stored<(Journals, Moment)> {
        self.call().await?;
        let behind = |(saga_id, seq): &&(SagaId, i64)| self.data.sagas.get(saga_id).is_some_and(|row| row.seq > *seq);
        let behind: Vec<_> = seen.iter().filter(behind).copied().collect();
        let news = self.data.journals_after(&behind);
        self.is_seen(&news);
        Ok((news, self.time()))
    }

    async fn journals_after(&mut self, after: &[(SagaId, i64)]) -> Stored<Journals> {
        self.goes_on()?;
        Ok(self.data.journals_after(after))
    }

    async fn append(&mut self, appends: &[Append], lease_secs: i32) -> Stored<()> {
        self.call().await?;
        let written = appends.iter().try_for_each(|append| self.write(append, lease_secs));
        self.done(written)
    }

    async fn take_keys(&mut self, keys: &[StartKey]) -> Stored<(Vec<Option<KeyHolder>>, Moment)> {
        self.call().await?;
        let take = |one: &StartKey| {
            let name = (one.owner.clone(), one.key.clone());
            let holder = KeyHolder { saga_id: one.saga_id, digest: one.digest.clone(), is_new: false };
            Some(match self.data.keys.entry(name) {
                btree_map::Entry::Occupied(taken) => {
                    if taken.get().saga_id == one.saga_id {
                        // its own start, found done
                        self.store.unknown().is_seen(one.saga_id.0);
                    }
                    taken.get().clone()
                }
                btree_map::Entry::Vacant(free) => KeyHolder { is_new: true, ..free.insert(holder).clone() },
            })
        };
        let holders = keys.iter().map(take).collect();
        Ok((holders, self.time()))
    }

    async fn create(&mut self, appends: &[Append], priorities: &[i16]) -> Stored<()> {
        self.call().await?;
        let mut appends = appends.iter().zip(priorities);
        let written = appends.try_for_each(|(append, priority)| self.write_start(append, *priority));
        self.done(written)
    }

    async fn wait_for_end(&mut self, child: SagaId, parent: SagaId, key: &str) -> Stored<bool> {
        self.call().await?;
        if self.data.sagas.get(&child).is_none_or(|row| row.state.is_finished()) {
            return Ok(true);
        }
        self.data.child_waits.entry((child, parent)).or_insert_with(|| key.to_owned());
        Ok(false)
    }

    async fn take_waiters(&mut self, ended: &[SagaId]) -> Stored<Vec<Waiter>> {
        self.call().await?;
        let told = self.data.child_waits.extract_if(.., |(child, _), _| ended.contains(child));
        Ok(told.map(|((child, parent), key)| Waiter { child, parent, key }).collect())
    }

    async fn enqueue(&mut self, messages: &[Message]) -> Stored<()> {
        self.goes_on()?;
        let now = self.time();
        self.data.enqueue(messages, now);
        Ok(())
    }

    async fn act_done(&mut self, act: &ActRow<'_>) -> Stored<Option<i64>> {
        self.call().await?;
        Ok(self.data.act_done(act))
    }

    async fn record_acts(&mut self, acts: &[(ActRow<'_>, Value)], outcome: &str) -> Stored<()> {
        self.goes_on()?;
        let recorded = acts.iter().try_for_each(|(act, detail)| self.data.record_act(act, outcome, detail));
        self.done(recorded)
    }

    async fn save(&mut self) -> Stored<()> {
        self.goes_on()?;
        self.saved.push(self.data.clone());
        Ok(())
    }

    async fn keep(&mut self) -> Stored<()> {
        self.goes_on()?;
        let kept = self.saved.pop().map(drop).ok_or_else(|| refused("there is no savepoint"));
        self.done(kept)
    }

    async fn undo(&mut self) -> Stored<()> {
        if self.failed == Some(Failed::Lost) {
            return self.goes_on();
        }
        let saved = self.saved.pop().ok_or_else(|| refused("there is no savepoint"));
        self.data = self.done(saved)?;
        self.failed = None;
        Ok(())
    }
}

/// What lasts: the same again is refused again.
fn refused(why: &str) -> sqlx::Error {
    sqlx::Error::Decode(why.into())
}

/// PostgreSQL's JSON has no NUL.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
