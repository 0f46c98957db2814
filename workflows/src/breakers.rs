//! Circuit breakers, one per gateway and operation: a gateway that fails is left alone for a while, instead of being
//! asked by everybody again and again.
//!
//! They are advice. What is safe is decided elsewhere, from the journal; a breaker that is wrong, or that two
//! processes see differently, costs time and never money.

mod budget;
mod calls;
mod kept;
pub mod modes;
mod rules;
mod settings;
mod shared;
mod state;
mod surroundings;
mod window;

pub use calls::{End, Failing, Operation, Repeatable};
pub use settings::BreakerSettings;
pub use surroundings::Surroundings;

use crate::redis_link::{LinkError, RedisLink};
use chrono::{DateTime, Utc};
use kept::{Force, Forces, Kept};
use modes::{Forced, Mode};
use rules::{HALF_OPEN_WAIT_MS, Verdict};
use shared::Shared;
use state::{Event, Millis, Record};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};
use surroundings::millis;

/// How soon a call that the retry budget holds back asks again.
const RETRY_WAIT_MS: i64 = 1_000;
/// How much longer than its own time a call may take to be heard of, before it counts as lost.
const LOST_AFTER_MS: i64 = 2_000;
/// How soon whoever a person keeps away asks again.
const FORCED_WAIT_MS: i64 = 10_000;
/// How often a move is tried that others overtake.
const TRIES_MAX: u32 = 8;

/// A call that is not to be made now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    /// Why.
    pub why: Why,
    /// Behind what, in words.
    pub detail: String,
    /// When to ask again.
    pub after: Duration,
}

/// Why a call is not to be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The breaker is open.
    Open,
    /// The same call was made before, and repeated calls are as many as they may be for now.
    RetryBudget,
}

/// That a call may be made; [`GatewayBreakers::settle`] takes it back. When nobody does, because its process died, the
/// breaker finds that it is lost.
#[derive(Debug)]
#[must_use]
pub struct Pass {
    operation: Operation,
    epoch: u64,
    call: Option<String>,
    /// A person has it made, so that its end moves nothing.
    is_forced: bool,
}

/// How a breaker stands, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// `closed`, `open` or `halfOpen`.
    pub breaker: &'static str,
    /// Since when.
    pub since: DateTime<Utc>,
    /// How many calls ended within its window.
    pub calls: u32,
    /// Those of them that failed, by class.
    pub errors: BTreeMap<String, u32>,
}

/// The breakers of one gateway. A clone is the same.
#[derive(Clone)]
pub struct GatewayBreakers(Arc<Inner>);

struct Inner {
    gateway: String,
    settings: BreakerSettings,
    lease: i64,
    surroundings: Surroundings,
    kept: Mutex<Kept>,
    shared: Option<Shared>,
    /// Who moves a breaker, or tells others of it, is alone with that in this process.
    turn: tokio::sync::Mutex<()>,
    /// How far the clock that all processes share is ahead of ours.
    ahead: AtomicI64,
    /// Whether all processes know the same, as far as this one could last tell.
    is_shared: AtomicBool,
}

impl fmt::Debug for GatewayBreakers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GatewayBreakers").field(&self.0.gateway).finish()
    }
}

/// What came of trying to move a breaker.
enum Moved {
    /// It is there now.
    To(Record),
    /// Somebody has moved it before.
    Overtaken,
    /// There was no reason to.
    No,
}

impl GatewayBreakers {
    /// Those of a gateway of this name, whose calls may take so long. No other process shares them.
    #[must_use]
    pub fn alone(gateway: &str, timeout: Duration, settings: BreakerSettings, surroundings: Surroundings) -> Self {
        Self::with(None, gateway, timeout, settings, surroundings)
    }

    /// The same, shared with all processes that use this Redis, and of this process alone while it is away.
    #[must_use]
    pub fn shared(gateway: &str, timeout: Duration, settings: BreakerSettings, link: &RedisLink) -> Self {
        let shared = (!link.is_absent()).then(|| Shared::new(gateway, link.clone()));
        Self::with(shared, gateway, timeout, settings, Surroundings::default())
    }

    fn with(
        shared: Option<Shared>,
        gateway: &str,
        timeout: Duration,
        settings: BreakerSettings,
        surroundings: Surroundings,
    ) -> Self {
        Self(Arc::new(Inner {
            gateway: gateway.to_owned(),
            settings,
            lease: millis(timeout).saturating_add(LOST_AFTER_MS),
            kept: Mutex::new(Kept::new(surroundings.name(), surroundings.now())),
            surroundings,
            shared,
            turn: tokio::sync::Mutex::default(),
            ahead: AtomicI64::new(0),
            is_shared: AtomicBool::new(false),
        }))
    }

