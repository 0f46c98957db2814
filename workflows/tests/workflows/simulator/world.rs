//! Everything that takes part in a run: the store, the gateways, the post between them, and the processes.

use super::{
    actions::{Store, registry},
    books::Faults,
    gateway::SimulatedGateway,
    news::Post,
    projection::Payments,
    protocol::{BACKUP, PRIMARY, Shared as GatewaySide},
    rare::Rare,
};
use async_trait::async_trait;
use orchestrator::{
    Engine, EngineSettings, Settled,
    definition::Definition,
    outbox::{Deliver, Destination},
    store::{
        StoredDefinition,
        simulated::{Fate, Luck, Process, Trouble},
    },
};
use serde_json::Value;
use std::{
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};
use workflows::{
    breakers::{BreakerSettings, GatewayBreakers, Surroundings},
    definitions::DOCUMENTS,
    gateways::guarded,
    payments::{ConfiguredGateway, Gateways},
};

/// How long a claim holds.
pub(super) const LEASE_SECS: i32 = 5;
/// How long a simulated gateway is waited for.
const GATEWAY_TIMEOUT: Duration = Duration::from_secs(5);
/// For how long a call may still arrive there. Some come later than that.
pub(super) const LATE_WINDOW: Duration = Duration::from_secs(60);
/// One process makes few calls here: two that fail are enough to open a breaker.
const BREAKERS: BreakerSettings =
    BreakerSettings { failure_permille: 500, window_secs: 10, minimum_calls: 2, open_secs: 5 };
/// How many sagas a worker has in hand at most.
const CONCURRENCY: usize = 4;

/// See the module. Clones share it.
#[derive(Clone)]
pub(super) struct World {
    pub(super) luck: Luck,
    pub(super) store: Store,
    /// In order of preference.
    pub(super) gateways: [Arc<GatewaySide>; 2],
    pub(super) post: Post,
    /// The process that takes orders, letters and acts; it never dies.
    pub(super) api: Engine<Store>,
    pub(super) rare: Arc<Mutex<Rare>>,
    /// What must never be: found at the moment it happened.
    pub(super) wrong: Arc<Mutex<Vec<String>>>,
    holds_last: Duration,
}

/// One worker: an engine and the process that it is.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) engine: Engine<Store>,
    pub(super) process: Process,
}

/// Our definitions, read once.
fn definitions(gateways: &Arc<Gateways>) -> &'static [Definition] {
    static READ: OnceLock<Vec<Definition>> = OnceLock::new();
    READ.get_or_init(|| {
        let registry = registry(gateways, Duration::ZERO);
        DOCUMENTS
            .iter()
            .map(|(file, text)| Definition::read(text, &registry).unwrap_or_else(|wrong| panic!("{file}: {wrong:?}")))
            .collect()
    })
}

fn bring_along(store: &Store, gateways: &Arc<Gateways>) {
    let mut data = store.committed();
    for definition in definitions(gateways) {
        let stored = StoredDefinition {
            document: serde_json::to_value(definition).unwrap(),
            source: String::new(),
            digest: definition.digest().unwrap(),
            created_at: chrono::DateTime::UNIX_EPOCH,
            created_by: "showrunner".to_owned(),
        };
        data.definitions.insert((definition.saga.clone(), 1), stored);
        data.active.insert(definition.saga.clone(), 1);
    }
}

