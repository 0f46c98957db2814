//! What people do to sagas. Each act is a journal entry with who, when and why; each, done or refused, is kept in
//! an append-only record; each names the `seq` that the person saw, and is refused when the saga has moved since.

mod allowed;
mod chain;
mod entries;
mod foreseen;
mod fork;
mod given;
mod record;

pub use allowed::{ActOption, Effects, Undo, options};
pub use chain::{ChainBreak, ChainError, ChainHead, ChainReport};
pub use foreseen::Foreseen;
pub use record::{DoneAct, RecordFilter, RecordedAct, record_in_tx, record_refused_in_tx};

use crate::{
    canonical,
    catalog::Known,
    definition::InputMistake,
    engine::Engine,
    ids::SagaId,
    journal::{Entry, Moment, Recorded},
    judge::storable,
    moves, plan,
    projection::Moved,
    run::{Corrupt, Run},
    saga::State,
    store::{self, ActRow, Append, ReadError, Row, Schedule, Store, Tx},
};
use serde_json::{Value, json};
use std::{str::FromStr, sync::Arc};
use tracing::Instrument;

/// What a person asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// What failed or waits is tried again now.
    Retry,
    /// Compensate.
    Cancel,
    /// Stop without compensating.
    Kill,
    /// Send it a signal.
    Signal {
        /// The signal's name.
        name: String,
        /// What comes with it.
        payload: Value,
    },
    /// The other side is asked now what became of a call.
    Probe,
    /// Begin nothing more; what is on its way comes to its end.
    Pause {
        /// Until when; without it, until somebody resumes it.
        until: Option<Moment>,
    },
    /// Go on after a pause.
    Resume,
    /// Go on as if the step it stands at had given this.
    Skip {
        /// The step.
        step: String,
        /// What later steps take for its output.
        output: Value,
    },
    /// The step it stands at was done otherwise, in whichever half it is.
    Complete {
        /// The step.
        step: String,
        /// What it gave.
        output: Value,
        /// What shows it.
        evidence: String,
    },
    /// The step it stands at is tried again with another input.
    EditInput {
        /// The step.
        step: String,
        /// What its action takes from here on.
        input: Value,
    },
    /// Another saga goes on from a step of one that is finished, with what was done before it.
    Fork {
        /// The step.
        step: String,
        /// What its action takes, instead of what the definition says.
        input: Option<Value>,
    },
}

impl Act {
    /// Its name in records and addresses.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
            Self::Kill => "kill",
            Self::Signal { .. } => "signal",
            Self::Probe => "probe",
            Self::Pause { .. } => "pause",
            Self::Resume => "resume",
            Self::Skip { .. } => "skip",
            Self::Complete { .. } => "complete",
            Self::EditInput { .. } => "edit-input",
            Self::Fork { .. } => "fork",
        }
    }

    /// What belongs to it beside its name.
    fn body(&self) -> Value {
        match self {
            Self::Retry | Self::Cancel | Self::Kill | Self::Probe | Self::Resume => Value::Null,
            Self::Signal { name, payload } => json!({ "name": name, "payload": payload }),
            Self::Pause { until } => json!({ "until": until }),
            Self::Skip { step, output } => json!({ "step": step, "output": output }),
            Self::Complete { step, output, evidence } => {
                json!({ "step": step, "output": output, "evidence": evidence })
            }
            Self::EditInput { step, input } => json!({ "step": step, "input": input }),
            Self::Fork { step, input } => json!({ "step": step, "input": input }),
        }
    }
}

/// An act with who, why and on what knowledge.
#[derive(Debug, Clone, PartialEq)]
pub struct ActRequest {
    /// The saga.
    pub saga_id: SagaId,
    /// What.
    pub act: Act,
    /// Why, in the person's words.
    pub reason: String,
    /// The last entry that the person saw.
    pub seq: i64,
    /// Who.
    pub by: String,
    /// From where.
    pub address: Option<String>,
}

/// What an act did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActAnswer {
    /// It is done; the saga's last entry is now this one.
    Done {
        /// The entry.
        seq: i64,
    },
    /// The same person did the same on the same knowledge before; this was the answer.
    Replayed {
        /// The entry.
        seq: i64,
    },
}