    /// Whether a call may be made. `call` is how it would be known again; calls that only ask are not.
    ///
    /// # Errors
    /// [`HeldBack`]: not now.
    pub async fn admit(&self, operation: Operation, call: Option<&Repeatable>) -> Result<Pass, HeldBack> {
        let pass = |record: Record, is_forced: bool| {
            let call = call.map(|call| call.name.clone());
            Pass { operation, epoch: record.epoch, call, is_forced }
        };
        match self.force(operation) {
            Some(Force { mode: Mode::Open, left }) => return Err(self.held_back(operation, Why::Open, left)),
            Some(_) if call.is_none_or(|call| self.is_in_budget(call)) => {
                return Ok(pass(self.kept().record(operation), true));
            }
            Some(_) => return Err(self.held_back(operation, Why::RetryBudget, RETRY_WAIT_MS)),
            None => {}
        }
        for _ in 0..TRIES_MAX {
            let record = self.kept().record(operation);
            match self.verdict(&record) {
                Verdict::Wait(wait) => return Err(self.held_back(operation, Why::Open, wait)),
                Verdict::Pass(None) if call.is_none_or(|call| self.is_in_budget(call)) => {
                    return Ok(pass(record, false));
                }
                Verdict::Pass(None) => return Err(self.held_back(operation, Why::RetryBudget, RETRY_WAIT_MS)),
                // what is half-open is held back enough already
                Verdict::Pass(Some(_)) => {
                    let begins = |record: &Record| match self.verdict(record) {
                        Verdict::Pass(event) => event,
                        Verdict::Wait(_) => None,
                    };
                    if let Moved::To(record) = self.advance(operation, begins).await {
                        return Ok(pass(record, false));
                    }
                }
            }
        }
        Err(self.held_back(operation, Why::Open, HALF_OPEN_WAIT_MS))
    }

    /// What became of the call.
    pub async fn settle(&self, pass: Pass, end: End) {
        let Pass { operation, epoch, call, is_forced } = pass;
        if let (Some(call), End::Answered | End::NotMade) = (call, end) {
            self.kept().budget.forget(&call);
        }
        if let Some(class) = window::class(end) {
            self.kept().window.count(operation, epoch, class, self.now(), &self.0.settings);
        }
        if is_forced {
            return;
        }
        let means = |record: &Record| {
            let now = self.now();
            let counted = self.kept().window.counted(operation, epoch, now, &self.0.settings);
            rules::judge(record, epoch, end, counted, now, &self.0.settings, self.0.lease)
        };
        for _ in 0..TRIES_MAX {
            let record = self.kept().record(operation);
            if means(&record).is_none() || !matches!(self.advance(operation, means).await, Moved::Overtaken) {
                return;
            }
        }
    }

    /// Tells the other processes what has happened here, and learns what has happened there.
    pub async fn exchange(&self) {
        if self.0.shared.is_some() {
            let _turn = self.0.turn.lock().await;
            // what is not told now is told next time
            drop(self.tell_all(None).await);
        }
    }

    /// Takes in what people have decided. What they open comes back as what has opened by itself does.
    pub async fn take_in(&self, forced: &[Forced]) {
        let own_now = self.0.surroundings.now();
        let ours = forced.iter().filter(|forced| forced.gateway == self.0.gateway);
        let forces: Forces = ours
            .map(|forced| {
                let ends = forced.lasts.map(|lasts| own_now.saturating_add(millis(lasts)));
                (forced.operation, (forced.mode, ends))
            })
            .collect();
        self.kept().forces = forces.clone();
        for operation in
            forces.into_iter().filter_map(|(operation, (mode, _))| (mode == Mode::Open).then_some(operation))
        {
            let until = self.now();
            let trips = |record: &Record| (record.state.name() != "open").then_some(Event::Trips { until });
            self.advance(operation, trips).await;
        }
    }

