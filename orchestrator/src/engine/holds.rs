//! The claims that this process holds: taken, kept alive and given back.

use super::{Claimed, Engine};
use crate::{
    catalog::Known,
    execute::CLAIMS_MAX,
    ids::SagaId,
    run::Run,
    store::{Claim, ReadError, Store, Taken, Written},
};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// From this claim on, without an answer since the first, a saga is a suspect. Not earlier: what a worker had that
/// dies once goes on all at once.
const SUSPECT_CLAIMS: i32 = 3;
/// How long a suspect waits while another one is run.
const SUSPECT_PAUSE: Duration = Duration::from_millis(250);
/// How long a saga that this process cannot read is left to others.
const PUT_OFF: Duration = Duration::from_secs(30);

/// What the holder of a claim and the keeper of its lease tell each other.
#[derive(Debug)]
pub(super) struct Hold {
    lost: AtomicBool,
    /// It may be what takes its workers down.
    suspect: AtomicBool,
    /// Until when it was last extended, by this machine's steady clock and with what asking took as margin.
    until: Mutex<Instant>,
}

impl Hold {
    pub(super) fn is_surely_ours(&self, now: Instant) -> bool {
        !self.is_lost() && now < *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn extend(&self, until: Instant) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// An answer came: it was not what took its workers down.
    pub(super) fn clear(&self) {
        self.suspect.store(false, Ordering::Release);
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    pub(super) fn lose(&self) {
        self.lost.store(true, Ordering::Release);
    }
}

/// Every claim of this process. A claim whose holder has gone (it panicked, or its future was dropped) is not kept
/// alive: its lease ends.
#[derive(Debug, Default)]
pub(super) struct Holds(Mutex<HashMap<SagaId, Entry>>);

#[derive(Debug)]
struct Entry {
    token: i64,
    hold: Weak<Hold>,
}

impl Holds {
    fn entries(&self) -> MutexGuard<'_, HashMap<SagaId, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, claim: &Claim, until: Instant) -> Arc<Hold> {
        let (lost, until) = (AtomicBool::new(false), Mutex::new(until));
        let hold = Arc::new(Hold { lost, suspect: AtomicBool::new(is_suspect(claim)), until });
        let entry = Entry { token: claim.token, hold: Arc::downgrade(&hold) };
        let before = self.entries().insert(claim.saga_id, entry);
        // a claim follows another in this process only when the other's lease has ended
        if let Some(before) = before.and_then(|entry| entry.hold.upgrade()) {
            before.lose();
        }
        hold
    }

    fn remove(&self, claimed: &Claimed) {
        let mut entries = self.entries();
        if entries.get(&claimed.saga_id()).is_some_and(|entry| entry.token == claimed.token) {
            entries.remove(&claimed.saga_id());
        }
    }

    /// The claims whose holders are still there.
    fn alive(&self) -> Vec<(SagaId, i64)> {
        let mut entries = self.entries();
        entries.retain(|_, entry| entry.hold.strong_count() > 0);
        entries.iter().map(|(saga_id, entry)| (*saga_id, entry.token)).collect()
    }

    /// Takes those that are run together: everything but suspects, and one of these unless one is held already. A
    /// suspect that is none must not go down with one that is.
    fn apart(&self, claims: Vec<Claim>) -> (Vec<Claim>, Vec<Claim>) {
        let held = |entry: &Entry| entry.hold.upgrade().is_some_and(|hold| hold.suspect.load(Ordering::Acquire));
        let mut taken = claims.iter().any(is_suspect) && self.entries().values().any(held);
        claims.into_iter().partition(|claim| !is_suspect(claim) || !std::mem::replace(&mut taken, true))
    }

    fn find(&self, saga_id: SagaId, token: i64) -> Option<Arc<Hold>> {
        let entries = self.entries();
        entries.get(&saga_id).filter(|entry| entry.token == token)?.hold.upgrade()
    }

    /// All claims, whose holders must not go on.
    fn take_all(&self) -> Vec<(SagaId, i64)> {
        let taken = std::mem::take(&mut *self.entries());
        taken.values().filter_map(|entry| entry.hold.upgrade()).for_each(|hold| hold.lose());
        taken.into_iter().map(|(saga_id, entry)| (saga_id, entry.token)).collect()
    }
}

/// Whether its workers have died often enough for it to be what they died of.
fn is_suspect(claim: &Claim) -> bool {
    (SUSPECT_CLAIMS..=CLAIMS_MAX).contains(&claim.claims)
}

impl<S: Store> Engine<S> {
    /// Claims up to `limit` sagas that are due.
    ///
    /// # Errors
    /// The database's. What was claimed is then free again when its lease ends.
    pub async fn claim(&self, worker: &str, limit: usize) -> Result<Vec<Claimed>, sqlx::Error> {
        let until = self.lease_from_now();
        let Taken { claims, mut journals, now } = self.0.store.claim(worker, limit, self.0.lease_secs).await?;
        let (claims, suspects) = self.0.holds.apart(claims);
        if !suspects.is_empty() {
            self.0.store.put_off(&suspects, SUSPECT_PAUSE).await?;
        }
        self.0.clock.set(now);
        let mut claimed = Vec::with_capacity(claims.len());
        for row in claims {
            let journal = journals.remove(&row.saga_id).unwrap_or_else(|| Ok(Vec::new()));
            match self.read(row.saga_id, journal).await {
                Ok((run, known)) => {
                    let hold = self.0.holds.add(&row, until);
                    claimed.push(Claimed {
                        run: Arc::new(run),
                        known,
                        token: row.token,
                        claims: row.claims,
                        moves: 0,
                        hold,
                    });
                }
                Err(error) => {
                    // one saga that cannot be read here keeps neither the others nor other releases from work
                    tracing::error!(
                        saga.id = %row.saga_id, error = %error, "Saga {} cannot be run here: {error}", row.saga_id
                    );
                    self.0.store.put_off(&[row], PUT_OFF).await?;
                }
            }
        }
        Ok(claimed)
    }

