//! A turn is one attempt of one step of a claimed saga. apalis runs it; the acknowledging layer settles it through
//! the engine's committer, and only then is its slot free again.

use crate::queue::LocalQueue;
use apalis::prelude::{BoxDynError, Data, Task};
use futures::future::BoxFuture;
use orchestrator::{Claimed, Engine, Report, Settled};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Instant,
};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};
use tracing::Instrument;

/// A claimed saga in a slot of this process.
#[derive(Clone)]
pub(crate) struct Turn {
    pub(crate) claimed: Claimed,
    /// Free again when the last clone is gone: after the move is durable.
    pub(crate) slot: Arc<OwnedSemaphorePermit>,
}

/// What a turn came to, to be settled. In a cell, because apalis wants answers that can be shared.
pub(crate) struct Turned(Mutex<Option<(Claimed, Report)>>);

/// The handler: carries out what is due for one saga.
pub(crate) async fn take_turn(turn: Turn, engine: Data<Engine>) -> Result<Turned, Infallible> {
    let begun = Instant::now();
    let (definition, step) = (turn.claimed.definition().to_owned(), turn.claimed.step().unwrap_or_default());
    let executed = engine.execute(turn.claimed).await;
    let labels = [("definition", definition), ("step", step)];
    metrics::histogram!("showrunner_turn_seconds", &labels).record(begun.elapsed());
    Ok(Turned(Mutex::new(Some(executed))))
}

/// The layer that settles turns.
#[derive(Clone)]
pub(crate) struct Settle {
    pub(crate) engine: Engine,
    pub(crate) queue: LocalQueue<Turn>,
    pub(crate) stopping: CancellationToken,
}

impl<S> Layer<S> for Settle {
    type Service = Settling<S>;

    fn layer(&self, inner: S) -> Settling<S> {
        Settling { inner, settle: self.clone() }
    }
}

/// See [`Settle`].
#[derive(Clone)]
pub(crate) struct Settling<S> {
    inner: S,
    settle: Settle,
}

impl<S> Service<Task<Turn>> for Settling<S>
where
    S: Service<Task<Turn>, Response = Turned>,
    S::Error: Into<BoxDynError>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = BoxDynError;
    type Future = BoxFuture<'static, Result<(), BoxDynError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxDynError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, task: Task<Turn>) -> Self::Future {
        let settle = self.settle.clone();
        let Turn { claimed, slot } = task.args.clone();
        let span = settle.span(&claimed);
        let turned = self.inner.call(task);
        let turn = async move {
            match turned.await.map_err(Into::into) {
                Ok(turned) => settle.settle(turned, slot).await,
                Err(error) => settle.give_up(claimed, error).await,
            }
            Ok(())
        };
        Box::pin(turn.instrument(span))
    }
}

impl Settle {
    /// The span of one turn, in the trace of what has asked for its saga.
    fn span(&self, claimed: &Claimed) -> tracing::Span {
        let step = claimed.step().unwrap_or_default();
        let name = if step.is_empty() { "turn" } else { &step };
        let span = tracing::info_span!(
            "turn", otel.name = name, saga.id = %claimed.saga_id(), saga.definition = claimed.definition(), step.name = step,
            step.outcome = tracing::field::Empty, attempt.number = tracing::field::Empty,
            steps.done = tracing::field::Empty,
        );
        if let Some(trace) = claimed.trace() {
            self.engine.traces().follow(&span, trace);
        }
        span
    }

    async fn settle(&self, turned: Turned, slot: Arc<OwnedSemaphorePermit>) {
        let executed = turned.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Some((claimed, report)) = executed else { return };
        match self.engine.settle(claimed, report).await {
            Settled::Continue(claimed) if self.stopping.is_cancelled() => self.hand_back(claimed).await,
            Settled::Continue(claimed) => self.queue.push(Turn { claimed, slot }),
            Settled::Released => {}
            Settled::Superseded => metrics::counter!("showrunner_claims_superseded_total").increment(1),
        }
    }

    /// A panic outside of any action: a mistake of ours. Others take the saga; its claims are counted.
    async fn give_up(&self, claimed: Claimed, error: BoxDynError) {
        let saga_id = claimed.saga_id();
        tracing::error!(saga.id = %saga_id, error = %error, "A turn of saga {saga_id} broke off: {error}");
        self.hand_back(claimed).await;
    }

    async fn hand_back(&self, claimed: Claimed) {
        if let Err(error) = self.engine.hand_back(vec![claimed]).await {
            tracing::warn!(error = %error, "A claim could not be handed back and ends with its lease: {error}");
        }
    }
}
