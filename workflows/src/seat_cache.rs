//! What Redis knows of the seats. It absorbs the crowd and decides nothing: whoever finds a seat taken here is
//! answered without touching Postgres, and whoever gets it here still has to get it there.
//!
//! A seat is one key, `{evt_…}:seat:<seatId>`; an event's keys share a hash tag, so that a script sees them all
//! on one node of a cluster. Its value is `version|kind|owner`: the version is the row's in Postgres, so a
//! message that comes late is known as late. Every key ends by itself.

use crate::{
    ids::{EventId, HoldId},
    redis_link::{LinkError, RedisLink},
};
use redis::{FromRedisValue, Script, ScriptInvocation};
use std::{sync::LazyLock, time::Duration};

/// How long a seat stays taken here before Postgres has committed it.
pub const PROVISIONAL_TTL: Duration = Duration::from_secs(5);
/// How long a free seat's version is remembered, to know late messages by.
pub const FREE_TTL: Duration = Duration::from_secs(60);
/// How long a sold seat is kept; warming renews it.
pub const SOLD_TTL: Duration = Duration::from_secs(86_400);
/// How long an event counts as warmed.
pub const WARM_TTL: Duration = Duration::from_secs(6 * 3_600);
/// Seats in one script call.
const SEATS_PER_CALL_MAX: usize = 500;

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
pub struct SeatCache(RedisLink);

static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("seat_cache/take.lua")));
static LET_GO: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("seat_cache/let_go.lua")));
static MIRROR: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("seat_cache/mirror.lua")));

impl SeatCache {
    /// On this connection.
    #[must_use]
    pub fn on(link: RedisLink) -> Self {
        Self(link)
    }

    /// None: everything goes through Postgres.
    #[must_use]
    pub fn absent() -> Self {
        Self(RedisLink::absent())
    }

    /// Whether there is none to be told anything.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.0.is_absent()
    }

    /// Takes all the seats for this hold or none. Those that the hold has already stay its own.
    ///
    /// # Errors
    /// [`LinkError`]: Redis is no help now.
    pub async fn take(&self, event: EventId, hold: HoldId, seats: &[String]) -> Result<Take, LinkError> {
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
    /// [`LinkError`]: the keys end by themselves soon.
    pub async fn let_go(&self, event: EventId, hold: HoldId, seats: &[String]) -> Result<(), LinkError> {
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
    /// [`LinkError`]: some of it may have been told.
    pub async fn mirror(&self, event: EventId, states: &[SeatState]) -> Result<(), LinkError> {
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
    /// [`LinkError`].
    pub async fn mark_warm(&self, event: EventId) -> Result<(), LinkError> {
        let mut command = redis::cmd("SET");
        command.arg(warm_key(event)).arg("1").arg("PX").arg(millis(WARM_TTL));
        counted(self.0.command(&command).await)
    }

    /// Whether an event has been told of.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn is_warm(&self, event: EventId) -> Result<bool, LinkError> {
        let mut command = redis::cmd("EXISTS");
        command.arg(warm_key(event));
        counted(self.0.command(&command).await)
    }

    /// Whether Redis answers, for readiness.
    pub async fn answers(&self) -> bool {
        self.0.answers().await
    }

    async fn invoke<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, LinkError> {
        counted(self.0.script(call).await)
    }
}

fn counted<T>(answer: Result<T, LinkError>) -> Result<T, LinkError> {
    let outcome = answer.as_ref().map_or_else(LinkError::outcome, |_| "answered");
    metrics::counter!("showrunner_seat_cache_calls_total", "outcome" => outcome).increment(1);
    answer
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
