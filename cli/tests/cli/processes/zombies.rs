//! Row 11: a worker sleeps until its lease is over and somebody else has its saga; then it wakes.

use super::{
    line::Line,
    program::Program,
    until,
    world::{LEASE, World},
};
use crate::cli::client::Api;
use private_servers::{Fault, Proxy, Spot};

/// A worker whose database and gateway are behind things that can be held.
struct Sleeper {
    worker: Program,
    database: Proxy,
    gateway: Line,
}

impl Sleeper {
    async fn start(world: &World, name: &str) -> Self {
        let database = Proxy::before(&world.database_url()).unwrap();
        let gateway = Line::to(world.gateways.primary.address().to_owned()).await;
        let (database_url, gateway_url) = (database.url(), gateway.url.clone());
        let variables =
            [LEASE, ("DATABASE_URL", &database_url), ("SHOWRUNNER_GATEWAYS__PRIMARY__BASE_URL", &gateway_url)];
        let worker = world.worker(name, &variables).await;
        Self { worker, database, gateway }
    }

    /// Waits until it has said that it did not write anything.
    async fn has_lost(&self, saga: &str) {
        self.worker.says(&format!("The claim on saga {saga} was lost; nothing was written")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_wakes_after_its_lease_changes_nothing() {
    let world = World::new().await;
    let (_program, api) = world.api(&[]).await;
    let event = api.event(100).await;
    asleep_before_the_call(&world, &api, &event).await;
    asleep_with_a_call_on_its_way(&world, &api, &event).await;
    world.is_sound(&api).await;
}

/// It has committed what it is about to ask for, and wakes when it would ask.
async fn asleep_before_the_call(world: &World, api: &Api, event: &str) {
    let sleeper = Sleeper::start(world, "asleep-before").await;
    sleeper.database.trap(Spot::CommitOf("\"intended\""), Fault::HoldAnswer, 1);
    let placed = api.order(event, "before").await;
    until("the intent is committed", async || (sleeper.database.sprung() == 1).then_some(())).await;
    sleeper.worker.stop();
    sleeper.database.release();
    let _successor = world.worker("successor-before", &[LEASE]).await;
    api.confirmed(&placed).await;
    sleeper.worker.go_on();
    sleeper.has_lost(&placed.saga).await;
    assert_eq!(sleeper.gateway.connections(), 0, "it called under a claim that was not its own any more");
    assert_eq!(asked(world, &placed.order).await, 1);
}

/// Its call is on its way when it falls asleep, and arrives when its successor has done everything.
async fn asleep_with_a_call_on_its_way(world: &World, api: &Api, event: &str) {
    let sleeper = Sleeper::start(world, "asleep-after").await;
    sleeper.database.trap(Spot::CommitOf("\"prepared\""), Fault::HoldAnswer, 1);
    let placed = api.order(event, "after").await;
    until("the charge has a name", async || (sleeper.database.sprung() == 1).then_some(())).await;
    sleeper.gateway.hold();
    sleeper.database.release();
    until("the call is on its way", async || (sleeper.gateway.held() > 0).then_some(())).await;
    sleeper.worker.stop();
    let _successor = world.worker("successor-after", &[LEASE]).await;
    api.confirmed(&placed).await;
    assert_eq!(asked(world, &placed.order).await, 1);
    sleeper.gateway.open();
    until("the late call has arrived", async || (asked(world, &placed.order).await == 2).then_some(())).await;
    sleeper.worker.go_on();
    sleeper.has_lost(&placed.saga).await;
}

/// How often the gateway was asked for an order's money, by one key or the other.
async fn asked(world: &World, order: &str) -> u64 {
    world.books().await.of(order).map(|charge| charge["asked"].as_u64().unwrap()).sum()
}
