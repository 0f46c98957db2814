//! A batch's life: one table of legal moves.

use std::{fmt, str::FromStr};

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BatchState {
    /// It is known what would be done; nothing is.
    Planned,
    /// Its acts are carried out.
    Running,
    /// No further act is carried out for now.
    Paused,
    /// Every act was carried out or refused.
    Completed,
    /// No further act is carried out.
    Aborted,
}

/// What happens to a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BatchEvent {
    /// A person begins it.
    Started,
    /// A person holds it up.
    Paused,
    /// A person lets it go on.
    Resumed,
    /// A person ends it, or too much of it fails.
    Aborted,
    /// Nothing of it is left to do.
    RanOut,
}

/// A move that a batch does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the batch is {state}")]
pub struct IllegalBatchTransition {
    /// Where it stands.
    pub state: BatchState,
    /// What came.
    pub event: BatchEvent,
}

impl BatchEvent {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Started, Self::Paused, Self::Resumed, Self::Aborted, Self::RanOut];
}

impl BatchState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Planned, Self::Running, Self::Paused, Self::Completed, Self::Aborted];

    /// Where it stands after `event`.
    ///
    /// # Errors
    /// [`IllegalBatchTransition`].
    pub fn on(self, event: BatchEvent) -> Result<Self, IllegalBatchTransition> {
        use BatchEvent as E;
        match (self, event) {
            (Self::Planned, E::Started) => Ok(Self::Running),
            (Self::Running, E::Paused) => Ok(Self::Paused),
            (Self::Paused, E::Resumed) => Ok(Self::Running),
            (Self::Running, E::Aborted) => Ok(Self::Aborted),
            (Self::Paused, E::Aborted) => Ok(Self::Aborted),
            (Self::Running, E::RanOut) => Ok(Self::Completed),
            (state, event) => Err(IllegalBatchTransition { state, event }),
        }
    }

    /// As it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Aborted => "aborted",
        }
    }
}

impl fmt::Display for BatchState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is not a batch's state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a batch's state")]
pub struct NotABatchState(String);

impl FromStr for BatchState {
    type Err = NotABatchState;

    fn from_str(text: &str) -> Result<Self, NotABatchState> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| NotABatchState(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_stays_ended_and_every_state_is_reached() {
        let mut reached = vec![BatchState::Planned];
        for state in BatchState::ALL {
            for event in BatchEvent::ALL {
                match state.on(event) {
                    Ok(next) => reached.push(next),
                    Err(refused) => assert_eq!(refused, IllegalBatchTransition { state, event }),
                }
            }
        }
        assert!(BatchState::ALL.iter().all(|state| reached.contains(state)));
        for ended in [BatchState::Completed, BatchState::Aborted] {
            assert!(BatchEvent::ALL.into_iter().all(|event| ended.on(event).is_err()), "{ended}");
        }
    }

    #[test]
    fn states_are_read_as_they_are_written() {
        for state in BatchState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        "asleep".parse::<BatchState>().unwrap_err();
    }
}