    async fn read(
        &self,
        saga_id: SagaId,
        journal: Result<Vec<Written>, ReadError>,
    ) -> Result<(Run, Arc<Known>), anyhow::Error> {
        let journal: Vec<_> = journal?.into_iter().map(|(recorded, _)| recorded).collect();
        let run = Run::replay(saga_id, &journal)?;
        let known = self.0.catalog.get(&run.definition, run.version).await?;
        let known = known.unwrap_or_else(|| Arc::new(Known::missing(&run.definition, run.version)));
        Ok((run, known))
    }

    pub(super) fn let_go(&self, claimed: &Claimed) {
        self.0.holds.remove(claimed);
    }

    /// Extends all leases that this process holds. Claims that others have taken meanwhile are marked lost, so
    /// that no further call is made for them.
    ///
    /// # Errors
    /// The database's; leases then run on towards their end.
    pub async fn keep_leases(&self) -> Result<(), sqlx::Error> {
        let held = self.0.holds.alive();
        if held.is_empty() {
            return Ok(());
        }
        let until = self.lease_from_now();
        let ours: HashSet<_> = self.0.store.renew(&held, self.0.lease_secs).await?.into_iter().collect();
        for (saga_id, token) in held {
            match self.0.holds.find(saga_id, token) {
                Some(hold) if ours.contains(&saga_id) => hold.extend(until),
                Some(hold) => hold.lose(),
                None => {}
            }
        }
        Ok(())
    }

    fn lease_from_now(&self) -> Instant {
        Instant::now() + Duration::from_secs(u64::try_from(self.0.lease_secs).unwrap_or_default())
    }

    /// Gives claims back that nothing was done with: others take them at once.
    ///
    /// # Errors
    /// The database's; the claims then end with their leases.
    pub async fn hand_back(&self, claimed: Vec<Claimed>) -> Result<(), sqlx::Error> {
        let held: Vec<_> = claimed.iter().map(|one| (one.saga_id(), one.token)).collect();
        claimed.iter().for_each(|one| self.let_go(one));
        self.0.store.hand_back(&held).await
    }

    /// Gives everything back that this process still holds: what was in the middle of a call is then in doubt, and
    /// is looked after by others at once.
    ///
    /// # Errors
    /// The database's; the claims then end with their leases.
    pub async fn hand_back_all(&self) -> Result<(), sqlx::Error> {
        self.0.store.hand_back(&self.0.holds.take_all()).await
    }
}
