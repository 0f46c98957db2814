//! An engine on a database of its own, with actions that do what a test tells them, and a worker's loop without a
//! worker.

use super::database::database;
use async_trait::async_trait;
use orchestrator::{
    Claimed, Engine, EngineSettings, NoProjection, SagaId, Settled, Start,
    action::{Answer, Call, Child, ExternalAction, Halt, LocalAction, Notebook, Probe, Probed, Registry, Wait},
    demo,
    view::SagaView,
};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, Semaphore};

/// How long anything may take before a test calls it broken.
const PATIENCE: Duration = Duration::from_secs(60);

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
    fn called(&self, what: &str, call: &Call) {
        self.calls.lock().unwrap().push(format!("{what} {}", call.step));
    }
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
        let gate = self.0.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            self.0.entered.notify_one();
            gate.acquire().await.unwrap().forget();
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

/// Writes a row, and then answers as it is told.
struct Write(Script);
#[async_trait]
impl LocalAction for Write {
    const NAME: &'static str = "test.write";
    type Input = Value;
    type Output = Value;
    async fn run(&self, tx: &mut PgConnection, call: &Call, _: Value) -> Answer<Value> {
        self.0.called("write", call);
        sqlx::query("insert into effects (saga_id) values ($1)").bind(call.saga_id.0).execute(&mut *tx).await?;
        let told = self.0.answers.lock().unwrap().pop_front();
        match told {
            Some(Err(Halt::Permanent(failure))) if failure.code == "panic!" => panic!("as the test asked"),
            Some(Err(Halt::Permanent(failure))) if failure.code == "sql!" => {
                sqlx::query("select 1 / 0").execute(tx).await?;
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

/// The same from inside a transaction.
struct StartChildInside;
#[async_trait]
impl LocalAction for StartChildInside {
    const NAME: &'static str = "test.local-child";
    type Input = Value;
    type Output = Value;
    async fn run(&self, _: &mut PgConnection, call: &Call, input: Value) -> Answer<Value> {
        wait_for_child(call, &input)
    }
}

fn wait_for_child(call: &Call, input: &Value) -> Answer<Value> {
    if let Some(signal) = &call.signal {
        return Ok(signal.payload.clone());
    }
    let child = Child {
        definition: "one-step".to_owned(),
        key: input["key"].as_str().unwrap_or_default().to_owned(),
        input: json!({}),
        tags: BTreeMap::new(),
    };
    Err(Halt::Wait(Wait { child: Some(child), ..Wait::default() }))
}

const STEP: &str = "retry: { attempts: 3, backoff: 1ms..2ms }";

fn documents() -> Vec<String> {
    vec![
        format!(
            "saga: three-steps\ninput: {{ type: object }}\nsteps:\n\
             - {{ step: one, action: test.do, compensation: test.undo, probe: test.ask, timeout: 20s, {STEP} }}\n\
             - {{ step: two, action: test.do, compensation: test.undo, probe: test.ask, timeout: 20s, {STEP} }}\n\
             - {{ step: three, action: demo.echo, pivot: true, {STEP} }}\n\
             - {{ step: four, action: test.do, probe: test.ask, retry: {{ attempts: forever, backoff: 1ms..2ms }} }}\n"
        ),
        format!(
            "saga: one-step\ninput: {{ type: object }}\nsteps:\n- {{ step: only, action: test.write, {STEP} }}\n"
        ),
        "saga: timed\ninput: { type: object }\nsteps:\n\
         - { step: slow, action: test.do, compensation: test.undo, probe: test.ask, timeout: 50ms, retry: { attempts: 3, backoff: 1ms..2ms } }\n\
         - { step: end, action: demo.echo, pivot: true }\n"
            .to_owned(),
        "saga: patient\ninput: { type: object }\nsteps:\n\
         - { step: begin, action: demo.echo, pivot: true }\n\
         - { step: ask, action: test.do, probe: test.ask, retry: { attempts: forever, backoff: 1ms..2ms } }\n"
            .to_owned(),
        "saga: slow\ninput: { type: object }\nsteps:\n\
         - { step: one, action: test.do, compensation: test.undo, retry: { attempts: 9, backoff: 1h..1h } }\n\
         - { step: end, action: demo.echo, pivot: true }\n"
            .to_owned(),
        "saga: either\ninput: { type: object }\nsteps:\n\
         - { step: wait, action: demo.wait, input: { signal: go, ms: 1 }, compensation: demo.undo }\n\
         - { step: end, action: demo.echo, pivot: true }\n"
            .to_owned(),
        "saga: twice\ninput: { type: object }\nsteps:\n\
         - { step: wait, action: test.child, compensation: demo.undo }\n\
         - { step: again, action: test.child, compensation: demo.undo }\n\
         - { step: inside, action: test.local-child }\n"
            .to_owned(),
        // more attempts than claims: what ends it is that its workers die
        "saga: doomed\ninput: { type: object }\nsteps:\n\
         - { step: one, action: test.do, compensation: test.undo, probe: test.ask, timeout: 20s, retry: { attempts: 50, backoff: 1ms..2ms } }\n\
         - { step: end, action: demo.echo, pivot: true }\n"
            .to_owned(),
        "saga: parent\ninput: { type: object }\nsteps:\n- { step: wait, action: test.child }\n".to_owned(),
        "saga: waiter\ninput: { type: object }\ndeadline: 1h\nsteps:\n\
         - { step: wait, action: demo.wait, input: { signal: go }, compensation: demo.undo }\n\
         - { step: end, action: demo.echo, pivot: true }\n"
            .to_owned(),
    ]
}

/// See the module.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) pool: PgPool,
    pub(crate) script: Script,
}

impl World {
    pub(crate) async fn new() -> Self {
        let pool = database().await;
        sqlx::query("create table effects (saga_id uuid not null)").execute(&pool).await.unwrap();
        let script = Script::default();
        let world = Self { engine: engine(&pool, &script), pool, script };
        for document in documents() {
            let applied = world.engine.catalog().apply(&document, "test").await.unwrap();
            world.engine.catalog().activate(&applied.name, applied.version, "test", "a test").await.unwrap();
        }
        world
    }

    /// The same, with a pool that has one connection.
    pub(crate) async fn with_one_connection(self) -> Self {
        let pool = sqlx::postgres::PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(20))
            .connect_with(self.pool.connect_options().as_ref().clone())
            .await
            .unwrap();
        Self { engine: engine(&pool, &self.script), pool, script: self.script }
    }

    /// Another process on the same database.
    pub(crate) fn another(&self) -> Engine {
        engine(&self.pool, &self.script)
    }

    pub(crate) async fn start(&self, definition: &str) -> SagaId {
        self.start_with(definition, json!({})).await
    }

    pub(crate) async fn start_with(&self, definition: &str, input: Value) -> SagaId {
        let key = SagaId::fresh().to_string();
        self.engine.start(start(definition, &key, input)).await.unwrap().saga_id()
    }

    pub(crate) async fn view(&self, saga: SagaId) -> SagaView {
        self.engine.saga(saga).await.unwrap().unwrap()
    }

    /// Claims exactly this saga, waiting for its turn.
    pub(crate) async fn claim(&self, engine: &Engine, saga: SagaId) -> Claimed {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(claimed) = engine.claim("test", 1).await.unwrap().pop() {
                assert_eq!(claimed.saga_id(), saga);
                return claimed;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{saga} was never due");
    }

    /// Runs all sagas until this one is in `state`.
    pub(crate) async fn run_until(&self, saga: SagaId, state: &str) -> SagaView {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let view = self.view(saga).await;
            if view.run.state.as_str() == state {
                return view;
            }
            self.turn(&self.engine).await;
        }
        panic!("{saga} never was {state}: {:#?}", self.view(saga).await.journal);
    }

    /// Everything that is due now, and what follows at once.
    pub(crate) async fn turn(&self, engine: &Engine) {
        struct Nobody;
        #[async_trait]
        impl orchestrator::outbox::Deliver for Nobody {
            async fn deliver(&self, topic: &str, _: &Value) -> Result<(), anyhow::Error> {
                anyhow::bail!("nobody takes {topic}")
            }
        }
        for mut claimed in engine.claim("test", 64).await.unwrap() {
            loop {
                let (executed, report) = engine.execute(claimed).await;
                match engine.settle(executed, report).await {
                    Settled::Continue(next) => claimed = next,
                    Settled::Released | Settled::Superseded => break,
                }
            }
        }
        engine.dispatch_outbox(&Nobody, 100).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    /// What a worker's death looks like to others, without the wait.
    pub(crate) async fn end_leases(&self) {
        sqlx::query("update engine.ready set lease_until = '-infinity'").execute(&self.pool).await.unwrap();
    }

    pub(crate) async fn effects(&self, saga: SagaId) -> i64 {
        sqlx::query_scalar("select count(*) from effects where saga_id = $1")
            .bind(saga.0)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// Every test ends with this.
    pub(crate) async fn all_is_well(&self) {
        assert_eq!(self.engine.violations().await.unwrap(), []);
    }
}

pub(crate) fn start(definition: &str, key: &str, input: Value) -> Start {
    Start {
        definition: definition.to_owned(),
        version: None,
        input,
        owner: "test".to_owned(),
        key: key.to_owned(),
        tags: BTreeMap::new(),
        starts_at: None,
        priority: 0,
        parent: None,
        by: "test".to_owned(),
    }
}

pub(crate) fn engine(pool: &PgPool, script: &Script) -> Engine {
    let mut registry = Registry::new();
    demo::register(&mut registry).unwrap();
    registry.external(Do(script.clone())).unwrap();
    registry.external(Undo(script.clone())).unwrap();
    registry.probe(Ask(script.clone())).unwrap();
    registry.local(Write(script.clone())).unwrap();
    registry.external(StartChild).unwrap();
    registry.local(StartChildInside).unwrap();
    let settings = EngineSettings { lease_secs: 600, ..EngineSettings::default() };
    Engine::new(settings, pool.clone(), Arc::new(registry), Arc::new(NoProjection))
}

/// The journal as words: kind and step.
pub(crate) fn words(view: &SagaView) -> Vec<String> {
    let word = |recorded: &orchestrator::journal::Recorded| match recorded.entry.step() {
        Some(step) => format!("{} {step}", recorded.entry.kind()),
        None => recorded.entry.kind().to_owned(),
    };
    view.journal.iter().map(word).collect()
}