    /// Whether all processes know the same, as far as this one could last tell.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.0.is_shared.load(Ordering::Relaxed)
    }

    /// How long to stay away while calls are kept away, as far as this process knows without asking anybody.
    #[must_use]
    pub fn closed_for(&self, operation: Operation) -> Option<Duration> {
        let wait = match self.force(operation) {
            Some(Force { mode: Mode::Open, left }) => left,
            Some(_) => return None,
            None => match self.verdict(&self.kept().record(operation)) {
                Verdict::Wait(wait) => wait,
                Verdict::Pass(_) => return None,
            },
        };
        Some(self.0.surroundings.spread(wait))
    }

    /// How a breaker stands, whatever people have decided about it.
    #[must_use]
    pub fn standing(&self, operation: Operation) -> Standing {
        let kept = self.kept();
        let record = kept.record(operation);
        let (calls, errors) = kept.window.ends(operation, self.now(), &self.0.settings);
        let since = DateTime::from_timestamp_millis(record.since).unwrap_or_default();
        Standing { breaker: record.state.name(), since, calls, errors }
    }

    /// Makes the move that `decide` finds, where all can see it.
    async fn advance(&self, operation: Operation, decide: impl Fn(&Record) -> Option<Event>) -> Moved {
        let _turn = self.0.turn.lock().await;
        let before = self.kept().record(operation);
        let Some(event) = decide(&before) else { return Moved::No };
        // the rules name no move that the table has not; if they did, nothing moves
        let Ok(after) = before.on(event, self.now()) else { return Moved::No };
        match self.tell_all(Some((operation, after))).await {
            Ok(false) => return Moved::Overtaken,
            Ok(true) => {}
            // nobody else is there to be asked
            Err(_) => self.kept().put(operation, after),
        }
        self.tell(operation, before.state.name(), after.state.name());
        Moved::To(after)
    }

    /// Exchanges what this process knows, with a record that it wants to be the next one; whether it is.
    async fn tell_all(&self, proposed: Option<(Operation, Record)>) -> Result<bool, LinkError> {
        let shared = self.0.shared.as_ref().ok_or(LinkError::Away)?;
        let mut offer = self.kept().offer();
        offer.records.extend(proposed);
        let known = shared.exchange(&offer, window::first_slice(self.now(), &self.0.settings)).await;
        self.0.is_shared.store(known.is_ok(), Ordering::Relaxed);
        let known = known?;
        self.0.ahead.store(known.now.saturating_sub(self.0.surroundings.now()), Ordering::Relaxed);
        let is_written = proposed.is_some_and(|(operation, _)| known.written.iter().any(|at| at == operation.as_str()));
        for (operation, before, after) in self.kept().learn(known) {
            if !is_written {
                let (gateway, before, after) = (&self.0.gateway, before.name(), after.name());
                tracing::info!(
                    gateway.name = gateway,
                    gateway.operation = operation.as_str(),
                    "The breaker of {gateway} for {operation} was {before} here and is {after} elsewhere"
                );
            }
        }
        Ok(is_written)
    }

    /// What a person has decided, if it still holds.
    fn force(&self, operation: Operation) -> Option<Force> {
        self.kept().force(operation, self.0.surroundings.now(), FORCED_WAIT_MS)
    }

    fn verdict(&self, record: &Record) -> Verdict {
        rules::admit(record, self.now(), self.0.lease)
    }

    fn is_in_budget(&self, call: &Repeatable) -> bool {
        self.kept().budget.take(call, self.0.surroundings.now())
    }

    /// The time that records go by.
    fn now(&self) -> Millis {
        self.0.surroundings.now().saturating_add(self.0.ahead.load(Ordering::Relaxed))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held_back(&self, operation: Operation, why: Why, wait: i64) -> HeldBack {
        let gateway = &self.0.gateway;
        let (outcome, detail) = match why {
            Why::Open => ("breaker", parked_reason(gateway, operation)),
            Why::RetryBudget => {
                ("retry-budget", format!("the retry budget of {gateway} to have enough for another {operation}"))
            }
        };
        metrics::counter!(
            "showrunner_gateway_calls_held_back_total",
            "gateway" => gateway.clone(), "operation" => operation.as_str(), "why" => outcome
        )
        .increment(1);
        HeldBack { why, detail, after: self.0.surroundings.spread(wait) }
    }

    /// Says what has changed, once.
    fn tell(&self, operation: Operation, before: &str, after: &'static str) {
        if before == after {
            return;
        }
        let gateway = &self.0.gateway;
        metrics::counter!(
            "showrunner_breaker_moves_total",
            "gateway" => gateway.clone(), "operation" => operation.as_str(), "to" => after
        )
        .increment(1);
        tracing::warn!(
            gateway.name = gateway,
            gateway.operation = operation.as_str(),
            "The breaker of {gateway} for {operation} was {before} and is {after}"
        );
    }
}

/// What a saga waits for that is parked behind a breaker. Those that wait for it are counted by it.
#[must_use]
pub fn parked_reason(gateway: &str, operation: Operation) -> String {
    format!("the breaker of {gateway} for {operation} to let calls through")
}

#[cfg(test)]
mod tests;
