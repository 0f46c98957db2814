//! The journals of all sagas as server-sent events, from now on.

use super::{show::JournalEntry, streams};
use crate::{
    auth::Caller,
    page,
    problem::Problem,
    query::{Nothing, StrictQuery},
    state::ApiState,
};
use axum::{
    extract::State,
    http::HeaderMap,
    response::{Response, sse::Event},
};
use orchestrator::{
    ids::SagaId,
    view::{Happened, Place},
};
use serde::Serialize;
use std::collections::BTreeSet;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

/// The name of this list in cursors.
const LIST: &str = "events of all sagas";
/// How many entries one look takes.
const ENTRIES_MAX: u16 = 1_000;

/// One thing that happened to a saga.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SagaEvent {
    #[schema(value_type = String)]
    saga_id: SagaId,
    #[serde(flatten)]
    entry: JournalEntry,
}

/// What one client has been told.
struct Told {
    /// The last place of all that it was told of.
    last: Place,
    /// Where else it was told of an entry, as far back as others may still appear.
    before: BTreeSet<Place>,
    /// There is more than one look could take.
    behind: bool,
}

impl Told {
    /// Everything up to a place, of which this is what is visible.
    fn up_to(last: Place, visible: &[Happened]) -> Self {
        let before = visible.iter().map(Happened::place).filter(|place| *place <= last).collect();
        Self { last, before, behind: false }
    }

    /// Behind which place to look: some before the last may have appeared only now.
    fn look_behind(&self) -> Place {
        if self.behind { self.last } else { self.last.may_still_appear() }
    }

    /// Of what was found, what is news, each with the place that the client will name when it comes again.
    fn news(&mut self, found: Vec<Happened>) -> Vec<(Place, Happened)> {
        self.behind = found.len() >= usize::from(ENTRIES_MAX);
        let mut news = Vec::new();
        for happened in found {
            let place = happened.place();
            if self.before.insert(place) {
                self.last = self.last.max(place);
                news.push((self.last, happened));
            }
        }
        self.before = self.before.split_off(&self.last.may_still_appear());
        news
    }
}

struct Follow {
    state: ApiState,
    told: Told,
    redacted: bool,
    polls: u32,
    _permit: OwnedSemaphorePermit,
}

/// What happens to all sagas as server-sent events, one per journal entry, `id` an opaque cursor: from now, or what
/// follows `Last-Event-ID`.
#[utoipa::path(get, path = "/sagas/events", tag = "sagas", operation_id = "followSagas",
    params(("last-event-id" = Option<String>, Header)),
    responses((status = 200, body = SagaEvent, content_type = "text/event-stream")))]
pub(crate) async fn follow_all(
    State(state): State<ApiState>,
    caller: Caller,
    StrictQuery(Nothing {}): StrictQuery<Nothing>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = match page::decode(LIST, streams::last_event_id(&headers))? {
        Some(place) => place,
        None => state.engine.place_now().await?,
    };
    let permit = streams::admit(&state)?;
    let visible = state.engine.happened_after(last.may_still_appear(), ENTRIES_MAX).await?;
    let told = Told::up_to(last, &visible);
    let follow = Follow { state, told, redacted: caller.sees_redacted(), polls: 0, _permit: permit };
    Ok(streams::answer(follow, next))
}

async fn next(mut follow: Follow) -> Option<(Vec<Event>, Option<Follow>)> {
    if !follow.told.behind {
        streams::pause(&follow.state, &mut follow.polls).await?;
    }
    let found = match follow.state.engine.happened_after(follow.told.look_behind(), ENTRIES_MAX).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "A stream of all sagas ends: {error}");
            return None;
        }
    };
    let redacted = follow.redacted;
    let event = |(place, happened): (Place, Happened)| {
        let entry = JournalEntry::of(&happened.recorded, redacted);
        let body = SagaEvent { saga_id: happened.saga_id, entry };
        Event::default().id(page::encode(LIST, &place)).event("entry").json_data(body).ok()
    };
    let events = follow.told.news(found).into_iter().filter_map(event).collect();
    Some((events, Some(follow)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, TimeDelta, Utc};
    use orchestrator::{
        ids::Uuid,
        journal::{Entry, Recorded},
    };

    fn begun() -> DateTime<Utc> {
        "2026-12-31T20:00:00Z".parse().unwrap()
    }

    fn happened(millis: i64, saga: u128) -> Happened {
        let entry = Entry::Signalled { name: "x".into(), payload: serde_json::Value::Null, by: "t".into() };
        let at = begun() + TimeDelta::milliseconds(millis);
        Happened { saga_id: SagaId(Uuid::from_u128(saga)), recorded: Recorded { seq: 1, at, entry } }
    }

    fn sagas(news: &[(Place, Happened)]) -> Vec<u128> {
        news.iter().map(|(_, happened)| happened.saga_id.0.as_u128()).collect()
    }

    #[test]
    fn what_appears_late_is_told_once() {
        let last = Place { at: begun(), saga_id: SagaId(Uuid::max()), seq: i64::MAX };
        let mut told = Told::up_to(last, &[happened(-100, 1), happened(5, 2)]);
        assert_eq!(sagas(&told.news(vec![happened(-100, 1), happened(-50, 3), happened(5, 2)])), [3, 2]);
        assert_eq!(sagas(&told.news(vec![happened(-100, 1), happened(-50, 3), happened(5, 2)])), [0_u128; 0]);
        let late = told.news(vec![happened(1, 4)]);
        assert_eq!(sagas(&late), [4]);
        assert_eq!(late[0].0, happened(5, 2).place(), "an id never goes back");
        assert_eq!(sagas(&told.news(vec![happened(60_000, 5)])), [5]);
        assert!(told.before.len() == 1, "what nobody can be told again is forgotten");
    }
}
