//! A transaction of a simulated store: a copy of everything, which becomes the truth or is forgotten.

use super::{
    Business, Simulated, after,
    data::{Case, Data, SagaRow, fresh},
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
use std::{collections::HashMap, sync::Arc};

/// See the module.
pub struct SimulatedTx<B: Business> {
    data: Data<B>,
    saved: Option<Data<B>>,
    store: Simulated<B>,
}

impl<B: Business> SimulatedTx<B> {
    pub(super) fn new(data: Data<B>, store: Simulated<B>) -> Self {
        Self { data, saved: None, store }
    }

    pub(super) fn into_data(self) -> Data<B> {
        self.data
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
        for (seq, entry) in (append.first_seq()..).zip(&append.entries) {
            if self.data.refused.as_ref().is_some_and(|text| serde_json::json!(entry).to_string().contains(text)) {
                return Err(sqlx::Error::Decode("the store refuses this entry".into()));
            }
            if seq != row.seq + 1 {
                return Err(sqlx::Error::Protocol("a seq was taken while its saga's wake-up was locked".into()));
            }
            row.journal.push((Recorded { seq, at: append.at, entry: entry.clone() }, append.move_id));
            row.seq = seq;
        }
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
        for entry in &append.entries {
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
        self.store.call().await?;
        Ok(self.time())
    }

    async fn lock_claims(&mut self, sagas: &[SagaId]) -> Stored<HashMap<SagaId, Option<i64>>> {
        self.store.call().await?;
        Ok(sagas.iter().filter_map(|saga_id| Some((*saga_id, self.data.ready.get(saga_id)?.token))).collect())
    }

    async fn lock_saga(&mut self, _saga: SagaId) -> Stored<()> {
        self.store.call().await
    }

    async fn news(&mut self, seen: &[(SagaId, i64)]) -> Stored<Journals> {
        let behind = |(saga_id, seq): &&(SagaId, i64)| self.data.sagas.get(saga_id).is_some_and(|row| row.seq > *seq);
        let behind: Vec<_> = seen.iter().filter(behind).copied().collect();
        Ok(self.data.journals_after(&behind))
    }

    async fn journals_after(&mut self, after: &[(SagaId, i64)]) -> Stored<Journals> {
        Ok(self.data.journals_after(after))
    }

    async fn append(&mut self, appends: &[Append], lease_secs: i32) -> Stored<()> {
        self.store.call().await?;
        for append in appends {
            let Some(row) = self.data.sagas.get(&append.run.saga_id) else { continue };
            let mut row = SagaRow::clone(row);
            self.write_entries(append, &mut row)?;
            row.state = append.run.state;
            self.data.sagas.insert(append.run.saga_id, Arc::new(row));
            self.schedule(append, lease_secs);
            self.cases(append);
        }
        Ok(())
    }

    async fn take_keys(&mut self, keys: &[StartKey]) -> Stored<Vec<Option<KeyHolder>>> {
        self.store.call().await?;
        let take = |one: &StartKey| {
            let holder = KeyHolder { saga_id: one.saga_id, digest: one.digest.clone() };
            let name = (one.owner.clone(), one.key.clone());
            Some(self.data.keys.entry(name).or_insert(holder).clone())
        };
        Ok(keys.iter().map(take).collect())
    }

    async fn create(&mut self, appends: &[Append], priorities: &[i16]) -> Stored<()> {
        self.store.call().await?;
        for (append, priority) in appends.iter().zip(priorities) {
            let saga_id = append.run.saga_id;
            if self.data.sagas.contains_key(&saga_id) {
                continue;
            }
            let mut row = SagaRow { state: State::Running, seq: 0, priority: *priority, journal: Vec::new() };
            self.write_entries(append, &mut row)?;
            self.data.sagas.insert(saga_id, Arc::new(row));
            self.data.ready.insert(saga_id, fresh(*priority, append.run.starts_at));
        }
        Ok(())
    }

    async fn wait_for_end(&mut self, child: SagaId, parent: SagaId, key: &str) -> Stored<bool> {
        self.store.call().await?;
        if self.data.sagas.get(&child).is_none_or(|row| row.state.is_finished()) {
            return Ok(true);
        }
        self.data.child_waits.insert((child, parent, key.to_owned()));
        Ok(false)
    }

    async fn take_waiters(&mut self, ended: &[SagaId]) -> Stored<Vec<Waiter>> {
        self.store.call().await?;
        let (told, rest) =
            std::mem::take(&mut self.data.child_waits).into_iter().partition(|(child, ..)| ended.contains(child));
        self.data.child_waits = rest;
        let told: std::collections::BTreeSet<_> = told;
        Ok(told.into_iter().map(|(child, parent, key)| Waiter { child, parent, key }).collect())
    }

    async fn enqueue(&mut self, messages: &[Message]) -> Stored<()> {
        let now = self.time();
        self.data.enqueue(messages, now);
        Ok(())
    }

    async fn act_done(&mut self, act: &ActRow<'_>) -> Stored<Option<i64>> {
        self.store.call().await?;
        Ok(self.data.act_done(act))
    }

    async fn record_act(&mut self, act: &ActRow<'_>, outcome: &str, detail: &Value) -> Stored<()> {
        self.data.record_act(act, outcome, detail)
    }

    async fn save(&mut self) -> Stored<()> {
        self.saved = Some(self.data.clone());
        Ok(())
    }

    async fn keep(&mut self) -> Stored<()> {
        self.saved = None;
        Ok(())
    }

    async fn undo(&mut self) -> Stored<()> {
        if let Some(saved) = self.saved.take() {
            self.data = saved;
        }
        Ok(())
    }
}