/// Why an act was not done.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// There is no such saga.
    #[error("there is no such saga")]
    NotFound,
    /// It is not where the person saw it.
    #[error("the saga has moved on to seq {seq}: {what}")]
    MovedOn {
        /// Its last entry.
        seq: i64,
        /// What happened since, in words.
        what: String,
    },
    /// Its state forbids it.
    #[error("{0}")]
    NotAllowed(String),
    /// What was given for the step is not of the form that its action has.
    #[error("what was given for the step is not of its form")]
    Invalid(Vec<InputMistake>),
    /// The database's.
    #[error("could not carry out the act")]
    Database(#[from] sqlx::Error),
    /// The saga's journal does not read.
    #[error("could not read the saga")]
    Read(#[source] ReadError),
}

/// An act with what its saga runs. Made by [`Engine::prepare_act`].
#[derive(Debug, Clone)]
pub struct PreparedAct {
    request: ActRequest,
    known: Arc<Known>,
}

/// A signal with what its saga runs. Made by [`Engine::prepare_signal`].
#[derive(Debug, Clone)]
pub struct PreparedSignal {
    saga_id: SagaId,
    name: String,
    payload: Value,
    by: String,
    known: Arc<Known>,
    is_finished: bool,
}

impl PreparedSignal {
    /// Whether the saga was finished when the signal was prepared: then it always will be.
    #[must_use]
    pub fn is_for_a_finished_saga(&self) -> bool {
        self.is_finished
    }
}

/// What became of a signal in its transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Signalled {
    /// The saga has it, or had it before.
    Kept {
        /// The entry.
        seq: i64,
        /// The saga as it was before.
        run: Run,
    },
    /// The saga is finished, and nothing was written.
    Finished(Run),
}

impl From<ReadError> for ActError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Database(error) => Self::Database(error),
            other => Self::Read(other),
        }
    }
}

impl ActRequest {
    fn row<'a>(&'a self, digest: &'a str) -> ActRow<'a> {
        ActRow {
            actor: &self.by,
            act: self.act.name(),
            saga_id: self.saga_id,
            seq: self.seq,
            digest,
            reason: &self.reason,
            address: self.address.as_deref(),
        }
    }
}

impl<S: Store> Engine<S> {
    /// Carries out a person's act, at most once.
    ///
    /// # Errors
    /// See [`ActError`]. A refusal is recorded as well.
    pub async fn act(&self, request: ActRequest) -> Result<ActAnswer, ActError> {
        let engine = self.clone();
        // A client that hangs up must not leave a transaction behind.
        let acting = tokio::spawn(async move { engine.act_now(&request).await }.in_current_span());
        acting.await.map_err(|_| ActError::Database(sqlx::Error::WorkerCrashed))?
    }

    /// What an act would do.
    ///
    /// # Errors
    /// [`ActError::NotFound`], or what the act itself would be refused with.
    pub async fn dry_run(&self, request: &ActRequest) -> Result<Effects, ActError> {
        let (run, known) = self.load(request.saga_id).await?;
        self.check(request, &run, &known)?;
        Ok(allowed::effects(&known.definition, &run, &request.act))
    }

    /// A saga with its definition.
    pub(crate) async fn load(&self, saga_id: SagaId) -> Result<(Run, Arc<Known>), ActError> {
        let (mut journals, _) = self.store().journals(&[saga_id]).await?;
        let written = journals.remove(&saga_id).unwrap_or_else(|| Ok(Vec::new()))?;
        let journal: Vec<_> = written.into_iter().map(|(recorded, _)| recorded).collect();
        if journal.is_empty() {
            return Err(ActError::NotFound);
        }
        let run = Run::replay(saga_id, &journal).map_err(ReadError::from)?;
        let known = self.catalog().get(&run.definition, run.version).await?;
        known.map(|known| (run, known)).ok_or_else(|| ActError::NotAllowed("its definition is unknown".to_owned()))
    }

    fn check(&self, request: &ActRequest, run: &Run, known: &Known) -> Result<(), ActError> {
        if request.seq != run.seq {
            let what = format!("it is {}", run.state);
            return Err(ActError::MovedOn { seq: run.seq, what });
        }
        let definition = &known.definition;
        allowed::allowed(definition, run, &request.act, self.registry()).map_err(ActError::NotAllowed)?;
        let mistakes = given::mistakes(definition, run, &request.act, self.registry());
        if mistakes.is_empty() { Ok(()) } else { Err(ActError::Invalid(mistakes)) }
    }

