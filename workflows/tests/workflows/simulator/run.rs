//! One run: a time in which everything goes wrong, then healing, then rest.

use super::{rare::Rare, world::World};
use orchestrator::saga::State;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long things go wrong.
const BAD_TIME: Duration = Duration::from_secs(90);
/// How long it may take until everything is at rest after that, on the simulated clock.
const HEALING_MAX: Duration = Duration::from_secs(3_600);
/// How often somebody looks after what is stuck.
const MEND_EVERY: Duration = Duration::from_secs(10);
const WORKERS: usize = 3;
const BUYERS: u64 = 3;

/// What came of one run.
#[derive(Debug)]
pub(super) struct Run {
    /// Everything that happened, as text.
    pub(super) trace: String,
    pub(super) rare: Rare,
}

/// Runs one seed.
///
/// # Errors
/// What is wrong, with everything that happened.
pub(super) fn simulate(seed: u64) -> Result<Run, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(live(seed))
}

async fn live(seed: u64) -> Result<Run, String> {
    let world = World::new(seed);
    let mut workers: Vec<_> = (0..WORKERS).map(|_| world.start_worker()).collect();
    let buyers: Vec<_> =
        (0..2 + world.luck.up_to(BUYERS)).map(|_| tokio::spawn(world.clone().buyer(BAD_TIME / 2))).collect();
    let bad_time = async {
        let [primary, backup] = &world.gateways;
        let weather = async { tokio::join!(world.weather(primary), world.weather(backup)) };
        tokio::join!(world.sabotage(&mut workers), weather, world.operator());
    };
    drop(timeout(BAD_TIME, bad_time).await);

    world.heal(&mut workers);
    if world.luck.strikes(250) {
        // nobody looks after what is stuck for longer than an order may take
        tokio::time::advance(Duration::from_secs(20 * 60)).await;
    }
    let healing = async {
        let mut placed = Vec::new();
        for buyer in buyers {
            placed.push(buyer.await.expect("a buyer was told what is not so"));
        }
        while !is_at_rest(&world) {
            world.mend().await;
            sleep(MEND_EVERY).await;
        }
        placed
    };
    let placed = timeout(HEALING_MAX, healing).await;
    world.count_rare();
    let wrong = match &placed {
        Ok(placed) => world.judge(placed),
        Err(_) => {
            let mut wrong = vec!["it does not come to rest".to_owned()];
            wrong.extend(world.judge(&[]));
            wrong
        }
    };
    let trace = world.story(&wrong);
    if !wrong.is_empty() {
        return Err(format!("{trace}\nseed {seed}: {} things are wrong", wrong.len()));
    }
    let rare = world.rare.lock().unwrap().clone();
    Ok(Run { trace, rare })
}

fn is_at_rest(world: &World) -> bool {
    let data = world.store.committed();
    let ended = |state: State| state.is_finished();
    let sagas = data.sagas.values().all(|row| ended(row.state)) && data.outbox.is_empty();
    sagas && world.post.is_empty() && data.business.refunds.values().all(|refund| refund.settled)
}
