//! The states of a saga and the one table of legal moves between them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a saga stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// A worker owes it the next step.
    Running,
    /// For a signal, a time, a retry's turn or a breaker.
    Waiting,
    /// A person has paused it.
    Paused,
    /// It is being taken back.
    Compensating,
    /// All steps are done.
    Completed,
    /// All that was done is taken back.
    Compensated,
    /// It needs a person.
    Stuck,
    /// A person has stopped it; nothing was taken back.
    Killed,
}

/// What moves a saga from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// A step is attempted, or was done.
    Proceeds,
    /// A step must wait.
    Waits,
    /// What was done is to be taken back.
    Compensates,
    /// Nothing helps but a person.
    Sticks,
    /// A person has it tried again, forward.
    RetriedForward,
    /// A person has it tried again, backward.
    RetriedBackward,
    /// The last step is done.
    Completes,
    /// The last compensation is done.
    Undone,
    /// A person holds it up.
    Pauses,
    /// It goes on after a pause, forward.
    ResumedForward,
    /// It goes on after a pause, backward.
    ResumedBackward,
    /// A person stops it.
    Killed,
}

/// A move that is not in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a saga that is {state} cannot move by {event:?}")]
pub struct IllegalTransition {
    /// Where it stands.
    pub state: State,
    /// What was asked of it.
    pub event: Event,
}

impl State {
    /// Every state, in the order in which a reader meets them.
    pub const ALL: [Self; 8] = [
        Self::Running,
        Self::Waiting,
        Self::Paused,
        Self::Compensating,
        Self::Completed,
        Self::Compensated,
        Self::Stuck,
        Self::Killed,
    ];

    /// Where `event` leads.
    ///
    /// # Errors
    /// [`IllegalTransition`] for a move that does not exist.
    pub fn on(self, event: Event) -> Result<Self, IllegalTransition> {
        use Event as E;
        use State as S;
        match (self, event) {
            (S::Running | S::Waiting, E::Proceeds) => Ok(S::Running),
            (S::Running | S::Waiting, E::Waits) => Ok(S::Waiting),
            (S::Running | S::Waiting | S::Stuck, E::Compensates) => Ok(S::Compensating),
            (S::Running | S::Waiting, E::Sticks) => Ok(S::Stuck),
            (S::Running | S::Waiting, E::Completes) => Ok(S::Completed),
            (S::Running | S::Waiting | S::Stuck, E::RetriedForward) => Ok(S::Running),
            (S::Compensating, E::Proceeds | E::Waits | E::RetriedBackward) => Ok(S::Compensating),
            (S::Compensating, E::Sticks) => Ok(S::Stuck),
            (S::Compensating, E::Undone) => Ok(S::Compensated),
            (S::Stuck, E::RetriedBackward) => Ok(S::Compensating),
            (S::Running | S::Waiting | S::Compensating, E::Pauses) => Ok(S::Paused),
            // what was on its way when it was paused comes to its end
            (S::Paused, E::Proceeds | E::Waits) => Ok(S::Paused),
            (S::Paused, E::Sticks) => Ok(S::Stuck),
            (S::Paused, E::ResumedForward) => Ok(S::Running),
            (S::Paused, E::ResumedBackward) => Ok(S::Compensating),
            (S::Running | S::Waiting | S::Paused | S::Compensating | S::Stuck, E::Killed) => Ok(S::Killed),
            (state, event) => Err(IllegalTransition { state, event }),
        }
    }

    /// Nothing will happen to it any more.
    #[must_use]
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::Compensated | Self::Killed)
    }

    /// As it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Compensating => "compensating",
            Self::Completed => "completed",
            Self::Compensated => "compensated",
            Self::Stuck => "stuck",
            Self::Killed => "killed",
        }
    }

    /// The state with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 12] = [
        Self::Proceeds,
        Self::Waits,
        Self::Compensates,
        Self::Sticks,
        Self::RetriedForward,
        Self::RetriedBackward,
        Self::Completes,
        Self::Undone,
        Self::Pauses,
        Self::ResumedForward,
        Self::ResumedBackward,
        Self::Killed,
    ];
}

#[cfg(test)]
mod tests {
    use super::{Event, State};
    use std::fmt::Write;

    /// The table as a Mermaid diagram.
    fn diagram() -> String {
        let mut text = String::from(
            "# State machines\n\nDrawn from the code by a test; do not edit by hand \
             (`UPDATE_DOCS=1 cargo test -p orchestrator diagram` redraws it).\n\n\
             ## Saga\n\n```mermaid\nstateDiagram-v2\n    [*] --> running\n",
        );
        for state in State::ALL {
            for event in Event::ALL {
                if let Ok(next) = state.on(event) {
                    writeln!(text, "    {state} --> {next} : {event:?}").unwrap();
                }
            }
            if state.is_finished() {
                writeln!(text, "    {state} --> [*]").unwrap();
            }
        }
        text.push_str("```\n");
        text
    }

    #[test]
    fn the_diagram_in_the_docs_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/state-machines.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, diagram()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), diagram(), "run with UPDATE_DOCS=1 and look at the picture");
    }

    #[test]
    fn finished_means_that_nothing_moves() {
        for state in State::ALL {
            let moves = Event::ALL.into_iter().filter(|event| state.on(*event).is_ok()).count();
            assert_eq!(state.is_finished(), moves == 0, "{state}");
        }
    }
}