    async fn act_now(&self, request: &ActRequest) -> Result<ActAnswer, ActError> {
        let prepared = self.prepare_act(request.clone()).await?;
        let mut tx = self.store().begin().await?;
        match self.act_in_tx(&mut *tx, &prepared).await {
            Ok(answer) => {
                self.store().commit(tx).await?;
                self.hint();
                Ok(answer)
            }
            Err(refusal @ (ActError::MovedOn { .. } | ActError::NotAllowed(_) | ActError::Invalid(_))) => {
                let digest = digest(request);
                let detail = json!({ "why": refusal.to_string(), "seq": request.seq });
                tx.record_acts(&[(request.row(&digest), detail)], "refused").await?;
                self.store().commit(tx).await?;
                Err(refusal)
            }
            Err(error) => Err(error),
        }
    }

    /// An act with what its saga runs.
    ///
    /// # Errors
    /// [`ActError::NotFound`]; what cannot be read.
    pub async fn prepare_act(&self, request: ActRequest) -> Result<PreparedAct, ActError> {
        let (_, known) = self.load(request.saga_id).await?;
        Ok(PreparedAct { request, known })
    }

    /// As [`Engine::act`], in the caller's transaction, in which the saga does not move any more from here on. A caller
    /// that has committed calls [`Engine::hint`].
    ///
    /// # Errors
    /// See [`ActError`]. Of a refusal nothing is written.
    pub async fn act_in_tx(&self, tx: &mut S::Tx, act: &PreparedAct) -> Result<ActAnswer, ActError> {
        let PreparedAct { request, known } = act;
        let digest = digest(request);
        let row = request.row(&digest);
        tx.lock_saga(request.saga_id).await?;
        if let Some(seq) = tx.act_done(&row).await? {
            return Ok(ActAnswer::Replayed { seq });
        }
        let journal = store::journal(tx, request.saga_id).await?;
        let run = Run::replay(request.saga_id, &journal).map_err(ReadError::from)?;
        self.check(request, &run, known)?;
        let into = match &request.act {
            Act::Fork { step, input } => {
                self.projection().may_fork(tx, &run).await?.map_err(ActError::NotAllowed)?;
                let from = (step.as_str(), input.clone().map(storable));
                Some(self.begin_fork(tx, &known.definition, &run, from, &request.by).await?)
            }
            _ => None,
        };
        let entries = entries::of(request, &run, into);
        let seq = self.append_act(tx, known, run, entries).await?;
        tx.record_acts(&[(row, json!({ "seq": seq }))], "done").await?;
        Ok(ActAnswer::Done { seq })
    }

    /// Appends what somebody other than the claim's holder has to say, and wakes the saga.
    async fn append_act(
        &self,
        tx: &mut S::Tx,
        known: &Arc<Known>,
        mut run: Run,
        mut entries: Vec<Entry>,
    ) -> Result<i64, ActError> {
        let now = tx.now().await?;
        follow(&mut run, &mut entries, now).map_err(ReadError::from)?;
        let next = plan::plan(&known.definition, &run, now);
        let step = moves::current_step(&known.definition, &run);
        let name = |index: usize| known.definition.steps[index].step.clone();
        // one that is paused is let go by whoever has it, or takes it, once no call is on its way any more
        let rests = run.state.is_finished() || run.state == State::Stuck;
        let run = Arc::new(run);
        let append = Append {
            move_id: self.fresh_id(),
            at: now,
            row: Row::of(&run, &next, step, name),
            schedule: if rests { Schedule::Rest } else { Schedule::Nudge },
            progress: true,
            entries: entries.into(),
            run: Arc::clone(&run),
        };
        let appends = [append];
        tx.append(&appends, self.lease_secs()).await?;
        moves::tell_waiters(tx, &appends).await?;
        self.projection().apply(tx, &[Moved::new(&appends[0], known)]).await?;
        Ok(run.seq)
    }

