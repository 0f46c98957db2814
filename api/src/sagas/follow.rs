//! One saga's journal as server-sent events: what happened first, then what happens.

use super::{show::JournalEntry, streams};
use crate::{
    auth::Caller,
    problem::Problem,
    query::{Nothing, StrictPath, StrictQuery},
    state::ApiState,
};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response, sse::Event},
};
use orchestrator::{
    ids::SagaId,
    journal::{Entry, Recorded},
};
use tokio::sync::OwnedSemaphorePermit;

/// What is being followed.
struct Follow {
    state: ApiState,
    saga: SagaId,
    /// The last entry that was sent.
    seq: i64,
    redacted: bool,
    polls: u32,
    _permit: OwnedSemaphorePermit,
}

/// The journal as server-sent events, one per entry, `id` its `seq`: the history, or what follows
/// `Last-Event-ID`, then what happens. It ends when the saga is finished; who asks again then, gets 204.
#[utoipa::path(get, path = "/sagas/{id}/events", tag = "sagas", operation_id = "followSaga",
    params(("id" = String, Path), ("last-event-id" = Option<i64>, Header)),
    responses((status = 200, body = String, content_type = "text/event-stream"),
        (status = 204, description = "It is finished, and nothing follows")))]
pub(crate) async fn follow(
    State(state): State<ApiState>,
    caller: Caller,
    StrictPath(saga): StrictPath<SagaId>,
    StrictQuery(Nothing {}): StrictQuery<Nothing>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let view = state.engine.saga(saga).await?.ok_or_else(|| Problem::not_found("saga"))?;
    let seq = streams::last_event_id(&headers).and_then(|id| id.parse().ok()).unwrap_or(0);
    if view.run.state.is_finished() && seq >= view.run.seq {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let permit = streams::admit(&state)?;
    let follow = Follow { state, saga, seq, redacted: caller.sees_redacted(), polls: 0, _permit: permit };
    Ok(streams::answer(follow, next))
}

/// What is new, and what to look for after it; nothing when the stream ends.
async fn next(mut follow: Follow) -> Option<(Vec<Event>, Option<Follow>)> {
    streams::pause(&follow.state, &mut follow.polls).await?;
    let journal = match follow.state.engine.journal_after(follow.saga, follow.seq).await {
        Ok(journal) => journal,
        Err(error) => {
            tracing::warn!(saga.id = %follow.saga, %error, "A stream of {} ends: {error}", follow.saga);
            return None;
        }
    };
    let events = journal.iter().filter_map(|recorded| event(recorded, follow.redacted)).collect();
    follow.seq = journal.last().map_or(follow.seq, |last| last.seq);
    let over = journal.iter().any(|recorded| ends(&recorded.entry));
    Some((events, (!over).then_some(follow)))
}

fn event(recorded: &Recorded, redacted: bool) -> Option<Event> {
    let entry = JournalEntry::of(recorded, redacted);
    Event::default().id(recorded.seq.to_string()).event("entry").json_data(entry).ok()
}

/// Whether nothing happens to a saga after this.
fn ends(entry: &Entry) -> bool {
    matches!(entry, Entry::Completed | Entry::Compensated | Entry::Killed)
}
