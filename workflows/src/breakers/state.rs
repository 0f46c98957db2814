//! The states of a breaker, and every move between them.

use serde::{Deserialize, Serialize};

/// A moment in milliseconds, of whichever clock keeps the record: this process's own, or that of Redis.
pub(super) type Millis = i64;

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub(super) enum State {
    /// Calls are made, and counted.
    Closed,
    /// No call is made until then.
    Open { until: Millis },
    /// One call is on its way, to see whether the gateway is well. When nothing is heard of it until then, it is lost,
    /// and another may try.
    Probing { until: Millis },
    /// It is well again, and calls come back as fast as it answers them.
    Ramping(Ramp),
}

/// Calls that come back: as many may be on their way as have been answered, so that their number doubles with every
/// round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ramp {
    /// Calls that were let through.
    pub(super) admitted: u32,
    /// How many of them were answered.
    pub(super) answered: u32,
    /// How many were not.
    pub(super) failed: u32,
    /// When nothing is heard of those on their way until then, they are lost.
    pub(super) until: Millis,
}

impl Ramp {
    /// After the probe was answered.
    fn begun(until: Millis) -> Self {
        Self { admitted: 1, answered: 1, failed: 0, until }
    }

    /// Calls on their way.
    pub(super) fn in_flight(self) -> u32 {
        self.admitted.saturating_sub(self.answered.saturating_add(self.failed))
    }
}

/// What moves a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// Too many calls have failed, or the gateway asks to be left alone.
    Trips { until: Millis },
    /// One call goes to see.
    ProbeBegins { until: Millis },
    /// It was answered.
    ProbeAnswered { until: Millis },
    /// A call of the ramp is let through; so many before it are given up as lost.
    CallAdmitted { until: Millis, lost: u32 },
    /// It was answered.
    CallAnswered { until: Millis },
    /// It failed, and not too many have.
    CallFailed { until: Millis },
    /// It was not made after all.
    CallReturned,
    /// Enough were answered.
    Closes,
}

/// A move that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a breaker in {state:?} has no move for {event:?}")]
pub(super) struct IllegalTransition {
    state: State,
    event: Event,
}

impl State {
    /// The one table of moves.
    pub(super) fn on(self, event: Event) -> Result<Self, IllegalTransition> {
        match (self, event) {
            (Self::Closed, Event::Trips { until }) => Ok(Self::Open { until }),
            (Self::Open { .. }, Event::ProbeBegins { until }) => Ok(Self::Probing { until }),
            (Self::Probing { .. }, Event::ProbeBegins { until }) => Ok(Self::Probing { until }),
            (Self::Probing { .. }, Event::ProbeAnswered { until }) => Ok(Self::Ramping(Ramp::begun(until))),
            (Self::Probing { .. }, Event::Trips { until }) => Ok(Self::Open { until }),
            (Self::Ramping(ramp), Event::CallAdmitted { until, lost }) => Ok(Self::Ramping(Ramp {
                admitted: ramp.admitted.saturating_sub(lost).saturating_add(1),
                until,
                ..ramp
            })),
            (Self::Ramping(ramp), Event::CallAnswered { until }) => {
                Ok(Self::Ramping(Ramp { answered: ramp.answered.saturating_add(1), until, ..ramp }))
            }
            (Self::Ramping(ramp), Event::CallFailed { until }) => {
                Ok(Self::Ramping(Ramp { failed: ramp.failed.saturating_add(1), until, ..ramp }))
            }
            (Self::Ramping(ramp), Event::CallReturned) => {
                Ok(Self::Ramping(Ramp { admitted: ramp.admitted.saturating_sub(1), ..ramp }))
            }
            (Self::Ramping(_), Event::Trips { until }) => Ok(Self::Open { until }),
            (Self::Ramping(_), Event::Closes) => Ok(Self::Closed),
            (state, event) => Err(IllegalTransition { state, event }),
        }
    }

    /// What people call it. A breaker that tries is half-open, with its first call and with those that follow.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::Probing { .. } | Self::Ramping(_) => "halfOpen",
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::Probing { .. } => "probing",
            Self::Ramping(_) => "ramping",
        }
    }
}

