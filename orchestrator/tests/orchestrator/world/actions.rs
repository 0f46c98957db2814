//! Actions that do what a test tells them.

use crate::ground::{Ground, TxOf};
use async_trait::async_trait;
use orchestrator::{
    Store,
    action::{Answer, Call, Child, ExternalAction, Halt, LocalAction, Notebook, Probe, Probed, Registry, Wait},
    demo,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    marker::PhantomData,
    sync::{Arc, Mutex},
};
use tokio::sync::{Notify, Semaphore};

/// What a test tells its actions, and what they tell it.
#[derive(Clone, Default)]
pub(crate) struct Script {
    answers: Arc<Mutex<VecDeque<Answer<Value>>>>,
    probes: Arc<Mutex<VecDeque<Answer<Probed<Value>>>>>,
    pub(crate) calls: Arc<Mutex<Vec<String>>>,
    pub(crate) entered: Arc<Notify>,
    pub(crate) gate: Arc<Mutex<Option<Arc<Semaphore>>>>,
}

impl Script {
    pub(crate) fn answer(&self, answer: Answer<Value>) {
        self.answers.lock().unwrap().push_back(answer);
    }
    pub(crate) fn probe(&self, found: Answer<Probed<Value>>) {
        self.probes.lock().unwrap().push_back(found);
    }
    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
    /// Has the calls of `test.do` and `test.leave` that come wait at a gate.
    pub(crate) fn close_gate(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.gate.lock().unwrap() = Some(Arc::clone(&gate));
        gate
    }
    /// Those that come find none; those that wait go on waiting.
    pub(crate) fn remove_gate(&self) {
        *self.gate.lock().unwrap() = None;
    }
    /// Waits at the gate, if there is one.
    async fn passed_the_gate(&self) -> bool {
        let gate = self.gate.lock().unwrap().clone();
        let Some(gate) = gate else { return false };
        self.entered.notify_one();
        gate.acquire().await.unwrap().forget();
        true
    }
    fn called(&self, what: &str, call: &Call) {
        self.calls.lock().unwrap().push(format!("{what} {}", call.step));
    }
}

/// All of them, and those for demonstrations.
pub(super) fn registry<G: Ground>(script: &Script) -> Registry<G::Store> {
    let mut registry = Registry::new();
    demo::register(&mut registry).unwrap();
    registry.external(Do(script.clone())).unwrap();
    registry.external(Undo(script.clone())).unwrap();
    registry.probe(Ask(script.clone())).unwrap();
    registry.local(Write::<G>(script.clone(), PhantomData)).unwrap();
    registry.external(StartChild).unwrap();
    registry.local(StartChildInside).unwrap();
    registry.external(LeaveChild(script.clone())).unwrap();
    registry
}

struct Do(Script);
#[async_trait]
impl ExternalAction for Do {
    const NAME: &'static str = "test.do";
    type Input = Value;
    type Output = Value;
    async fn intent(&self, call: &Call, _: &Value) -> Answer<Value> {
        Ok(json!({ "key": call.idempotency_key() }))
    }
    async fn run(&self, call: &Call, notebook: &dyn Notebook, _: &Value, _: Value) -> Answer<Value> {
        self.0.called("do", call);
        if self.0.passed_the_gate().await {
            notebook.note(json!({ "through": "the gate" })).await?;
        }
        self.0.answers.lock().unwrap().pop_front().unwrap_or_else(|| Ok(json!({ "did": call.step })))
    }
}

struct Undo(Script);
#[async_trait]
impl ExternalAction for Undo {
    const NAME: &'static str = "test.undo";
    type Input = Value;
    type Output = Value;
    async fn run(&self, call: &Call, _: &dyn Notebook, _: &Value, _: Value) -> Answer<Value> {
        self.0.called("undo", call);
        Ok(json!({}))
    }
}

struct Ask(Script);
#[async_trait]
impl Probe for Ask {
    const NAME: &'static str = "test.ask";
    type Input = Value;
    type Output = Value;
    async fn probe(&self, call: &Call, _: &dyn Notebook, _: Value) -> Answer<Probed<Value>> {
        self.0.called("ask", call);
        self.0.probes.lock().unwrap().pop_front().unwrap_or(Ok(Probed::NotExecuted))
    }
}

/// Has an effect in the store, and then answers as it is told.
struct Write<G>(Script, PhantomData<fn() -> G>);
#[async_trait]
impl<G: Ground> LocalAction<G::Store> for Write<G> {
    const NAME: &'static str = "test.write";
    type Input = Value;
    type Output = Value;
    async fn run(&self, tx: &mut TxOf<G>, call: &Call, _: Value) -> Answer<Value> {
        self.0.called("write", call);
        G::have_effect(tx, call.saga_id).await?;
        let told = self.0.answers.lock().unwrap().pop_front();
        match told {
            Some(Err(Halt::Permanent(failure))) if failure.code == "panic!" => panic!("as the test asked"),
            Some(Err(Halt::Permanent(failure))) if failure.code == "error!" => {
                G::have_error(tx).await?;
                Ok(Value::Null)
            }
            Some(answer) => answer,
            None => Ok(json!({})),
        }
    }
}

struct StartChild;
#[async_trait]
impl ExternalAction for StartChild {
    const NAME: &'static str = "test.child";
    type Input = Value;
    type Output = Value;
    async fn run(&self, call: &Call, _: &dyn Notebook, _: &Value, input: Value) -> Answer<Value> {
        wait_for_child(call, &input)
    }
}

/// Starts another saga and does not wait for it, but answers as it is told.
struct LeaveChild(Script);
#[async_trait]
impl ExternalAction for LeaveChild {
    const NAME: &'static str = "test.leave";
    type Input = Value;
    type Output = Value;
    async fn run(&self, call: &Call, notebook: &dyn Notebook, _: &Value, input: Value) -> Answer<Value> {
        self.0.called("leave", call);
        self.0.passed_the_gate().await;
        notebook.note_and_start(json!({ "left": input["key"] }), child(&input)).await?;
        self.0.answers.lock().unwrap().pop_front().unwrap_or_else(|| Ok(json!({})))
    }
}

/// The same from inside a transaction.
struct StartChildInside;
#[async_trait]
impl<S: Store> LocalAction<S> for StartChildInside {
    const NAME: &'static str = "test.local-child";
    type Input = Value;
    type Output = Value;
    async fn run(&self, _: &mut S::Tx, call: &Call, input: Value) -> Answer<Value> {
        wait_for_child(call, &input)
    }
}

fn wait_for_child(call: &Call, input: &Value) -> Answer<Value> {
    if let Some(signal) = &call.signal {
        return Ok(signal.payload.clone());
    }
    Err(Halt::Wait(Wait { child: Some(child(input)), ..Wait::default() }))
}

fn child(input: &Value) -> Child {
    Child {
        definition: input["definition"].as_str().unwrap_or("one-step").to_owned(),
        key: input["key"].as_str().unwrap_or_default().to_owned(),
        input: json!({}),
        tags: BTreeMap::new(),
    }
}