    /// Sends a signal on behalf of a program: it is kept until something waits for it. A signal with a name that
    /// the saga has received with the same payload is not kept twice, unless a step waits for it again.
    ///
    /// # Errors
    /// [`ActError::NotFound`]; [`ActError::NotAllowed`] when the saga is finished.
    pub async fn signal(&self, saga_id: SagaId, name: &str, payload: Value, by: &str) -> Result<i64, ActError> {
        let (engine, name, by) = (self.clone(), name.to_owned(), by.to_owned());
        let sending =
            tokio::spawn(async move { engine.signal_now(saga_id, name, payload, by).await }.in_current_span());
        sending.await.map_err(|_| ActError::Database(sqlx::Error::WorkerCrashed))?
    }

    async fn signal_now(&self, saga_id: SagaId, name: String, payload: Value, by: String) -> Result<i64, ActError> {
        let prepared = self.prepare_signal(saga_id, name, payload, by).await?;
        let mut tx = self.store().begin().await?;
        match self.signal_in_tx(&mut *tx, &prepared).await? {
            Signalled::Kept { seq, .. } => {
                self.store().commit(tx).await?;
                self.hint();
                Ok(seq)
            }
            Signalled::Finished(run) => Err(ActError::NotAllowed(format!("it is {}", run.state))),
        }
    }

    /// Reads what [`Engine::signal_in_tx`] needs, outside of any transaction, so that none waits for another connection.
    ///
    /// # Errors
    /// [`ActError::NotFound`].
    pub async fn prepare_signal(
        &self,
        saga_id: SagaId,
        name: String,
        payload: Value,
        by: String,
    ) -> Result<PreparedSignal, ActError> {
        let (run, known) = self.load(saga_id).await?;
        let is_finished = run.state.is_finished();
        Ok(PreparedSignal { saga_id, name, payload: storable(payload), by, known, is_finished })
    }

    /// As [`Engine::signal`], in the caller's transaction, in which the saga does not move any more from here on. A
    /// caller that has committed calls [`Engine::hint`].
    ///
    /// # Errors
    /// The database's, or a journal that does not read.
    pub async fn signal_in_tx(&self, tx: &mut S::Tx, signal: &PreparedSignal) -> Result<Signalled, ActError> {
        let PreparedSignal { saga_id, name, payload, by, known, .. } = signal;
        tx.lock_saga(*saga_id).await?;
        let journal = store::journal(tx, *saga_id).await?;
        let run = Run::replay(*saga_id, &journal).map_err(ReadError::from)?;
        let same = |recorded: &&Recorded| matches!(&recorded.entry, Entry::Signalled { name: n, payload: p, .. } if n == name && p == payload);
        // A step that waits now has not seen it: what was told long ago, perhaps to another step, is told again.
        if let Some(before) = journal.iter().find(same)
            && !run.lacks_signal(name)
        {
            return Ok(Signalled::Kept { seq: before.seq, run });
        }
        if run.state.is_finished() {
            return Ok(Signalled::Finished(run));
        }
        let entry = Entry::Signalled { name: name.clone(), payload: payload.clone(), by: by.clone() };
        let seq = self.append_act(tx, known, run.clone(), vec![entry]).await?;
        Ok(Signalled::Kept { seq, run })
    }

    /// Delivers a signal from one saga to another. One that cannot use it any more is no error.
    pub(crate) async fn deliver_signal(&self, payload: &Value) -> Result<(), anyhow::Error> {
        let saga_id = SagaId::from_str(payload["sagaId"].as_str().unwrap_or_default())?;
        let name = payload["name"].as_str().unwrap_or_default();
        match self.signal(saga_id, name, payload["payload"].clone(), "engine").await {
            Ok(_) | Err(ActError::NotFound | ActError::NotAllowed(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Folds what somebody other than the claim's holder appends, and adds what follows from it at once: nobody claims a
/// saga that is stuck, so that its cancellation is decided here.
pub(crate) fn follow(run: &mut Run, entries: &mut Vec<Entry>, at: Moment) -> Result<(), Corrupt> {
    let was_stuck = run.state == State::Stuck;
    entries.iter().try_for_each(|entry| run.add(at, entry))?;
    if was_stuck && let Some(cause) = run.cancel.clone().filter(|_| !run.compensating) {
        let entry = Entry::Compensating { cause };
        run.add(at, &entry)?;
        entries.push(entry);
    }
    Ok(())
}

fn digest(request: &ActRequest) -> String {
    canonical::digest(&json!({ "reason": request.reason, "body": request.act.body() }))
}
