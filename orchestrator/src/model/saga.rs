//! The saga of the model. Everything that it does is decided by production code, which is named in this file alone:
//! the plan, the judge, the fold, the table of moves and what people may do.

use super::payments::Known;
use crate::{
    action::{Answer, Lane, Probed, Registry},
    acts,
    definition::{Attempts, Compensation, Definition, Retry, Step},
    ids::SagaId,
    journal::{ActKind, Entry, Moment, Recorded},
    judge::Judge,
    plan::{self, Due, Next},
    run::{Corrupt, Run},
};
use chrono::DateTime;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    num::NonZeroU32,
    time::Duration,
};
use uuid::Uuid;

/// The step that takes the money.
pub(super) const PAY: &str = "pay";
/// So often a charge may fail or be in doubt before the order is given up.
const PAY_ATTEMPTS: u32 = 3;
/// Time stands still: whatever may be done later may be done at once, and waits for nothing but its turn.
const NOW: Moment = DateTime::UNIX_EPOCH;

/// Hold, pay, commit: `book-tickets` without what comes after the pivot.
pub(super) fn definition() -> Definition {
    let retry = |attempts: Attempts| {
        let backoff = Duration::from_secs(1);
        Retry { attempts, backoff_first: backoff, backoff_max: backoff }
    };
    let limited = |attempts| NonZeroU32::new(attempts).map_or(Attempts::Forever, Attempts::Limited);
    let step = |name: &str| Step {
        step: name.to_owned(),
        action: format!("{name}.do"),
        input: None,
        compensation: Some(Compensation {
            action: format!("{name}.undo"),
            timeout: Duration::from_secs(1),
            retry: retry(Attempts::Forever),
        }),
        probe: None,
        pivot: false,
        timeout: Duration::from_secs(1),
        retry: retry(limited(PAY_ATTEMPTS)),
    };
    let hold = step("hold");
    let pay = Step { probe: Some("pay.probe".to_owned()), ..step(PAY) };
    let commit = Step { compensation: None, pivot: true, ..step("commit") };
    Definition { saga: "sale".to_owned(), input: json!({}), deadline: None, steps: vec![hold, pay, commit] }
}

/// A saga as its journal tells it. Two journals that come to the same are the same saga.
pub(super) struct Saga {
    pub(super) journal: Vec<Recorded>,
    pub(super) run: Run,
    /// What comes next.
    pub(super) next: Next,
    /// What it knows of its charges.
    pub(super) known: Known,
    /// Whether the buyer may still change his mind.
    pub(super) cancellable: bool,
    identity: u64,
}

impl Saga {
    pub(super) fn begin(definition: &Definition) -> Self {
        let started = Entry::Started {
            definition: definition.saga.clone(),
            version: 1,
            input: json!({}),
            tags: BTreeMap::new(),
            starts_at: NOW,
            deadline_at: None,
            parent: None,
            by: "a buyer".to_owned(),
            trace: None,
        };
        let journal = vec![Recorded { seq: 1, at: NOW, entry: started }];
        let run = Run::replay(SagaId(Uuid::nil()), &journal).unwrap();
        Self::of(definition, journal, run)
    }

    fn of(definition: &Definition, journal: Vec<Recorded>, run: Run) -> Self {
        let next = plan::plan(definition, &run, NOW);
        let known = Known::of(&run);
        let options = acts::options(definition, &run, &Registry::<crate::store::Postgres>::new());
        let cancellable = options.iter().any(|option| option.act == "cancel" && option.allowed);
        let identity = identity(&run, known);
        Self { journal, run, next, known, cancellable, identity }
    }

    fn with(&self, definition: &Definition, run: Run, entries: Vec<Entry>) -> Self {
        let more = (self.run.seq + 1..).zip(entries).map(|(seq, entry)| Recorded { seq, at: NOW, entry });
        Self::of(definition, self.journal.iter().cloned().chain(more).collect(), run)
    }

    /// A move of the claim's holder, with the decisions that follow from it.
    pub(super) fn moved(&self, definition: &Definition, mut entries: Vec<Entry>) -> Result<Self, Corrupt> {
        let mut run = self.fold(&entries)?;
        plan::advance(definition, &mut run, NOW, &mut entries)?;
        Ok(self.with(definition, run, entries))
    }

