//! Circuit breakers, one per gateway and operation: a gateway that fails is left alone for a while, instead of being
//! asked by everybody again and again.
//!
//! They are advice. What is safe is decided elsewhere, from the journal; a breaker that is wrong, or that two
//! processes see differently, costs time and never money.

mod budget;
mod kept;
mod rules;
mod settings;
mod state;
mod window;

pub use settings::BreakerSettings;

use kept::Kept;
use rules::Verdict;
use serde::{Deserialize, Serialize};
use state::Millis;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Those who are held back come back spread over this, so that they do not all come at once.
const SPREAD_MS: u64 = 2_000;
/// How soon a call that the retry budget holds back asks again.
const RETRY_WAIT_MS: i64 = 1_000;
/// How much longer than its own time a call may take to be heard of, before it counts as lost.
const LOST_AFTER_MS: i64 = 2_000;

/// What a gateway is asked to do, as breakers tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// Take money, and what is made before that.
    Charge,
    /// Give money back.
    Refund,
    /// End a charge that is not captured.
    Void,
    /// Ask what became of a charge or a refund.
    Probe,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Charge, Self::Refund, Self::Void, Self::Probe];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Refund => "refund",
            Self::Void => "void",
            Self::Probe => "probe",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a call ended, as far as it tells whether the gateway is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The gateway answered. A decline is an answer.
    Answered,
    /// It did not, or not in a way that can be read.
    Failed(Failing),
    /// It turned the call away, and asks to be left alone for so long.
    Throttled(Option<Duration>),
    /// There was no call.
    NotMade,
}

/// In which way a gateway is not well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Failing {
    /// No answer in time.
    Timeout,
    /// No connection came about.
    NoConnection,
    /// The connection was lost.
    ConnectionLost,
    /// 5xx.
    ServerError,
    /// An answer that does not read.
    Unreadable,
}

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

/// That a call may be made; [`GatewayBreakers::settle`] takes it back. When nobody does, because the call was dropped,
/// the breaker finds that it is lost.
#[derive(Debug)]
#[must_use]
pub struct Pass {
    operation: Operation,
    epoch: u64,
    call: Option<String>,
}

/// The time and the chance that breakers go by.
#[derive(Clone)]
pub struct Surroundings {
    clock: Clock,
    chance: Arc<dyn Fn(u64) -> u64 + Send + Sync>,
}

#[derive(Clone)]
enum Clock {
    Machine(Instant),
    Hand(Arc<AtomicI64>),
}

impl Default for Surroundings {
    fn default() -> Self {
        let chance = Arc::new(|ceiling| rand::random_range(0..=ceiling));
        Self { clock: Clock::Machine(Instant::now()), chance }
    }
}

impl Surroundings {
    /// For tests: the clock stands where `millis` says, and nobody is spread.
    #[must_use]
    pub fn by_hand(millis: Arc<AtomicI64>) -> Self {
        Self { clock: Clock::Hand(millis), chance: Arc::new(|_| 0) }
    }

    fn now(&self) -> Millis {
        match &self.clock {
            Clock::Machine(start) => i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX),
            Clock::Hand(millis) => millis.load(Ordering::SeqCst),
        }
    }

    fn spread(&self, wait: i64) -> Duration {
        let wait = u64::try_from(wait).unwrap_or_default();
        Duration::from_millis(wait.saturating_add((self.chance)(SPREAD_MS)))
    }
}

/// How a breaker stands, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// `closed`, `open` or `halfOpen`.
    pub breaker: &'static str,
    /// How long it has been so.
    pub for_so_long: Duration,
    /// What failed within its window, by class.
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
}

impl fmt::Debug for GatewayBreakers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GatewayBreakers").field(&self.0.gateway).finish()
    }
}

impl GatewayBreakers {
    /// Those of a gateway of this name, whose calls may take so long. No other process shares them.
    #[must_use]
    pub fn alone(gateway: &str, timeout: Duration, settings: BreakerSettings, surroundings: Surroundings) -> Self {
        let now = surroundings.now();
        let lease = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX).saturating_add(LOST_AFTER_MS);
        let kept = Mutex::new(Kept::new(now));
        Self(Arc::new(Inner { gateway: gateway.to_owned(), settings, lease, surroundings, kept }))
    }

    /// Whether a call may be made. `call` is the name by which it would be known again; calls that only ask have none.
    ///
    /// # Errors
    /// [`HeldBack`]: not now.
    pub async fn admit(&self, operation: Operation, call: Option<&str>) -> Result<Pass, HeldBack> {
        let now = self.0.surroundings.now();
        let mut kept = self.kept();
        let record = kept.record(operation);
        match rules::admit(&record, now, self.0.lease) {
            Verdict::Wait(wait) => Err(self.held_back(operation, Why::Open, wait)),
            Verdict::Pass(event) => {
                // what is half-open is held back enough already
                if event.is_none() && call.is_some_and(|call| !kept.budget.take(call, now)) {
                    return Err(self.held_back(operation, Why::RetryBudget, RETRY_WAIT_MS));
                }
                let record = kept.advance(operation, event, now);
                Ok(Pass { operation, epoch: record.epoch, call: call.map(str::to_owned) })
            }
        }
    }

    /// What became of the call.
    pub async fn settle(&self, pass: Pass, end: End) {
        let Pass { operation, epoch, call } = pass;
        let now = self.0.surroundings.now();
        let settings = &self.0.settings;
        let mut kept = self.kept();
        if let (Some(call), End::Answered | End::NotMade) = (call, end) {
            kept.budget.forget(&call);
        }
        if let Some(class) = window::class(end) {
            kept.window(operation).count(now, epoch, class, settings);
        }
        let counted = kept.window(operation).counted(now, epoch, settings);
        let record = kept.record(operation);
        let event = rules::judge(&record, epoch, end, counted, now, settings, self.0.lease);
        let moved = kept.advance(operation, event, now);
        drop(kept);
        self.tell(operation, record.state.name(), moved.state.name());
    }

    /// How long to stay away while calls are kept away, as far as this process knows without asking anybody.
    #[must_use]
    pub fn closed_for(&self, operation: Operation) -> Option<Duration> {
        let now = self.0.surroundings.now();
        match rules::admit(&self.kept().record(operation), now, self.0.lease) {
            Verdict::Wait(wait) => Some(self.0.surroundings.spread(wait)),
            Verdict::Pass(_) => None,
        }
    }

    /// How a breaker stands.
    #[must_use]
    pub fn standing(&self, operation: Operation) -> Standing {
        let now = self.0.surroundings.now();
        let mut kept = self.kept();
        let record = kept.record(operation);
        Standing {
            breaker: record.state.name(),
            for_so_long: Duration::from_millis(u64::try_from(now.saturating_sub(record.since)).unwrap_or_default()),
            errors: kept.window(operation).errors(now, &self.0.settings),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held_back(&self, operation: Operation, why: Why, wait: i64) -> HeldBack {
        let gateway = &self.0.gateway;
        let outcome = match why {
            Why::Open => "breaker",
            Why::RetryBudget => "retry-budget",
        };
        metrics::counter!(
            "showrunner_gateway_calls_held_back_total",
            "gateway" => gateway.clone(), "operation" => operation.as_str(), "why" => outcome
        )
        .increment(1);
        HeldBack { why, detail: parked_reason(gateway, operation), after: self.0.surroundings.spread(wait) }
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
