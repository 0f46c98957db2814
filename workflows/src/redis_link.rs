//! The one connection of a process to Redis, as all use it who keep something there. Nothing that must be true is only
//! there: Redis may be down, empty, cut off, hanging or slow at any time. Each call has a short time, and after a few
//! failures in a row nobody asks for a moment (`redis_link/breaker.rs`).

mod breaker;
mod connection;

use breaker::{Breaker, Change};
use connection::Connection;
use redis::{Cmd, FromRedisValue, RedisError, ScriptInvocation};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// The longest that one call may take.
const CALL_TIMEOUT: Duration = Duration::from_millis(100);

/// Why Redis could not be asked. Never a reason to refuse anybody.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address is not one.
    #[error("`{address}` is not the address of a Redis")]
    Address {
        /// What was given, without its password.
        address: String,
        /// Why.
        #[source]
        source: RedisError,
    },
    /// There is none, or it failed so often just now that it is left alone for a moment.
    #[error("Redis is not asked at the moment")]
    Away,
    /// No answer in time.
    #[error("Redis has not answered in time")]
    Slow,
    /// It refused, or the connection broke.
    #[error("Redis could not be asked")]
    Failed(#[from] RedisError),
}

impl LinkError {
    /// What became of the call, in a word.
    #[must_use]
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Address { .. } | Self::Away => "away",
            Self::Slow => "slow",
            Self::Failed(_) => "failed",
        }
    }
}

/// Redis, or none. A clone is the same.
#[derive(Clone)]
pub struct RedisLink(Option<Arc<Inner>>);

struct Inner {
    connection: Connection,
    breaker: Breaker,
    timeout: Duration,
}

impl RedisLink {
    /// For an address (`redis://`, `rediss://`, `unix://`; several with commas: a cluster). Connects when first
    /// asked, so that a Redis that is down at start is no obstacle. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// [`LinkError::Address`].
    pub fn new(address: &str) -> Result<Self, LinkError> {
        Self::patient(address, CALL_TIMEOUT)
    }

    /// The same, but a call may take so long.
    ///
    /// # Errors
    /// [`LinkError::Address`].
    pub fn patient(address: &str, timeout: Duration) -> Result<Self, LinkError> {
        let connection = Connection::new(address, timeout)?;
        Ok(Self(Some(Arc::new(Inner { connection, breaker: Breaker::default(), timeout }))))
    }

    /// None.
    #[must_use]
    pub fn absent() -> Self {
        Self(None)
    }

    /// Whether there is none to be told anything.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.0.is_none()
    }

    /// Whether Redis answers, for readiness.
    pub async fn answers(&self) -> bool {
        self.command::<String>(&redis::cmd("PING")).await.is_ok()
    }

    /// Calls a script.
    pub(crate) async fn script<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, LinkError> {
        self.ask(|mut connection| async move { connection.script(call).await }).await
    }

    /// Calls a command.
    pub(crate) async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, LinkError> {
        self.ask(|mut connection| async move { connection.command(command).await }).await
    }

    /// One call, within its time, behind the breaker.
    async fn ask<T, F>(&self, call: impl FnOnce(Connection) -> F) -> Result<T, LinkError>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let inner = self.0.as_ref().ok_or(LinkError::Away)?;
        if !inner.breaker.admits(Instant::now()) {
            return Err(LinkError::Away);
        }
        let answer = match tokio::time::timeout(inner.timeout, call(inner.connection.clone())).await {
            Ok(answer) => answer.map_err(LinkError::Failed),
            Err(_) => Err(LinkError::Slow),
        };
        let change = inner.breaker.record(answer.is_ok(), Instant::now());
        tell(change, answer.as_ref().err());
        answer
    }
}

/// Says that Redis is gone, and that it is back: once each, however many ask.
fn tell(change: Option<Change>, error: Option<&LinkError>) {
    match (change, error) {
        (Some(Change::Opened), Some(error)) => {
            let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
            tracing::warn!(error = cause, "Redis is away, and PostgreSQL alone decides, more slowly: {cause}");
        }
        (Some(Change::Closed), _) => tracing::info!("Redis is back"),
        _ => {}
    }
}
