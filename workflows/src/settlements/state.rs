//! The states of a line and the one table of legal moves between them.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Whether there is something left to do about a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LineState {
    /// It says what our books say, or nothing that they do not say already.
    Settled,
    /// It is for a person.
    Open,
    /// Its saga was told of it, and our books do not agree yet.
    Told,
    /// A person has seen the money.
    Received,
    /// The difference was given up.
    WrittenOff,
}

/// What moves a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LineEvent {
    /// Our books say the same now, or the line has come.
    Agreed,
    /// Its saga is told.
    Told,
    /// A person has seen the money.
    Received,
    /// Two persons give the difference up.
    WrittenOff,
}

impl LineEvent {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Agreed, Self::Told, Self::Received, Self::WrittenOff];
}

/// A move that is not in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line that is {state} cannot move by {event:?}")]
pub struct IllegalLineTransition {
    /// Where it stands.
    pub state: LineState,
    /// What was asked of it.
    pub event: LineEvent,
}

impl LineState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Settled, Self::Open, Self::Told, Self::Received, Self::WrittenOff];

    /// Where `event` takes it.
    ///
    /// # Errors
    /// [`IllegalLineTransition`] when the table has no such move.
    pub fn on(self, event: LineEvent) -> Result<Self, IllegalLineTransition> {
        use LineEvent as E;
        match (self, event) {
            (Self::Open | Self::Told, E::Agreed) => Ok(Self::Settled),
            (Self::Open | Self::Told, E::Told) => Ok(Self::Told),
            (Self::Open | Self::Told, E::Received) => Ok(Self::Received),
            (Self::Open | Self::Told, E::WrittenOff) => Ok(Self::WrittenOff),
            (state, event) => Err(IllegalLineTransition { state, event }),
        }
    }

    /// As it is stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Open => "open",
            Self::Told => "told",
            Self::Received => "received",
            Self::WrittenOff => "writtenOff",
        }
    }
}

impl fmt::Display for LineState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a line's state")]
pub struct NotALineState(pub String);

impl FromStr for LineState {
    type Err = NotALineState;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or_else(|| NotALineState(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    /// The table as a Mermaid diagram.
    fn diagram() -> String {
        let mut text = String::from(
            "# The states of a settlement's line\n\nDrawn from the code by a test; do not edit by hand \
             (`UPDATE_DOCS=1 cargo test -p workflows diagram` redraws it).\n\n\
             ```mermaid\nstateDiagram-v2\n    [*] --> settled\n    [*] --> open\n",
        );
        for state in LineState::ALL {
            for event in LineEvent::ALL {
                if let Ok(next) = state.on(event) {
                    writeln!(text, "    {state} --> {next} : {event:?}").unwrap();
                }
            }
            if LineEvent::ALL.into_iter().all(|event| state.on(event).is_err()) {
                writeln!(text, "    {state} --> [*]").unwrap();
            }
        }
        text.push_str("```\n");
        text
    }

    #[test]
    fn the_diagram_in_the_docs_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/settlement-states.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, diagram()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), diagram(), "run with UPDATE_DOCS=1 and look at the picture");
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for state in LineState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }
}
