//! A simulated store, on a runtime whose time is paused.

use super::{Ground, Kept, Loss, WakeUp};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use orchestrator::{
    SagaId,
    action::Registry,
    definition::Definition,
    journal::Moment,
    store::{
        Stored, StoredDefinition,
        simulated::{CommitFate, Luck, Simulated, SimulatedTx},
    },
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How long a COMMIT is on its way: longer than anybody takes to come and wait for it.
const ON_ITS_WAY: Duration = Duration::from_secs(5);
/// Long enough that everybody who is to wait does.
const A_WHILE: Duration = Duration::from_secs(1);

/// What was done for whom.
pub(crate) type Effects = BTreeMap<SagaId, usize>;

/// See the module.
pub(crate) struct OnSimulated(Simulated<Effects>);

fn unless(never: Moment, at: Moment) -> Option<Moment> {
    (at != never).then_some(at)
}

#[async_trait]
impl Ground for OnSimulated {
    type Store = Simulated<Effects>;

    async fn new() -> Self {
        Self(Simulated::new(Luck::new(1)))
    }

    fn store(&self) -> Simulated<Effects> {
        self.0.another_process()
    }

    async fn frail(&self) -> Simulated<Effects> {
        self.0.another_process()
    }

    fn lose(&self, loss: Loss, times: usize) {
        let mut trouble = self.0.present_trouble();
        let fate = match loss {
            Loss::CommitBefore => CommitFate::LostBefore,
            Loss::CommitAfter => CommitFate::LostAfter,
            Loss::CommitOnItsWay => CommitFate::LostOnItsWay(ON_ITS_WAY),
            Loss::Answer => {
                trouble.next_answers_lost = u32::try_from(times).unwrap();
                return;
            }
        };
        trouble.next_commits = std::iter::repeat_n(fate, times).collect();
    }

    fn left_to_lose(&self) -> usize {
        let trouble = self.0.present_trouble();
        trouble.next_commits.len() + usize::try_from(trouble.next_answers_lost).unwrap()
    }

    async fn bring_along(&self, registry: &Arc<Registry<Self::Store>>, documents: &[String]) {
        let created_at = self.0.time();
        let mut data = self.0.committed();
        for source in documents {
            let definition = Definition::read(source, registry).unwrap();
            let name = definition.saga.clone();
            let stored = StoredDefinition {
                document: serde_json::to_value(&definition).unwrap(),
                source: source.clone(),
                digest: definition.digest().unwrap(),
                created_at,
                created_by: "test".to_owned(),
            };
            let mut versions = data.definitions.range((name.clone(), 0)..=(name.clone(), i32::MAX));
            let newest = versions.next_back().map(|((_, version), newest)| (*version, newest.digest == stored.digest));
            let version = match newest {
                Some((version, true)) => version,
                Some((version, false)) => version + 1,
                None => 1,
            };
            data.definitions.insert((name.clone(), version), stored);
            data.active.insert(name, version);
        }
    }

    async fn spoil_definition(&self, name: &str) {
        for ((of, _), stored) in &mut self.0.committed().definitions {
            if of == name {
                stored.document["fromTheFuture"] = 1.into();
            }
        }
    }

    async fn refuse(&self, text: &str) {
        self.0.committed().refused = Some(text.to_owned());
    }

    async fn end_leases(&self) {
        self.0.committed().ready.values_mut().for_each(|ready| ready.lease_until = DateTime::<Utc>::MIN_UTC);
    }

    async fn let_pass(&self, secs: i32) {
        tokio::time::sleep(Duration::from_secs(u64::try_from(secs).unwrap())).await;
    }

    async fn lose_wake_ups(&self) {
        self.0.committed().ready.clear();
    }

    async fn somebody_waits(&self) {
        tokio::time::sleep(A_WHILE).await;
    }

    async fn wake_up(&self, saga: SagaId) -> Option<WakeUp> {
        let data = self.0.committed();
        data.ready.get(&saga).map(|ready| WakeUp {
            priority: ready.priority,
            wake_at: unless(DateTime::<Utc>::MAX_UTC, ready.wake_at),
            lease_until: unless(DateTime::<Utc>::MIN_UTC, ready.lease_until),
            token: ready.token,
            claims: ready.claims,
        })
    }

    async fn open_case(&self, saga: SagaId) -> Option<String> {
        self.0.committed().cases.get(&saga).filter(|case| !case.closed).map(|case| case.cause.clone())
    }

    async fn messages(&self) -> Vec<Kept> {
        let data = self.0.committed();
        let kept = data.outbox.values().cloned().map(|row| Kept {
            message: row.message,
            due_at: row.due_at,
            attempts: row.attempts,
            dead: row.dead,
            last_error: row.last_error,
        });
        kept.collect()
    }

    async fn acts(&self, outcome: &str) -> usize {
        self.0.committed().acts.iter().filter(|act| act.outcome == outcome).count()
    }

    async fn violations(&self) -> Vec<String> {
        self.0.committed().violations()
    }

    async fn have_effect(tx: &mut SimulatedTx<Effects>, saga: SagaId) -> Stored<()> {
        *tx.business().entry(saga).or_default() += 1;
        Ok(())
    }

    async fn have_error(_: &mut SimulatedTx<Effects>) -> Stored<()> {
        Err(sqlx::Error::Decode("as the test asked".into()))
    }

    async fn effects(&self, saga: SagaId) -> usize {
        self.0.committed().business.get(&saga).copied().unwrap_or_default()
    }
}