/// One process's way to the gateways, behind breakers that no other process shares, as without Redis.
fn gateways(luck: &Luck, store: &Store, sides: &[Arc<GatewaySide>]) -> Arc<Gateways> {
    let (chance, clock) = (luck.clone(), store.clone());
    let surroundings =
        Surroundings::given(move || clock.time().timestamp_millis(), move |ceiling| chance.up_to(ceiling));
    let configured = sides.iter().map(|shared| {
        let breakers = GatewayBreakers::alone(shared.name, GATEWAY_TIMEOUT, BREAKERS, surroundings.clone());
        let (shared, process) = (Arc::clone(shared), store.process().clone());
        let gateway = SimulatedGateway { shared, process, breakers: breakers.clone() };
        ConfiguredGateway {
            gateway: guarded(Arc::new(gateway), breakers),
            webhook_secrets: Vec::new(),
            timeout: GATEWAY_TIMEOUT,
            late_window: LATE_WINDOW,
        }
    });
    Arc::new(Gateways::new(configured.collect()).unwrap())
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let luck = Luck::new(seed);
        let store = Store::new(luck.clone());
        let (post, letters) = Post::new();
        let gateways = [PRIMARY, BACKUP].map(|name| {
            Arc::new(GatewaySide {
                name,
                prepares: luck.strikes(500),
                books: Mutex::default(),
                faults: Mutex::default(),
                luck: luck.clone(),
                post: post.clone(),
            })
        });
        let holds_last = Duration::from_secs(8) + luck.time(Duration::from_secs(40));
        bring_along(&store, &self::gateways(&luck, &store, &gateways));
        let api = engine(&luck, &store, &gateways, holds_last);
        let (rare, wrong) = (Arc::default(), Arc::default());
        let world = Self { luck, store, gateways, post, api, rare, wrong, holds_last };
        tokio::spawn(world.clone().deliver(letters));
        world
    }

    /// The gateway with this name.
    pub(super) fn gateway(&self, name: &str) -> &GatewaySide {
        self.gateways.iter().find(|gateway| gateway.name == name).unwrap()
    }

    /// Another worker, at work.
    pub(super) fn start_worker(&self) -> Worker {
        let store = self.store.another_process();
        let engine = engine(&self.luck, &store, &self.gateways, self.holds_last);
        let worker = Worker { engine, process: store.process().clone() };
        tokio::spawn(self.clone().claim(worker.clone()));
        tokio::spawn(keep_leases(worker.clone()));
        tokio::spawn(empty_outbox(worker.clone()));
        tokio::spawn(self.clone().sweep(worker.clone()));
        let listener = worker.engine.clone();
        tokio::spawn(async move { listener.listen().await });
        worker
    }

    async fn claim(self, worker: Worker) {
        let slots = Arc::new(Semaphore::new(CONCURRENCY));
        loop {
            let slot = Arc::clone(&slots).acquire_owned().await.unwrap();
            worker.process.goes_on().await;
            match worker.engine.claim("simulated", 1).await {
                Ok(mut claimed) => match claimed.pop() {
                    Some(claimed) => {
                        let (this, worker) = (self.clone(), worker.clone());
                        tokio::spawn(async move {
                            this.go_on(&worker, claimed).await;
                            drop(slot);
                        });
                    }
                    None => drop(timeout(Duration::from_secs(1), worker.engine.something_committed()).await),
                },
                Err(_) => sleep(Duration::from_millis(500)).await,
            }
        }
    }

    /// Goes on with a claim for as long as it lasts.
    async fn go_on(&self, worker: &Worker, mut claimed: orchestrator::Claimed) {
        loop {
            let (executed, report) = worker.engine.execute(claimed).await;
            worker.process.goes_on().await;
            match worker.engine.settle(executed, report).await {
                Settled::Continue(next) => claimed = next,
                Settled::Released => return,
                Settled::Superseded => {
                    self.count(|rare| rare.zombie_refused += 1);
                    return;
                }
            }
        }
    }

    async fn sweep(self, worker: Worker) {
        loop {
            sleep(Duration::from_secs(5)).await;
            worker.process.goes_on().await;
            if let Ok(mended) = worker.engine.sweep().await {
                self.count(|rare| rare.swept += mended);
            }
        }
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Rare)) {
        count(&mut self.rare.lock().unwrap());
    }

    /// Nothing goes wrong any more, and whoever is dead is replaced.
    pub(super) fn heal(&self, workers: &mut [Worker]) {
        self.store.trouble(Trouble { pause_max: Duration::from_millis(2), ..Trouble::default() });
        for gateway in &self.gateways {
            *gateway.faults.lock().unwrap() = Faults::default();
        }
        for worker in workers {
            worker.process.meets(Fate::Runs);
            if worker.process.fate() == Fate::Dead {
                *worker = self.start_worker();
            }
        }
    }
}

fn engine(luck: &Luck, store: &Store, sides: &[Arc<GatewaySide>], holds_last: Duration) -> Engine<Store> {
    let (chance, ids, clock) = (luck.clone(), luck.clone(), store.clone());
    let settings = EngineSettings {
        lease_secs: LEASE_SECS,
        local_steps_max: *luck.one_of(&[1, 8]),
        chance: Arc::new(move |ceiling| chance.up_to(ceiling)),
        ids: Arc::new(move || ids.id(u64::try_from(clock.time().timestamp_millis()).unwrap_or_default())),
        ..EngineSettings::default()
    };
    let registry = registry(&gateways(luck, store, sides), holds_last);
    Engine::on(store.clone(), settings, Arc::new(registry), Arc::new(Payments))
}

async fn keep_leases(worker: Worker) {
    loop {
        sleep(Duration::from_secs(u64::try_from(LEASE_SECS).unwrap()) / 3).await;
        worker.process.goes_on().await;
        drop(worker.engine.keep_leases().await);
    }
}

/// Our messages are signals between sagas; nobody is there for others.
struct Nobody;

#[async_trait]
impl Deliver for Nobody {
    async fn deliver(&self, topic: &str, _: &Value) -> Result<(), anyhow::Error> {
        anyhow::bail!("nobody takes {topic}")
    }
}

async fn empty_outbox(worker: Worker) {
    loop {
        worker.process.goes_on().await;
        match worker.engine.dispatch_outbox(&Nobody, Destination::Inside, 10).await {
            Ok(1..) => {}
            _ => drop(timeout(Duration::from_secs(1), worker.engine.something_for_the_outbox()).await),
        }
    }
}
