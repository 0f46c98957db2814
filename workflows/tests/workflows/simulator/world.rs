//! Everything that takes part in a run: the store, the gateway, the post between them, and the processes.

use super::{
    actions::{Payments, Store, registry},
    gateway::{ChargeRow, Faults, News, Shared as GatewayBooks, SimulatedGateway, State},
    rare::Rare,
};
use async_trait::async_trait;
use orchestrator::{
    Engine, EngineSettings, Settled,
    acts::ActError,
    definition::Definition,
    outbox::Deliver,
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
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};
use workflows::{
    definitions::DOCUMENTS,
    ids::RefundId,
    payments::{ConfiguredGateway, Gateways},
    refunds::refund_signal,
};

/// How long a claim holds.
pub(super) const LEASE_SECS: i32 = 5;
/// How many sagas a worker has in hand at most.
/// How long a simulated gateway is waited for.
const GATEWAY_TIMEOUT: Duration = Duration::from_secs(5);
const CONCURRENCY: usize = 4;

/// What is to happen at the gateway's own time, and be told.
pub(super) enum Letter {
    /// A charge that was challenged or is worked on is taken.
    Settle(ChargeRow, State, Duration),
    /// A refund is through.
    Refunded(RefundId, Value),
}

/// Where the gateway leaves letters.
#[derive(Clone)]
pub(super) struct Post(pub(super) mpsc::UnboundedSender<Letter>);

impl Post {
    pub(super) fn settle(&self, charge: ChargeRow, from: State, after: Duration) {
        drop(self.0.send(Letter::Settle(charge, from, after)));
    }

    pub(super) fn tell_refund(&self, refund: RefundId, news: Value) {
        drop(self.0.send(Letter::Refunded(refund, news)));
    }
}

/// See the module. Clones share it.
#[derive(Clone)]
pub(super) struct World {
    pub(super) luck: Luck,
    pub(super) store: Store,
    pub(super) gateway: Arc<GatewayBooks>,
    /// The process that takes orders, letters and acts; it never dies.
    pub(super) api: Engine<Store>,
    pub(super) rare: Arc<Mutex<Rare>>,
    holds_last: Duration,
}

/// One worker: an engine and the process that it is.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) engine: Engine<Store>,
    pub(super) process: Process,
}

/// Our definitions, read once; but for the one of charges that are left behind, which takes a second gateway.
fn definitions(gateways: &Arc<Gateways>) -> &'static [Definition] {
    static READ: OnceLock<Vec<Definition>> = OnceLock::new();
    READ.get_or_init(|| {
        let registry = registry(gateways, Duration::ZERO);
        DOCUMENTS
            .iter()
            .filter(|(file, _)| *file != "settle-doubt.yaml")
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

fn gateways(books: &Arc<GatewayBooks>, process: &Process) -> Arc<Gateways> {
    let gateway = SimulatedGateway { shared: Arc::clone(books), process: process.clone() };
    let configured = ConfiguredGateway {
        gateway: Arc::new(gateway),
        webhook_secrets: Vec::new(),
        timeout: GATEWAY_TIMEOUT,
        late_window: GATEWAY_TIMEOUT,
    };
    Arc::new(Gateways::new(vec![configured]).unwrap())
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let luck = Luck::new(seed);
        let store = Store::new(luck.clone());
        let (post, letters) = mpsc::unbounded_channel();
        let gateway = Arc::new(GatewayBooks {
            name: "primary",
            prepares: !luck.strikes(300),
            books: Mutex::default(),
            faults: Mutex::default(),
            luck: luck.clone(),
            post: Post(post),
        });
        let holds_last = Duration::from_secs(5) + luck.time(Duration::from_secs(40));
        bring_along(&store, &gateways(&gateway, store.process()));
        let api = engine(&luck, &store, &gateway, holds_last);
        let world = Self { luck, store, gateway, api, rare: Arc::default(), holds_last };
        tokio::spawn(world.clone().deliver(letters));
        world
    }

    /// Another worker, at work.
    pub(super) fn start_worker(&self) -> Worker {
        let store = self.store.another_process();
        let engine = engine(&self.luck, &store, &self.gateway, self.holds_last);
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

    /// Carries letters out and tells whom they concern: late, twice, out of order, and again until they are taken.
    async fn deliver(self, mut letters: mpsc::UnboundedReceiver<Letter>) {
        while let Some(letter) = letters.recv().await {
            let this = self.clone();
            tokio::spawn(async move {
                let told = match letter {
                    Letter::Settle(charge, from, after) => {
                        sleep(after).await;
                        this.gateway.settle(&charge, from)
                    }
                    Letter::Refunded(refund, payload) => {
                        sleep(this.luck.time(Duration::from_secs(3))).await;
                        let saga = this.store.committed().business.refunds.get(&refund).map(|refund| refund.saga);
                        saga.map(|saga| News { saga, signal: refund_signal(refund), payload })
                    }
                };
                let Some(news) = told else { return };
                let copies = 1 + u32::from(this.luck.strikes(200));
                for _ in 0..copies {
                    sleep(this.luck.time(Duration::from_secs(10))).await;
                    this.tell(&news).await;
                }
            });
        }
    }

    async fn tell(&self, news: &News) {
        loop {
            match self.api.signal(news.saga, &news.signal, news.payload.clone(), "gateway").await {
                Ok(_) | Err(ActError::NotFound | ActError::NotAllowed(_)) => return,
                Err(_) => sleep(Duration::from_secs(1)).await,
            }
        }
    }

    /// Nothing goes wrong any more, and whoever is dead is replaced.
    pub(super) fn heal(&self, workers: &mut [Worker]) {
        self.store.trouble(Trouble { pause_max: Duration::from_millis(2), ..Trouble::default() });
        *self.gateway.faults.lock().unwrap() = Faults::default();
        for worker in workers {
            worker.process.meets(Fate::Runs);
            if worker.process.fate() == Fate::Dead {
                *worker = self.start_worker();
            }
        }
    }
}

fn engine(luck: &Luck, store: &Store, books: &Arc<GatewayBooks>, holds_last: Duration) -> Engine<Store> {
    let (chance, ids, clock) = (luck.clone(), luck.clone(), store.clone());
    let settings = EngineSettings {
        lease_secs: LEASE_SECS,
        local_steps_max: *luck.one_of(&[1, 8]),
        chance: Arc::new(move |ceiling| chance.up_to(ceiling)),
        ids: Arc::new(move || ids.id(u64::try_from(clock.time().timestamp_millis()).unwrap_or_default())),
    };
    let registry = registry(&gateways(books, store.process()), holds_last);
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
        match worker.engine.dispatch_outbox(&Nobody, 10).await {
            Ok(1..) => {}
            _ => drop(timeout(Duration::from_secs(1), worker.engine.something_for_the_outbox()).await),
        }
    }
}