    /// A move in the middle of a call, in which nothing is decided.
    pub(super) fn moved_in_call(&self, definition: &Definition, entry: Entry) -> Result<Self, Corrupt> {
        let entries = vec![entry];
        let run = self.fold(&entries)?;
        Ok(self.with(definition, run, entries))
    }

    fn fold(&self, entries: &[Entry]) -> Result<Run, Corrupt> {
        let mut run = self.run.clone();
        for entry in entries {
            run.add(NOW, entry)?;
        }
        Ok(run)
    }

    /// The buyer wants it no more.
    pub(super) fn cancelled(&self, definition: &Definition) -> Result<Self, Corrupt> {
        let mut run = self.run.clone();
        let (reason, by) = ("no longer wanted".to_owned(), "the buyer".to_owned());
        let mut entries = vec![Entry::Acted { act: ActKind::Cancel, reason, by, evidence: None }];
        acts::follow(&mut run, &mut entries, NOW)?;
        Ok(self.with(definition, run, entries))
    }

    /// What whoever claims it makes of its journal: it must be what is known of it.
    pub(super) fn replays(&self) -> bool {
        Run::replay(self.run.saga_id, &self.journal).as_ref() == Ok(&self.run)
    }

    /// A person wants it taken back, and that has not begun.
    pub(super) fn is_interrupted(&self) -> bool {
        self.run.cancel.is_some() && !self.run.compensating
    }

    /// The half of the step that takes the money, at its present attempt.
    fn pay(&self, definition: &Definition, lane: Lane) -> Due {
        let attempt = self.run.step(PAY).lane(lane).attempt.max(1);
        Due { step: definition.position(PAY).unwrap(), lane, attempt }
    }

    /// The next attempt is about to be made.
    pub(super) fn intent(&self, lane: Lane, intent: Value) -> Entry {
        let attempt = self.run.step(PAY).lane(lane).attempt + 1;
        Entry::Intended { step: PAY.to_owned(), lane, attempt, intent }
    }

    /// Something was learned in the middle of the present one.
    pub(super) fn note(&self, lane: Lane, note: Value) -> Entry {
        let attempt = self.run.step(PAY).lane(lane).attempt;
        Entry::Noted { step: PAY.to_owned(), lane, attempt, note }
    }

    /// What the answer to a call about the money means.
    pub(super) fn paid(&self, definition: &Definition, lane: Lane, answer: Answer<Value>) -> Vec<Entry> {
        self.judge(definition, self.pay(definition, lane)).answered(answer)
    }

    /// What the answer to a question about the money means.
    pub(super) fn asked(&self, definition: &Definition, found: Answer<Probed<Value>>) -> Vec<Entry> {
        self.judge(definition, self.pay(definition, Lane::Forward)).probed(found)
    }

    /// What the answer of an action that only touches our database means.
    pub(super) fn done(&self, definition: &Definition, due: Due, answer: Answer<Value>) -> Vec<Entry> {
        self.judge(definition, due).answered(answer)
    }

    fn judge<'a>(&'a self, definition: &'a Definition, due: Due) -> Judge<'a> {
        Judge { definition, run: &self.run, due, now: NOW, chance: &|_| 0 }
    }
}

/// All that anything can depend on. Left out are the numbers of entries and of attempts (no key and no decision is
/// made of them), how often something failed that is tried for ever, and reasons in words; the notes are there as what
/// they say.
fn identity(run: &Run, known: Known) -> u64 {
    let mut bare = Run { seq: 0, cause: None, ..run.clone() };
    for step in bare.steps.values_mut() {
        step.compensation.failures = 0;
        for lane in [&mut step.forward, &mut step.compensation] {
            lane.attempt = 0;
            lane.failure = None;
            lane.notes.clear();
        }
    }
    let mut hasher = DefaultHasher::new();
    (format!("{bare:?}"), known).hash(&mut hasher);
    hasher.finish()
}

impl PartialEq for Saga {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

impl Eq for Saga {}

impl Hash for Saga {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity.hash(state);
    }
}

impl fmt::Debug for Saga {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<_> = self.journal.iter().map(|recorded| recorded.entry.kind()).collect();
        write!(f, "{} after {}", self.run.state, kinds.join(", "))
    }
}
