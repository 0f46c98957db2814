//! Whoever makes things go wrong: processes die, sleep past their leases and wake up again, the store and the
//! gateways have bad times, wake-ups get lost.

use super::{
    books::Faults,
    protocol::Shared,
    world::{LEASE_SECS, Worker, World},
};
use orchestrator::store::simulated::{Fate, Trouble};
use std::time::Duration;
use tokio::time::sleep;

/// How often something is done.
const EVERY: Duration = Duration::from_secs(4);
/// How long a gateway stays as it is, at most; without answers, that much longer.
const WEATHER_MAX: Duration = Duration::from_secs(6);
const DARK: Duration = Duration::from_secs(15);

impl World {
    /// A gateway's good and bad times, until they are dropped.
    pub(super) async fn weather(&self, gateway: &Shared) {
        loop {
            let faults = Faults::drawn(&self.luck);
            *gateway.faults.lock().unwrap() = faults;
            sleep(self.luck.time(WEATHER_MAX) + if faults.dark { DARK } else { Duration::ZERO }).await;
        }
    }

    /// Goes on until it is dropped. Keeps as many workers as there were.
    pub(super) async fn sabotage(&self, workers: &mut [Worker]) {
        loop {
            self.spoil_times();
            sleep(self.luck.time(EVERY)).await;
            // somebody starts again what has died
            for worker in workers.iter_mut().filter(|worker| worker.process.fate() == Fate::Dead) {
                *worker = self.start_worker();
            }
            let victim = usize::try_from(self.luck.up_to(workers.len() as u64 - 1)).unwrap();
            match self.luck.up_to(9) {
                0..=2 => {
                    workers[victim].process.meets(Fate::Dead);
                    workers[victim] = self.start_worker();
                }
                3..=5 => self.put_to_sleep(&workers[victim]),
                6 => self.lose_a_wake_up(),
                7 => self.wake_somebody_for_nothing(),
                8 => self.stop_in_order(workers, victim).await,
                _ => {}
            }
        }
    }

    fn spoil_times(&self) {
        let bad = self.luck.strikes(500);
        let often = |per_mille: u32| if bad { per_mille } else { per_mille / 8 };
        self.store.trouble(Trouble {
            pause_max: if bad { Duration::from_millis(80) } else { Duration::from_millis(5) },
            away: often(40),
            answer_lost: often(40),
            commit_lost_before: often(60),
            commit_lost_after: often(60),
            commit_on_its_way: often(40),
            hint_lost: 200,
            ..Trouble::default()
        });
    }

    /// It stands still, perhaps for longer than its leases, and does not know it.
    fn put_to_sleep(&self, worker: &Worker) {
        let process = worker.process.clone();
        process.meets(Fate::Sleeps);
        let asleep = self.luck.time(Duration::from_secs(u64::try_from(LEASE_SECS).unwrap()) * 3);
        tokio::spawn(async move {
            sleep(asleep).await;
            process.meets(Fate::Runs);
        });
    }

    fn lose_a_wake_up(&self) {
        let mut data = self.store.committed();
        let unclaimed: Vec<_> =
            data.ready.iter().filter(|(_, ready)| ready.token.is_none()).map(|(saga, _)| *saga).collect();
        if !unclaimed.is_empty() {
            data.ready.remove(self.luck.one_of(&unclaimed));
        }
    }

    fn wake_somebody_for_nothing(&self) {
        let now = self.store.time();
        let mut data = self.store.committed();
        let all: Vec<_> = data.ready.keys().copied().collect();
        if !all.is_empty()
            && let Some(ready) = data.ready.get_mut(self.luck.one_of(&all))
        {
            ready.wake_at = now;
        }
    }

    /// As a stop that was asked for: what is in hand is handed back, and nothing is begun any more.
    async fn stop_in_order(&self, workers: &mut [Worker], victim: usize) {
        let stopping = std::mem::replace(&mut workers[victim], self.start_worker());
        drop(tokio::time::timeout(Duration::from_secs(2), stopping.engine.hand_back_all()).await);
        stopping.process.meets(Fate::Dead);
    }
}
