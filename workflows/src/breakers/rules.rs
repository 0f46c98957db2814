//! When a breaker moves: pure functions of its record, the time, and what was counted.

use super::{
    BreakerSettings, End,
    state::{Event, Millis, Record, State},
};

/// A gateway that asks for more patience than this is asked again after it all the same.
const RETRY_AFTER_MS_MAX: i64 = 300_000;
/// Nothing is set for longer than this.
const AHEAD_MS_MAX: i64 = 86_400_000;
/// How soon whoever is held back behind a half-open breaker comes back.
pub(super) const HALF_OPEN_WAIT_MS: i64 = 250;
/// So many calls must be answered before all others are let through again.
pub(super) const RAMP_ANSWERS: u32 = 64;

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may, once this has been recorded.
    Pass(Option<Event>),
    /// Not for so long.
    Wait(i64),
}

/// Calls that were counted since the breaker is in its present state, and within its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counted {
    pub(super) calls: u32,
    pub(super) failed: u32,
}

/// Whether a call may be made. `lease` is how long nothing need be heard of a call before it counts as lost.
pub(super) fn admit(record: &Record, now: Millis, lease: i64) -> Verdict {
    let until = now.saturating_add(lease);
    match record.state {
        State::Closed => Verdict::Pass(None),
        State::Open { until: open } if is_ahead(open, now) => Verdict::Wait(open - now),
        State::Probing { until: lost } if is_ahead(lost, now) => Verdict::Wait(HALF_OPEN_WAIT_MS),
        State::Open { .. } | State::Probing { .. } => Verdict::Pass(Some(Event::ProbeBegins { until })),
        State::Ramping(ramp) if ramp.in_flight() < ramp.answered => {
            Verdict::Pass(Some(Event::CallAdmitted { until, lost: 0 }))
        }
        State::Ramping(ramp) if is_ahead(ramp.until, now) => Verdict::Wait(HALF_OPEN_WAIT_MS),
        State::Ramping(ramp) => Verdict::Pass(Some(Event::CallAdmitted { until, lost: ramp.in_flight() })),
    }
}

/// Whether that moment is still to come. One that is further ahead than any that is ever set is of a clock that was
/// wrong.
fn is_ahead(moment: Millis, now: Millis) -> bool {
    now < moment && moment.saturating_sub(now) <= AHEAD_MS_MAX
}

/// What the end of a call that was let through in `epoch` means, if it means anything.
pub(super) fn judge(
    record: &Record,
    epoch: u64,
    end: End,
    counted: Counted,
    now: Millis,
    settings: &BreakerSettings,
    lease: i64,
) -> Option<Event> {
    if record.epoch != epoch {
        return None;
    }
    let lost_at = now.saturating_add(lease);
    let trips = Event::Trips { until: now.saturating_add(i64::from(settings.open_secs) * 1_000) };
    match (record.state, end) {
        (State::Open { .. }, _) | (State::Closed, End::Answered | End::NotMade) => None,
        (_, End::Throttled(Some(asked))) => {
            let asked = i64::try_from(asked.as_millis()).unwrap_or(i64::MAX).min(RETRY_AFTER_MS_MAX);
            Some(Event::Trips { until: now.saturating_add(asked) })
        }
        (State::Closed, End::Failed(_) | End::Throttled(None)) => {
            let enough = counted.calls >= settings.minimum_calls;
            (enough && too_many(counted.failed, counted.calls, settings)).then_some(trips)
        }
        (State::Probing { .. }, End::Answered) => Some(Event::ProbeAnswered { until: lost_at }),
        (State::Probing { .. }, End::Failed(_) | End::Throttled(None)) => Some(trips),
        // the next call is the probe
        (State::Probing { .. }, End::NotMade) => Some(Event::Trips { until: now }),
        (State::Ramping(ramp), End::Answered) if ramp.answered + 1 >= RAMP_ANSWERS => Some(Event::Closes),
        (State::Ramping(_), End::Answered) => Some(Event::CallAnswered { until: lost_at }),
        (State::Ramping(_), End::NotMade) => Some(Event::CallReturned),
        (State::Ramping(ramp), End::Failed(_) | End::Throttled(None)) => {
            let failed = ramp.failed.saturating_add(1);
            let finished = ramp.answered.saturating_add(failed);
            Some(if too_many(failed, finished, settings) { trips } else { Event::CallFailed { until: lost_at } })
        }
    }
}

fn too_many(failed: u32, calls: u32, settings: &BreakerSettings) -> bool {
    u64::from(failed) * 1_000 >= u64::from(settings.failure_permille) * u64::from(calls)
}
