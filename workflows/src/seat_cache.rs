//! What Redis knows of the seats. It absorbs the crowd and decides nothing: whoever finds a seat taken here is
//! answered without touching Postgres, and whoever gets it here still has to get it there.
//!
//! A seat is one key, `{evt_…}:seat:<seatId>`; an event's keys share a hash tag, so that a script sees them all
//! on one node of a cluster. Its value is `version|kind|owner`: the version is the row's in Postgres, so a
//! message that comes late is known as late. Every key ends by itself.
//!
//! Redis may be down, empty, cut off, hanging or slow at any time. Each call has a short time, and after a few
//! failures in a row nobody asks for a moment (`seat_cache/breaker.rs`).

mod breaker;
mod connection;

use crate::ids::{EventId, HoldId};
use breaker::{Breaker, Change};
use connection::Connection;
use redis::Script;
use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

/// How long a seat stays taken here before Postgres has committed it.
pub const PROVISIONAL_TTL: Duration = Duration::from_secs(5);
/// How long a free seat's version is remembered, to know late messages by.
pub const FREE_TTL: Duration = Duration::from_secs(60);
/// How long a sold seat is kept; warming renews it.
pub const SOLD_TTL: Duration = Duration::from_secs(86_400);
/// How long an event counts as warmed.
pub const WARM_TTL: Duration = Duration::from_secs(6 * 3_600);
/// The longest that one call may take.
pub const CALL_TIMEOUT: Duration = Duration::from_millis(100);
/// Seats in one script call.
const SEATS_PER_CALL_MAX: usize = 500;

/// Why Redis could not be asked. Never a reason to refuse anybody: Postgres decides.
#[derive(Debug, thiserror::Error)]
pub enum SeatCacheError {
    /// The address is not one.
    #[error("`{address}` is not the address of a Redis")]
    Address {
        /// What was given, without its password.
        address: String,
        /// Why.
        #[source]
        source: redis::RedisError,
    },
    /// There is none, or it failed so often just now that it is left alone for a moment.
    #[error("Redis is not asked at the moment")]
    Away,
    /// No answer in time.
    #[error("Redis has not answered within {} ms", CALL_TIMEOUT.as_millis())]
    Slow,
    /// It refused, or the connection broke.
    #[error("Redis could not be asked")]
    Failed(#[from] redis::RedisError),
}

/// What came of asking for seats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// All are ours for [`PROVISIONAL_TTL`].
    All,
    /// None is; these are somebody else's.
    Unavailable(Vec<String>),
}

/// What came of asking for seats, and whether this Redis has been told of the event's seats at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Take {
    /// What came of it.
    pub taken: Taken,
    /// The event's marker is missing: Redis was flushed, or is new.
    pub cold: bool,
}

/// How a seat stands in Postgres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatState {
    /// Which.
    pub seat_id: String,
    /// The row's version.
    pub version: i64,
    /// How it stands.
    pub standing: Standing,
}

/// Free, held or sold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Anybody's.
    Free,
    /// Somebody's for a while.
    Held {
        /// Whose.
        by: HoldId,
        /// For how long from now, by the database's clock.
        for_ms: i64,
    },
    /// An order's.
    Sold,
}

/// Redis, as far as seats go. Cheap to clone.
#[derive(Clone)]
pub struct SeatCache(Option<Arc<Inner>>);

struct Inner {
    connection: Connection,
    breaker: Breaker,
}

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("seat_cache/take.lua")));
static LET_GO: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("seat_cache/let_go.lua")));
static MIRROR: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("seat_cache/mirror.lua")));

impl SeatCache {
    /// For an address (`redis://`, `rediss://`, `unix://`; several with commas: a cluster). Connects when first
    /// asked, so that a Redis that is down at start is no obstacle. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// [`SeatCacheError::Address`].
    pub fn new(address: &str) -> Result<Self, SeatCacheError> {
        let connection = Connection::new(address)?;
        Ok(Self(Some(Arc::new(Inner { connection, breaker: Breaker::default() }))))
    }

    /// None: everything goes through Postgres.
    #[must_use]
    pub fn absent() -> Self {
        Self(None)
    }

