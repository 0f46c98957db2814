//! The transactional outbox: what must reach somebody else at least once, committed with what caused it.
//!
//! A message that could not be delivered rests, longer each time, and is dead after so many attempts, or at once when
//! the other side has said that it will never take it. A dead one is kept for a person, who may have it tried again.

mod dead;

pub use dead::{KeptMessage, KeptState, expire};

use crate::store::Store;
pub use crate::store::enqueue_in_tx;
use async_trait::async_trait;
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

/// Where a message goes. No kind waits for another: a mail server that hangs holds up no saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// To what is ours and near: another saga, Redis.
    Inside,
    /// To somebody else's server, which may be slow, and away for days.
    Outside,
    /// To whoever looks after us: a server that is told of what needs a person.
    Operators,
}

impl Destination {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Inside, Self::Outside, Self::Operators];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inside => "inside",
            Self::Outside => "outside",
            Self::Operators => "operators",
        }
    }

    /// After this many failed deliveries a message is dead: at another's server, after two days.
    #[must_use]
    pub const fn attempts_max(self) -> i32 {
        match self {
            Self::Inside => 30,
            Self::Outside | Self::Operators => 120,
        }
    }

    /// How long a message rests at most between two deliveries.
    const fn pause_secs_max(self) -> i32 {
        match self {
            Self::Inside => 512,
            Self::Outside | Self::Operators => 1_800,
        }
    }

    /// How long one delivery may take at all.
    const fn delivery_max(self) -> Duration {
        match self {
            Self::Inside => Duration::from_secs(20),
            Self::Outside | Self::Operators => Duration::from_secs(60),
        }
    }

    /// How long a delivery may take before another process tries it as well.
    pub(crate) const fn lease_secs(self) -> i32 {
        match self {
            Self::Inside => 30,
            Self::Outside | Self::Operators => 90,
        }
    }

    /// How long a message rests after so many failed deliveries.
    fn pause_secs(self, attempts: i32) -> i32 {
        let pause = 1_i32.checked_shl(attempts.clamp(0, 30).unsigned_abs()).unwrap_or(i32::MAX);
        pause.min(self.pause_secs_max())
    }
}

/// Something to be delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// What kind of message: `seats.changed`, `engine.signal`.
    pub topic: String,
    /// What it says. No secrets, no addresses: references.
    pub payload: Value,
    /// Where it goes.
    pub destination: Destination,
}

/// Delivers messages; may get one more than once.
#[async_trait]
pub trait Deliver: Send + Sync {
    /// Delivers one.
    ///
    /// # Errors
    /// Any error has it tried again later, save [`Refused`]. Its text is kept and logged: it holds no personal data.
    async fn deliver(&self, topic: &str, payload: &Value) -> Result<(), anyhow::Error>;

    /// Whether it can deliver to there at all. Where it cannot, messages wait.
    fn reaches(&self, _destination: Destination) -> bool {
        true
    }
}

/// The other side has said that it will never take this message: trying again by itself cannot help.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// A message that is due, taken for delivery.
#[derive(Debug, Clone, PartialEq)]
pub struct DueMessage {
    /// Which.
    pub message_id: Uuid,
    /// What it says.
    pub message: Message,
    /// Deliveries that were begun, this one included.
    pub attempts: i32,
}

/// What becomes of a message that could not be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// It is tried again after so many seconds.
    Pause(i32),
    /// It is kept for a person.
    Dead,
}

impl DueMessage {
    /// What becomes of it after this error.
    #[must_use]
    pub fn after(&self, error: &anyhow::Error) -> Rest {
        let destination = self.message.destination;
        if error.is::<Refused>() || self.attempts >= destination.attempts_max() {
            return Rest::Dead;
        }
        Rest::Pause(destination.pause_secs(self.attempts))
    }
}

/// Delivers up to `limit` messages that are due there, one after the other, and says how many there were.
///
/// # Errors
/// The database's; a failed delivery is none, it is tried again.
pub async fn dispatch_due<S: Store>(
    store: &S,
    deliver: &dyn Deliver,
    destination: Destination,
    limit: i64,
) -> Result<usize, sqlx::Error> {
    let due = store.due_messages(destination, limit).await?;
    let mut delivered = Vec::with_capacity(due.len());
    let longest = destination.delivery_max();
    for one in &due {
        let Message { topic, payload, .. } = &one.message;
        let delivering = tokio::time::timeout(longest, deliver.deliver(topic, payload));
        match delivering.await.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {longest:?}"))) {
            Ok(()) => delivered.push(one.message_id),
            Err(error) => {
                let rest = one.after(&error);
                tracing::warn!(
                    message.id = %one.message_id, topic, attempts = one.attempts, dead = rest == Rest::Dead,
                    error = %error, "A message could not be delivered: {error}"
                );
                store.postpone(one, rest, &error.to_string()).await?;
            }
        }
    }
    if !delivered.is_empty() {
        store.delivered(&delivered).await?;
    }
    Ok(due.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(destination: Destination, attempts: i32) -> DueMessage {
        let message = Message { topic: "test".to_owned(), payload: Value::Null, destination };
        DueMessage { message_id: Uuid::nil(), message, attempts }
    }

    #[test]
    fn what_was_refused_is_dead_at_once_and_what_failed_rests_longer_each_time() {
        for destination in Destination::ALL {
            let refused = anyhow::Error::new(Refused("no such mailbox".to_owned()));
            assert_eq!(due(destination, 1).after(&refused), Rest::Dead);
            let away = anyhow::anyhow!("away");
            let rests: Vec<_> =
                (1..=destination.attempts_max()).map(|attempts| due(destination, attempts).after(&away)).collect();
            assert_eq!(rests[..3], [Rest::Pause(2), Rest::Pause(4), Rest::Pause(8)]);
            assert_eq!(rests[rests.len() - 2..], [Rest::Pause(destination.pause_secs_max()), Rest::Dead]);
        }
    }

    #[test]
    fn a_server_outside_may_be_away_for_two_days() {
        let destination = Destination::Outside;
        let all: i32 = (1..destination.attempts_max()).map(|attempts| destination.pause_secs(attempts)).sum();
        assert!((172_800..259_200).contains(&all), "{all} s");
    }

    #[test]
    fn a_delivery_ends_before_another_process_tries_it() {
        for destination in Destination::ALL {
            assert!(destination.delivery_max() < Duration::from_secs(destination.lease_secs().unsigned_abs().into()));
        }
    }
}
