//! The states of an approval and the one table of legal moves between them.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// How far the consent of a second person has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ApprovalState {
    /// Nobody has decided.
    Requested,
    /// Somebody has consented.
    Approved,
    /// Somebody has refused.
    Rejected,
    /// Nobody has decided in time.
    Expired,
    /// What was asked for is no longer what would be done.
    Void,
}

/// What moves an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApprovalEvent {
    /// A second person consents.
    Approved,
    /// A second person refuses.
    Rejected,
    /// The time is over.
    Expired,
    /// What was asked for has changed, or is done without.
    Changed,
}

impl ApprovalEvent {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Approved, Self::Rejected, Self::Expired, Self::Changed];
}

/// A move that is not in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an approval that is {state} cannot move by {event:?}")]
pub struct IllegalApprovalTransition {
    /// Where it stands.
    pub state: ApprovalState,
    /// What was asked of it.
    pub event: ApprovalEvent,
}

impl ApprovalState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Requested, Self::Approved, Self::Rejected, Self::Expired, Self::Void];

    /// Where `event` takes it.
    ///
    /// # Errors
    /// [`IllegalApprovalTransition`] when the table has no such move.
    pub fn on(self, event: ApprovalEvent) -> Result<Self, IllegalApprovalTransition> {
        use ApprovalEvent as E;
        match (self, event) {
            (Self::Requested, E::Approved) => Ok(Self::Approved),
            (Self::Requested, E::Rejected) => Ok(Self::Rejected),
            (Self::Requested, E::Expired) => Ok(Self::Expired),
            (Self::Requested, E::Changed) => Ok(Self::Void),
            (Self::Approved, E::Changed) => Ok(Self::Void),
            (state, event) => Err(IllegalApprovalTransition { state, event }),
        }
    }

    /// As it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Void => "void",
        }
    }
}

impl fmt::Display for ApprovalState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an approval's state")]
pub struct NotAnApprovalState(pub String);

impl FromStr for ApprovalState {
    type Err = NotAnApprovalState;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| NotAnApprovalState(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    /// The table as a Mermaid diagram.
    fn diagram() -> String {
        let mut text = String::from(
            "# The states of an approval\n\nDrawn from the code by a test; do not edit by hand \
             (`UPDATE_DOCS=1 cargo test -p workflows diagram` redraws it).\n\n\
             ```mermaid\nstateDiagram-v2\n    [*] --> requested\n",
        );
        for state in ApprovalState::ALL {
            for event in ApprovalEvent::ALL {
                if let Ok(next) = state.on(event) {
                    writeln!(text, "    {state} --> {next} : {event:?}").unwrap();
                }
            }
            if ApprovalEvent::ALL.into_iter().all(|event| state.on(event).is_err()) {
                writeln!(text, "    {state} --> [*]").unwrap();
            }
        }
        text.push_str("```\n");
        text
    }

    #[test]
    fn the_diagram_in_the_docs_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/approval-states.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, diagram()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), diagram(), "run with UPDATE_DOCS=1 and look at the picture");
    }

    #[test]
    fn what_was_decided_is_not_decided_again() {
        for state in [ApprovalState::Approved, ApprovalState::Rejected, ApprovalState::Expired, ApprovalState::Void] {
            for event in [ApprovalEvent::Approved, ApprovalEvent::Rejected, ApprovalEvent::Expired] {
                assert!(state.on(event).is_err(), "{state} by {event:?}");
            }
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for state in ApprovalState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }
}