/// A state with what tells one stay in it from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Grows with every move: whoever moves it names the one that they saw.
    pub(super) version: u64,
    /// Grows when it is another state: a call's end says nothing about a state that did not let it through.
    pub(super) epoch: u64,
    /// Since when it is this state.
    pub(super) since: Millis,
    /// Where it stands.
    #[serde(flatten)]
    pub(super) state: State,
}

impl Record {
    /// Nothing has happened yet.
    pub(super) fn new(since: Millis) -> Self {
        Self { version: 0, epoch: 0, since, state: State::Closed }
    }

    /// After an event.
    pub(super) fn on(self, event: Event, now: Millis) -> Result<Self, IllegalTransition> {
        let state = self.state.on(event)?;
        let same = state.kind() == self.state.kind();
        Ok(Self {
            version: self.version.saturating_add(1),
            epoch: if same { self.epoch } else { self.epoch.saturating_add(1) },
            since: if same { self.since } else { now },
            state,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, fmt::Write, fs};

    const BEGIN: &str = "<!-- drawn: the states of a breaker -->\n";
    const END: &str = "<!-- /drawn -->\n";

    fn diagram() -> String {
        let ramp = Ramp { admitted: 2, answered: 1, failed: 0, until: 0 };
        let states = [State::Closed, State::Open { until: 0 }, State::Probing { until: 0 }, State::Ramping(ramp)];
        let events = [
            Event::Trips { until: 0 },
            Event::ProbeBegins { until: 0 },
            Event::ProbeAnswered { until: 0 },
            Event::CallAdmitted { until: 0, lost: 0 },
            Event::CallAnswered { until: 0 },
            Event::CallFailed { until: 0 },
            Event::CallReturned,
            Event::Closes,
        ];
        let mut lines = BTreeSet::new();
        for (from, event) in states.into_iter().flat_map(|state| events.map(|event| (state, event))) {
            if let Ok(to) = from.on(event) {
                let name = format!("{event:?}");
                let name = name.split([' ', '{']).next().unwrap_or_default();
                lines.insert(format!("    {} --> {} : {name}", from.kind(), to.kind()));
            }
        }
        let mut text = "```mermaid\nstateDiagram-v2\n    [*] --> closed\n".to_owned();
        for line in lines {
            writeln!(text, "{line}").unwrap();
        }
        text + "```\n"
    }

    #[test]
    fn the_diagram_is_what_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/breakers.md");
        let page = fs::read_to_string(path).unwrap();
        let (before, rest) = page.split_once(BEGIN).expect("docs/breakers.md has a place for the diagram");
        let (_, after) = rest.split_once(END).expect("docs/breakers.md has a place for the diagram");
        let drawn = format!("{before}{BEGIN}{}{END}{after}", diagram());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(path, drawn).unwrap();
        } else {
            assert_eq!(page, drawn, "UPDATE_DOCS=1 cargo test -p workflows the_diagram_is redraws it");
        }
    }

    #[test]
    fn a_record_says_when_it_is_another_state() {
        let open = Record::new(0).on(Event::Trips { until: 9 }, 4).unwrap();
        assert_eq!((open.version, open.epoch, open.since), (1, 1, 4));
        let probing = open.on(Event::ProbeBegins { until: 20 }, 9).unwrap();
        let again = probing.on(Event::ProbeBegins { until: 30 }, 20).unwrap();
        assert_eq!((again.version, again.epoch, again.since), (3, 2, 9));
    }

    #[test]
    fn what_is_not_in_the_table_does_not_exist() {
        assert!(Record::new(0).on(Event::ProbeAnswered { until: 1 }, 1).is_err());
        assert!(Record::new(0).on(Event::Closes, 1).is_err());
    }

    #[test]
    fn a_record_is_kept_as_json() {
        let ramping = Record {
            version: 7,
            epoch: 3,
            since: 5,
            state: State::Ramping(Ramp { admitted: 3, answered: 2, failed: 0, until: 11 }),
        };
        for record in [Record::new(0), ramping] {
            let text = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record, "{text}");
        }
    }
}
