//! What server-sent events have in common: how many there are at once, how often they look, when they end.

use crate::{
    problem::{Problem, kinds},
    state::ApiState,
};
use axum::{
    http::HeaderMap,
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures::{StreamExt, stream};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::OwnedSemaphorePermit;

/// How often a stream looks for news.
const POLL: Duration = Duration::from_millis(300);
/// How often it looks before the client must come again, with `Last-Event-ID`.
const POLLS_MAX: u32 = 12_000;

/// Where the client was when it lost its stream.
pub(super) fn last_event_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get("last-event-id")?.to_str().ok()?.trim();
    (!id.is_empty()).then_some(id)
}

/// One of the streams that there may be at once.
///
/// # Errors
/// 503 when there are as many.
pub(super) fn admit(state: &ApiState) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(&state.streams).try_acquire_owned().map_err(|_| {
        metrics::counter!("showrunner_http_requests_shed_total").increment(1);
        Problem::new(&kinds::OVERLOADED, "Too many streams are open.").retry_after(5)
    })
}

/// Waits until it is time to look again; nothing when the stream is to end.
pub(super) async fn pause(state: &ApiState, polls: &mut u32) -> Option<()> {
    if *polls > 0 {
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = state.draining.cancelled() => return None,
        }
    }
    *polls += 1;
    (*polls <= POLLS_MAX).then_some(())
}

/// The events that `next` finds, until it finds that there will be none.
pub(super) fn answer<F, N, R>(follow: F, next: N) -> Response
where
    F: Send + 'static,
    N: Fn(F) -> R + Copy + Send + 'static,
    R: Future<Output = Option<(Vec<Event>, Option<F>)>> + Send + 'static,
{
    let found = stream::unfold(Some(follow), move |follow| async move { next(follow?).await });
    let events = found.flat_map(|events| stream::iter(events.into_iter().map(Ok::<_, Infallible>)));
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}
