//! An engine on a ground of its own, with actions that do what a test tells them, and a worker's loop without a
//! worker.

#[path = "world/actions.rs"]
mod actions;
#[path = "world/documents.rs"]
mod documents;

pub(crate) use actions::Script;
pub(crate) use documents::waiter;

use crate::ground::{Ground, OnPostgres, PATIENCE};
use async_trait::async_trait;
use orchestrator::{
    Claimed, Engine, EngineSettings, NoProjection, SagaId, Settled, Start, Store,
    journal::Recorded,
    outbox::{Deliver, Destination},
    run::Run,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, ops::Deref, sync::Arc, time::Duration};
use tokio::time::Instant;

/// See the module. It is its ground as well.
pub(crate) struct World<G: Ground = OnPostgres> {
    pub(crate) engine: Engine<G::Store>,
    pub(crate) script: Script,
    ground: G,
}

/// A saga as its journal tells it.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) run: Run,
    pub(crate) journal: Vec<Recorded>,
}

impl View {
    pub(crate) fn outputs(&self) -> BTreeMap<String, Value> {
        self.run.outputs().into_iter().map(|(step, output)| (step.to_owned(), output.clone())).collect()
    }
}

impl<G: Ground> Deref for World<G> {
    type Target = G;
    fn deref(&self) -> &G {
        &self.ground
    }
}

impl World {
    /// On PostgreSQL.
    pub(crate) async fn new() -> Self {
        Self::on_new_ground().await
    }

    /// The same, with a pool that has one connection.
    pub(crate) async fn with_one_connection(mut self) -> Self {
        self.ground.pool = sqlx::postgres::PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(20))
            .connect_with(self.pool.connect_options().as_ref().clone())
            .await
            .unwrap();
        Self { engine: self.another(), ..self }
    }
}

impl<G: Ground> World<G> {
    pub(crate) async fn on_new_ground() -> Self {
        let (ground, script) = (G::new().await, Script::default());
        let world = Self { engine: engine::<G>(ground.store(), &script), script, ground };
        world.bring(&documents::documents()).await;
        world
    }

    /// Makes documents versions, and active.
    pub(crate) async fn bring(&self, documents: &[String]) {
        self.ground.bring_along(self.engine.catalog().registry(), documents).await;
    }

    /// Another process on the same store.
    pub(crate) fn another(&self) -> Engine<G::Store> {
        engine::<G>(self.ground.store(), &self.script)
    }

    /// The same, with a transaction for each local step.
    pub(crate) fn step_by_step(&self) -> Engine<G::Store> {
        self.with_local_steps(1)
    }

    /// The same, with a transaction for so many local steps.
    pub(crate) fn with_local_steps(&self, local_steps_max: u32) -> Engine<G::Store> {
        engine_with::<G>(self.ground.store(), &self.script, EngineSettings { local_steps_max, ..settings() })
    }

    /// A process on the same store that suffers what is ordered with [`Ground::lose`].
    pub(crate) async fn frail_one(&self) -> Engine<G::Store> {
        engine::<G>(self.ground.frail().await, &self.script)
    }

    pub(crate) async fn start(&self, definition: &str) -> SagaId {
        self.start_with(definition, json!({})).await
    }

    pub(crate) async fn start_with(&self, definition: &str, input: Value) -> SagaId {
        let key = SagaId::fresh().to_string();
        self.engine.start(start(definition, &key, input)).await.unwrap().saga_id()
    }

    pub(crate) async fn view(&self, saga: SagaId) -> View {
        let (mut journals, _) = self.ground.store().journals(&[saga]).await.unwrap();
        let written = journals.remove(&saga).unwrap().unwrap();
        let journal: Vec<_> = written.into_iter().map(|(recorded, _)| recorded).collect();
        View { run: Run::replay(saga, &journal).unwrap(), journal }
    }

    /// Claims exactly this saga, waiting for its turn.
    pub(crate) async fn claim(&self, engine: &Engine<G::Store>, saga: SagaId) -> Claimed {
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
    pub(crate) async fn run_until(&self, saga: SagaId, state: &str) -> View {
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
    pub(crate) async fn turn(&self, engine: &Engine<G::Store>) {
        for claimed in engine.claim("test", 64).await.unwrap() {
            go_on(engine, claimed).await;
        }
        engine.dispatch_outbox(&Nobody, Destination::Inside, 100).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    /// Every test ends with this.
    pub(crate) async fn all_is_well(&self) {
        assert_eq!(self.ground.violations().await, [""; 0]);
    }
}

/// Takes no message.
struct Nobody;
#[async_trait]
impl Deliver for Nobody {
    async fn deliver(&self, topic: &str, _: &Value) -> Result<(), anyhow::Error> {
        anyhow::bail!("nobody takes {topic}")
    }
}

/// Goes on with a claim for as long as it lasts, and tells how it ended.
pub(crate) async fn go_on<S: Store>(engine: &Engine<S>, mut claimed: Claimed) -> Settled {
    loop {
        let (executed, report) = engine.execute(claimed).await;
        match engine.settle(executed, report).await {
            Settled::Continue(next) => claimed = next,
            ended => return ended,
        }
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

fn settings() -> EngineSettings {
    EngineSettings { lease_secs: 600, ..EngineSettings::default() }
}

pub(crate) fn engine<G: Ground>(store: G::Store, script: &Script) -> Engine<G::Store> {
    engine_with::<G>(store, script, settings())
}

fn engine_with<G: Ground>(store: G::Store, script: &Script, settings: EngineSettings) -> Engine<G::Store> {
    Engine::on(store, settings, Arc::new(actions::registry::<G>(script)), Arc::new(NoProjection))
}

/// The journal as words: kind and step.
pub(crate) fn words(view: &View) -> Vec<String> {
    let word = |recorded: &Recorded| match recorded.entry.step() {
        Some(step) => format!("{} {step}", recorded.entry.kind()),
        None => recorded.entry.kind().to_owned(),
    };
    view.journal.iter().map(word).collect()
}
