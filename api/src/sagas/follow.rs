//! One saga's journal as server-sent events: what happened first, then what happens.

use super::show::JournalEntry;
use crate::{
    auth::Caller,
    problem::Problem,
    query::{Nothing, StrictPath, StrictQuery},
    state::ApiState,
};
use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{Stream, StreamExt, stream};
use orchestrator::ids::SagaId;
use std::{convert::Infallible, time::Duration};

/// How often the journal is looked at.
const POLL: Duration = Duration::from_millis(500);
/// How often it is looked at before the client must come again, with `Last-Event-ID`.
const POLLS_MAX: u32 = 1_200;

/// What is being followed.
struct Follow {
    state: ApiState,
    saga: SagaId,
    /// The last entry that was sent.
    seq: i64,
    redacted: bool,
    polls: u32,
}

/// The journal as server-sent events, one per entry, `id` its `seq`: the history, or what follows
/// `Last-Event-ID`, then what happens. It ends when the saga is finished.
#[utoipa::path(get, path = "/sagas/{id}/events", tag = "sagas", operation_id = "followSaga",
    params(("id" = String, Path), ("last-event-id" = Option<i64>, Header)),
    responses((status = 200, body = String, content_type = "text/event-stream")))]
pub(crate) async fn follow(
    State(state): State<ApiState>,
    caller: Caller,
    StrictPath(saga): StrictPath<SagaId>,
    StrictQuery(Nothing {}): StrictQuery<Nothing>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    state.engine.saga(saga).await?.ok_or_else(Problem::not_found)?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let follow = Follow { state, saga, seq: last.unwrap_or(0), redacted: caller.sees_redacted(), polls: 0 };
    Ok(Sse::new(events(follow)).keep_alive(KeepAlive::default()).into_response())
}

fn events(follow: Follow) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(Some(follow), |follow| async move { next(follow?).await }).flat_map(stream::iter)
}

/// What is new, and what to look for after it; nothing when the stream ends.
async fn next(mut follow: Follow) -> Option<(Vec<Result<Event, Infallible>>, Option<Follow>)> {
    if follow.polls > 0 {
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = follow.state.draining.cancelled() => return None,
        }
    }
    follow.polls += 1;
    let view = match follow.state.engine.saga(follow.saga).await {
        Ok(view) => view?,
        Err(error) => {
            tracing::warn!(saga.id = %follow.saga, %error, "A stream of {} ends: {error}", follow.saga);
            return None;
        }
    };
    let seq = follow.seq;
    let new = view.journal.iter().filter(|recorded| recorded.seq > seq);
    let events = new.filter_map(|recorded| {
        let entry = JournalEntry::of(recorded, follow.redacted);
        Event::default().id(recorded.seq.to_string()).event("entry").json_data(entry).ok().map(Ok)
    });
    let events = events.collect();
    follow.seq = seq.max(view.run.seq);
    let over = view.run.state.is_finished() || follow.polls >= POLLS_MAX;
    Some((events, (!over).then_some(follow)))
}