    /// Whether there is none to be told anything.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.0.is_none()
    }

    /// Takes all the seats for this hold or none. Those that the hold has already stay its own.
    ///
    /// # Errors
    /// [`SeatCacheError`]: Redis is no help now.
    pub async fn take(&self, event: EventId, hold: HoldId, seats: &[String]) -> Result<Take, SeatCacheError> {
        let mut call = TAKE.prepare_invoke();
        call.key(warm_key(event));
        for seat in seats {
            call.key(seat_key(event, seat));
        }
        call.arg(hold.to_string()).arg(millis(PROVISIONAL_TTL));
        let (warm, positions): (i64, Vec<usize>) = self.invoke(&call).await?;
        let unavailable: Vec<String> =
            positions.into_iter().filter_map(|at| seats.get(at.wrapping_sub(1)).cloned()).collect();
        let taken = if unavailable.is_empty() { Taken::All } else { Taken::Unavailable(unavailable) };
        Ok(Take { taken, cold: warm == 0 })
    }

    /// Gives back what [`Self::take`] took and Postgres refused.
    ///
    /// # Errors
    /// [`SeatCacheError`]: the keys end by themselves soon.
    pub async fn let_go(&self, event: EventId, hold: HoldId, seats: &[String]) -> Result<(), SeatCacheError> {
        let mut call = LET_GO.prepare_invoke();
        for seat in seats {
            call.key(seat_key(event, seat));
        }
        call.arg(hold.to_string()).arg(millis(FREE_TTL));
        self.invoke(&call).await
    }

    /// Tells how seats stand in Postgres. What is older than what is known already is passed over.
    ///
    /// # Errors
    /// [`SeatCacheError`]: some of it may have been told.
    pub async fn mirror(&self, event: EventId, states: &[SeatState]) -> Result<(), SeatCacheError> {
        for chunk in states.chunks(SEATS_PER_CALL_MAX) {
            let mut call = MIRROR.prepare_invoke();
            for state in chunk {
                call.key(seat_key(event, &state.seat_id));
                let (kind, owner, ttl_ms) = match &state.standing {
                    Standing::Held { by, for_ms } if *for_ms > 0 => ("h", by.to_string(), *for_ms),
                    Standing::Sold => ("s", String::new(), millis(SOLD_TTL)),
                    Standing::Free | Standing::Held { .. } => ("f", String::new(), millis(FREE_TTL)),
                };
                call.arg(state.version).arg(kind).arg(owner).arg(ttl_ms);
            }
            let () = self.invoke(&call).await?;
        }
        Ok(())
    }

    /// Marks an event as told of.
    ///
    /// # Errors
    /// [`SeatCacheError`].
    pub async fn mark_warm(&self, event: EventId) -> Result<(), SeatCacheError> {
        let mut command = redis::cmd("SET");
        command.arg(warm_key(event)).arg("1").arg("PX").arg(millis(WARM_TTL));
        self.ask(|mut connection| async move { connection.command(&command).await }).await
    }

    /// Whether an event has been told of.
    ///
    /// # Errors
    /// [`SeatCacheError`].
    pub async fn is_warm(&self, event: EventId) -> Result<bool, SeatCacheError> {
        let mut command = redis::cmd("EXISTS");
        command.arg(warm_key(event));
        self.ask(|mut connection| async move { connection.command(&command).await }).await
    }

    /// Whether Redis answers, for readiness.
    pub async fn answers(&self) -> bool {
        let command = redis::cmd("PING");
        let pong: Result<String, _> =
            self.ask(|mut connection| async move { connection.command(&command).await }).await;
        pong.is_ok()
    }

    async fn invoke<T: redis::FromRedisValue>(&self, call: &redis::ScriptInvocation<'_>) -> Result<T, SeatCacheError> {
        self.ask(|mut connection| async move { connection.script(call).await }).await
    }

    /// One call, within its time, behind the breaker.
    async fn ask<T, F>(&self, call: impl FnOnce(Connection) -> F) -> Result<T, SeatCacheError>
    where
        F: Future<Output = Result<T, redis::RedisError>>,
    {
        let inner = self.0.as_ref().ok_or(SeatCacheError::Away)?;
        let count = |outcome| metrics::counter!("showrunner_seat_cache_calls_total", "outcome" => outcome).increment(1);
        if !inner.breaker.admits(tokio::time::Instant::now()) {
            count("away");
            return Err(SeatCacheError::Away);
        }
        let (answer, outcome) = match tokio::time::timeout(CALL_TIMEOUT, call(inner.connection.clone())).await {
            Ok(Ok(answer)) => (Ok(answer), "answered"),
            Ok(Err(error)) => (Err(SeatCacheError::Failed(error)), "failed"),
            Err(_) => (Err(SeatCacheError::Slow), "slow"),
        };
        count(outcome);
        let change = inner.breaker.record(answer.is_ok(), tokio::time::Instant::now());
        tell(change, answer.as_ref().err());
        answer
    }
}

/// Says that Redis is gone, and that it is back: once each, however many ask.
fn tell(change: Option<Change>, error: Option<&SeatCacheError>) {
    match (change, error) {
        (Some(Change::Opened), Some(error)) => {
            let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
            tracing::warn!(error = cause, "Redis is away, and PostgreSQL alone decides, more slowly: {cause}");
        }
        (Some(Change::Closed), _) => tracing::info!("Redis is back"),
        _ => {}
    }
}

fn seat_key(event: EventId, seat: &str) -> String {
    format!("{{{event}}}:seat:{seat}")
}

fn warm_key(event: EventId) -> String {
    format!("{{{event}}}:warm")
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
