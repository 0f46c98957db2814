//! A saga without a database and without a clock: what the committer does with a move, in memory.

use super::{Due, Next, advance, plan};
use crate::{
    action::{Answer, Failure, Halt, Lane, Probed, Registry, Wait},
    acts,
    definition::{Attempts, Compensation, Definition, Retry, Step},
    ids::SagaId,
    journal::{ActKind, Entry, Moment, Recorded, StuckCause},
    judge::Judge,
    run::Run,
    saga::State,
};
use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};
use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};
use uuid::Uuid;

/// See the module.
pub(crate) struct Stage {
    pub(crate) definition: Definition,
    pub(crate) journal: Vec<Recorded>,
    pub(crate) run: Run,
    pub(crate) now: Moment,
}

fn retry(attempts: u32) -> Retry {
    Retry {
        attempts: NonZeroU32::new(attempts).map_or(Attempts::Forever, Attempts::Limited),
        backoff_first: Duration::from_secs(1),
        backoff_max: Duration::from_secs(60),
    }
}

/// A step before the pivot: three attempts, with a compensation that has two.
pub(crate) fn step(name: &str) -> Step {
    Step {
        step: name.to_owned(),
        action: "do".to_owned(),
        input: None,
        compensation: Some(Compensation {
            action: "undo".to_owned(),
            timeout: Duration::from_secs(1),
            retry: retry(2),
        }),
        probe: None,
        pivot: false,
        timeout: Duration::from_secs(1),
        retry: retry(3),
    }
}

/// The same, with a probe.
pub(crate) fn probed(name: &str) -> Step {
    Step { probe: Some("ask".to_owned()), ..step(name) }
}

/// The step after which there is no way back.
pub(crate) fn pivot(name: &str) -> Step {
    Step { compensation: None, pivot: true, ..step(name) }
}

/// A step behind the pivot: it is tried for ever.
pub(crate) fn after(name: &str) -> Step {
    Step { compensation: None, retry: retry(0), ..step(name) }
}

impl Stage {
    pub(crate) fn new(steps: Vec<Step>) -> Self {
        Self::starting(steps, 0, None)
    }

    /// It may begin after `delay` seconds, and its deadline is so many seconds after that.
    pub(crate) fn starting(steps: Vec<Step>, delay: i64, deadline: Option<i64>) -> Self {
        let definition = Definition { saga: "test".to_owned(), input: json!({}), deadline: None, steps };
        let now = DateTime::UNIX_EPOCH;
        let started = Entry::Started {
            definition: "test".to_owned(),
            version: 1,
            input: json!({}),
            tags: BTreeMap::new(),
            starts_at: now + TimeDelta::seconds(delay),
            deadline_at: deadline.map(|deadline| now + TimeDelta::seconds(delay + deadline)),
            parent: None,
            by: "test".to_owned(),
            trace: None,
        };
        let journal = vec![Recorded { seq: 1, at: now, entry: started }];
        let run = Run::replay(SagaId(Uuid::nil()), &journal).unwrap();
        Self { definition, journal, run, now }
    }

    pub(crate) fn next(&self) -> Next {
        plan(&self.definition, &self.run, self.now)
    }

    pub(crate) fn pass(&mut self, secs: i64) {
        self.now += TimeDelta::seconds(secs);
    }

    /// What was written becomes what is known. It must replay to the same.
    fn keep(&mut self, run: Run, entries: Vec<Entry>) {
        let seqs = self.run.seq + 1..;
        self.journal.extend(seqs.zip(entries).map(|(seq, entry)| Recorded { seq, at: self.now, entry }));
        assert_eq!(Run::replay(run.saga_id, &self.journal).as_ref(), Ok(&run));
        self.run = run;
    }

    /// A move of the claim's holder, with the decisions that follow from it.
    pub(crate) fn moves(&mut self, mut entries: Vec<Entry>) -> Next {
        let mut run = self.run.clone();
        for entry in &entries {
            run.apply(&Recorded { seq: run.seq + 1, at: self.now, entry: entry.clone() }).unwrap();
        }
        let next = advance(&self.definition, &mut run, self.now, &mut entries).unwrap();
        self.keep(run, entries);
        next
    }

    /// In the middle of a call nothing is decided.
    pub(crate) fn intends(&mut self, due: Due) {
        let entry = Entry::Intended {
            step: self.definition.steps[due.step].step.clone(),
            lane: due.lane,
            attempt: due.attempt,
            intent: json!({ "attempt": due.attempt }),
        };
        let mut run = self.run.clone();
        run.apply(&Recorded { seq: run.seq + 1, at: self.now, entry: entry.clone() }).unwrap();
        self.keep(run, vec![entry]);
    }

