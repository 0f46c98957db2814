//! Steps that fail where a test makes them.

use async_trait::async_trait;
use orchestrator::action::{Answer, AnyExternal, AnyLocal, Call, Erased, Halt, Lane, Notebook, Registry};
use serde_json::Value;
use sqlx::PgConnection;
use std::sync::{Arc, Mutex};

/// The code of every failure that a test has made.
pub(super) const INJECTED: &str = "injected";

/// What happens to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is certainly not done, and never will be, for as long as the knob is turned.
    Refuse,
    /// It is certainly not done, this time.
    Stumble,
    /// It is done, and the answer is lost; of a local action, its transaction is.
    LoseAnswer,
    /// It is done twice.
    Repeat,
}

/// A half of a step of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) definition: String,
    pub(super) step: String,
    pub(super) lane: Lane,
}

impl Place {
    fn is_of(&self, call: &Call) -> bool {
        self.definition == call.definition && self.step == call.step && self.lane == call.lane
    }
}

/// What goes wrong from now on.
#[derive(Clone, Default)]
pub(super) struct Knobs(Arc<Mutex<Vec<Knob>>>);

struct Knob {
    place: Place,
    fault: Fault,
    hits: u32,
}

impl Knobs {
    pub(super) fn turn(&self, place: &Place, fault: Fault) {
        self.0.lock().unwrap().push(Knob { place: place.clone(), fault, hits: 0 });
    }

    pub(super) fn reset(&self) {
        self.0.lock().unwrap().clear();
    }

    /// How often a call has met its fault.
    pub(super) fn hits(&self, place: &Place) -> u32 {
        self.0.lock().unwrap().iter().filter(|knob| knob.place == *place).map(|knob| knob.hits).sum()
    }

    /// The fault that this call meets: once, or always where that is its nature.
    fn meet(&self, call: &Call) -> Option<Fault> {
        let mut knobs = self.0.lock().unwrap();
        let knob = knobs.iter_mut().find(|knob| knob.place.is_of(call))?;
        if knob.hits > 0 && knob.fault != Fault::Refuse {
            return None;
        }
        knob.hits += 1;
        Some(knob.fault)
    }

    /// The call gave no answer that could be lost: the next one meets the fault.
    fn spare(&self, call: &Call) {
        let mut knobs = self.0.lock().unwrap();
        knobs.iter_mut().filter(|knob| knob.place.is_of(call)).for_each(|knob| knob.hits -= 1);
    }

    /// The same actions, which meet these faults.
    pub(super) fn wrap(&self, registry: &Registry) -> Registry {
        registry.map(|_, erased| match erased {
            Erased::External(inner) => {
                Erased::External(Arc::new(Faulty { inner: Arc::clone(inner), knobs: self.clone() }))
            }
            Erased::Local(inner) => Erased::Local(Arc::new(Faulty { inner: Arc::clone(inner), knobs: self.clone() })),
            Erased::Probe(probe) => Erased::Probe(Arc::clone(probe)),
        })
    }
}

struct Faulty<A: ?Sized> {
    inner: Arc<A>,
    knobs: Knobs,
}

fn refused() -> Halt {
    Halt::permanent(INJECTED, "as the test asked")
}

fn stumbled() -> Halt {
    Halt::transient(INJECTED, "as the test asked")
}

#[async_trait]
impl AnyExternal for Faulty<dyn AnyExternal> {
    async fn intent(&self, call: &Call, input: &Value) -> Answer<Value> {
        self.inner.intent(call, input).await
    }

    async fn run(&self, call: &Call, notebook: &dyn Notebook, intent: &Value, input: Value) -> Answer<Value> {
        match self.knobs.meet(call) {
            Some(Fault::Refuse) => Err(refused()),
            Some(Fault::Stumble) => Err(stumbled()),
            Some(Fault::LoseAnswer) => match self.inner.run(call, notebook, intent, input).await {
                Ok(_) => Err(Halt::in_doubt(INJECTED, "as the test asked")),
                halt => {
                    self.knobs.spare(call);
                    halt
                }
            },
            Some(Fault::Repeat) => {
                let first = self.inner.run(call, notebook, intent, input.clone()).await;
                let second = self.inner.run(call, notebook, intent, input).await;
                assert_eq!(first, second, "{} {:?}", call.step, call.lane);
                second
            }
            None => self.inner.run(call, notebook, intent, input).await,
        }
    }
}

#[async_trait]
impl AnyLocal for Faulty<dyn AnyLocal> {
    async fn run(&self, tx: &mut PgConnection, call: &Call, input: Value) -> Answer<Value> {
        match self.knobs.meet(call) {
            Some(Fault::Refuse) => Err(refused()),
            Some(Fault::Stumble) => Err(stumbled()),
            Some(Fault::LoseAnswer) => match self.inner.run(tx, call, input).await {
                Ok(_) => Err(stumbled()),
                halt => {
                    self.knobs.spare(call);
                    halt
                }
            },
            Some(Fault::Repeat) => {
                self.inner.run(&mut *tx, call, input.clone()).await?;
                self.inner.run(tx, call, input).await
            }
            None => self.inner.run(tx, call, input).await,
        }
    }
}
