//! A fork: another saga that takes over what a finished one has done, and goes on from one of its steps.

use super::ActOption;
use crate::{
    action::{Lane, Registry},
    definition::Definition,
    engine::Engine,
    ids::SagaId,
    journal::{Entry, Moment, TakenOver},
    plan,
    run::{Phase, Run, StepRun},
    saga::State,
    store::{Append, ReadError, Row, Schedule, Store, Tx},
};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

/// Whether another saga may go on from `step`.
pub(super) fn allowed<S: Store>(
    definition: &Definition,
    run: &Run,
    step: &str,
    registry: &Registry<S>,
) -> Result<(), String> {
    if let Some(into) = run.forked_into {
        return Err(format!("saga {into} goes on in its place: fork that one"));
    }
    match run.state {
        State::Completed | State::Killed => {}
        State::Compensated => return Err("it was taken back: start a new one".to_owned()),
        state => return Err(format!("it is {state}: what still goes on is not forked")),
    }
    if let Some(parent) = run.parent {
        return Err(format!("it belongs to saga {parent}, which counts on its end: fork that one"));
    }
    let Some(from) = definition.steps.iter().position(|candidate| candidate.step == step) else {
        return Err(format!("it has no step `{step}`"));
    };
    if definition.pivot().is_some_and(|pivot| from <= pivot) && plan::past_pivot(definition, run) {
        return Err("its pivot is behind it: from here it only goes forward".to_owned());
    }
    for (index, candidate) in definition.steps.iter().enumerate() {
        let (name, touched) = (&candidate.step, run.step(&candidate.step));
        if touched.compensation.phase != Phase::Untouched {
            return Err(format!("`{name}` is taken back, or may be: start a new one"));
        }
        if index < from && touched.forward.phase != Phase::Done {
            return Err(format!("`{name}` is not done: fork from there, or from before"));
        }
        let moves_money = || registry.get(candidate.action_of(Lane::Forward)).is_some_and(|action| action.money);
        if index >= from && touched.forward.phase != Phase::Untouched && moves_money() {
            return Err(format!("`{name}` moves money and was tried: it is not run again"));
        }
    }
    Ok(())
}

/// Whether there is a step from which another saga may go on: the first of them is named.
pub(super) fn option<S: Store>(definition: &Definition, run: &Run, registry: &Registry<S>) -> ActOption {
    let mut reason = "it has no steps".to_owned();
    for candidate in &definition.steps {
        match allowed(definition, run, &candidate.step, registry) {
            Ok(()) => {
                let reason = format!("begins another saga in its place, from `{}` or a later step", candidate.step);
                return ActOption { act: "fork", allowed: true, reason };
            }
            Err(refused) => reason = refused,
        }
    }
    ActOption { act: "fork", allowed: false, reason }
}

/// What a fork from `step` takes over, by step.
fn taken_over(definition: &Definition, run: &Run, step: &str) -> BTreeMap<String, TakenOver> {
    let before = definition.steps.iter().take_while(|candidate| candidate.step != step);
    before
        .map(|candidate| {
            let StepRun { forward, input, .. } = run.step(&candidate.step).into_owned();
            let output = forward.output.unwrap_or(Value::Null);
            (candidate.step.clone(), TakenOver { attempt: forward.attempt, notes: forward.notes, output, input })
        })
        .collect()
}

impl<S: Store> Engine<S> {
    /// Begins the saga that goes on from `step` in the place of `run`'s.
    pub(super) async fn begin_fork(
        &self,
        tx: &mut S::Tx,
        definition: &Definition,
        run: &Run,
        (step, input): (&str, Option<Value>),
        by: &str,
    ) -> Result<SagaId, ReadError> {
        let saga_id = SagaId(self.fresh_id());
        let now = tx.now().await?;
        let deadline = definition.deadline.and_then(|deadline| chrono::Duration::from_std(deadline).ok());
        let started = Entry::Started {
            definition: run.definition.clone(),
            version: run.version,
            input: run.input.clone(),
            tags: run.tags.clone(),
            starts_at: now,
            deadline_at: deadline.map(|deadline| now + deadline),
            parent: None,
            by: by.to_owned(),
            trace: run.trace.clone(),
        };
        let start = Append::start(saga_id, now, Some(step.to_owned()), started);
        tx.create(std::slice::from_ref(&start), &[0]).await?;
        let mut entries = vec![Entry::ForkedFrom {
            saga: run.saga_id,
            keys_of: run.keys_of,
            steps: taken_over(definition, run, step),
        }];
        let given = input.map(|input| Entry::InputGiven { step: step.to_owned(), input });
        entries.extend(given);
        let append = self.goes_on(&start.run, step, entries, now)?;
        tx.append(&[append], self.lease_secs()).await?;
        Ok(saga_id)
    }

    fn goes_on(&self, start: &Run, step: &str, entries: Vec<Entry>, at: Moment) -> Result<Append, ReadError> {
        let mut run = start.clone();
        entries.iter().try_for_each(|entry| run.add(at, entry))?;
        Ok(Append {
            move_id: self.fresh_id(),
            at,
            entries: entries.into(),
            run: Arc::new(run),
            row: Row { step: Some(step.to_owned()), waiting_on: "worker", reason: None },
            schedule: Schedule::Nudge,
            progress: true,
        })
    }
}