    fn judge(&self, due: Due) -> Judge<'_> {
        Judge { definition: &self.definition, run: &self.run, due, now: self.now, chance: &|ceiling| ceiling }
    }

    pub(crate) fn answers(&mut self, due: Due, answer: &Answer<Value>) -> Next {
        let entries = self.judge(due).answered(answer.clone());
        self.moves(entries)
    }

    pub(crate) fn finds(&mut self, due: Due, found: &Answer<Probed<Value>>) -> Next {
        let entries = self.judge(due).probed(found.clone());
        self.moves(entries)
    }

    /// The half of a step that is due, which must be this one.
    pub(crate) fn due(&self, name: &str, lane: Lane) -> Due {
        match self.next() {
            Next::Run(due) if self.definition.steps[due.step].step == name && due.lane == lane => due,
            next => panic!("{name} is not due but {next:?} after {:#?}", self.journal),
        }
    }

    /// Calls what is due, and takes the answer.
    pub(crate) fn calls(&mut self, name: &str, answer: &Answer<Value>) -> Next {
        let due = self.due(name, if self.run.compensating { Lane::Compensation } else { Lane::Forward });
        self.intends(due);
        self.answers(due, answer)
    }

    pub(crate) fn asks(&mut self, name: &str, found: &Answer<Probed<Value>>) -> Next {
        match self.next() {
            Next::Probe(due) if self.definition.steps[due.step].step == name => self.finds(due, found),
            next => panic!("{name} is not asked about but {next:?}"),
        }
    }

    /// Somebody other than the claim's holder writes.
    pub(crate) fn others(&mut self, mut entries: Vec<Entry>) {
        let mut run = self.run.clone();
        acts::follow(&mut run, &mut entries, self.now).unwrap();
        self.keep(run, entries);
    }

    pub(crate) fn allows(&self, act: &str) -> bool {
        acts::options(&self.definition, &self.run, &Registry::<crate::store::Postgres>::new())
            .iter()
            .any(|option| option.act == act && option.allowed)
    }

    pub(crate) fn acts(&mut self, act: ActKind) {
        let acted = Entry::Acted { act, reason: "a test".to_owned(), by: "olga".to_owned(), evidence: None };
        let follows = match act {
            ActKind::Kill => Some(Entry::Killed),
            ActKind::Pause => Some(Entry::Paused { until: None }),
            ActKind::Resume => Some(Entry::Resumed),
            ActKind::Cancel if self.run.state == State::Paused => Some(Entry::Resumed),
            ActKind::Skip | ActKind::Complete => Some(self.given()),
            _ => None,
        };
        self.others([acted].into_iter().chain(follows).collect());
    }

    /// The step it stands at, done by a person.
    fn given(&self) -> Entry {
        let lane = if self.run.compensating { Lane::Compensation } else { Lane::Forward };
        let step = crate::moves::current_step(&self.definition, &self.run).unwrap();
        let attempt = self.run.step(&step).lane(lane).attempt.max(1);
        Entry::Succeeded { step, lane, attempt, output: json!({ "given": true }), probed: false }
    }

    pub(crate) fn signal(&mut self, name: &str) {
        let entry = Entry::Signalled { name: name.to_owned(), payload: json!(name), by: "test".to_owned() };
        self.others(vec![entry]);
    }

    /// Every worker that takes it dies.
    pub(crate) fn loses_workers(&mut self) -> Next {
        let step = crate::moves::current_step(&self.definition, &self.run);
        let lane = if self.run.compensating { Lane::Compensation } else { Lane::Forward };
        let failure = Failure::new("worker-lost", "they died");
        self.moves(vec![Entry::Stuck { step, lane, cause: StuckCause::WorkerLost, failure }])
    }

    pub(crate) fn is(&self, state: State) -> bool {
        self.run.state == state
    }

    /// The compensations that were done, in order.
    pub(crate) fn taken_back(&self) -> Vec<&str> {
        let done = |recorded: &&Recorded| matches!(recorded.entry, Entry::Succeeded { lane: Lane::Compensation, .. });
        self.journal.iter().filter(done).filter_map(|recorded| recorded.entry.step()).collect()
    }
}

pub(crate) fn done() -> Answer<Value> {
    Ok(json!({ "done": true }))
}

pub(crate) fn later() -> Answer<Value> {
    Err(Halt::transient("later", "not now"))
}

pub(crate) fn never() -> Answer<Value> {
    Err(Halt::permanent("never", "not at all"))
}

pub(crate) fn doubt() -> Answer<Value> {
    Err(Halt::in_doubt("lost", "the answer was lost"))
}

pub(crate) fn parked(secs: u64) -> Answer<Value> {
    Err(Halt::Parked { after: Duration::from_secs(secs), reason: "a breaker".to_owned() })
}

pub(crate) fn waits(signal: Option<&str>, until: Option<Moment>) -> Answer<Value> {
    let reason = "somebody".to_owned();
    Err(Halt::Wait(Wait { signal: signal.map(str::to_owned), until, reason, child: None }))
}
