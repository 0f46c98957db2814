//! A local queue as an apalis backend. What is in it has been claimed elsewhere; what is not begun can be taken out
//! again at any moment.

use apalis_core::{
    backend::{Backend, BackendConfig, finalize::Ephemeral},
    task::{Task, builder::TaskBuilder},
    worker::context::WorkerContext,
};
use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// A queue in memory; clones share it.
pub(crate) struct LocalQueue<T>(Arc<Mutex<Inner<T>>>);

struct Inner<T> {
    items: VecDeque<T>,
    waker: Option<Waker>,
}

impl<T> Clone for LocalQueue<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> LocalQueue<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Inner { items: VecDeque::new(), waker: None })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an item and wakes the worker.
    pub(crate) fn push(&self, item: T) {
        let waker = {
            let mut inner = self.inner();
            inner.items.push_back(item);
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes out everything that was not begun.
    pub(crate) fn drain(&self) -> Vec<T> {
        self.inner().items.drain(..).collect()
    }

    fn poll_pop(&self, cx: &mut Context<'_>) -> Poll<T> {
        let mut inner = self.inner();
        match inner.items.pop_front() {
            Some(item) => Poll::Ready(item),
            None => {
                inner.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The queue as apalis sees it: infallible, because an error would end the worker, and with the layer that
/// acknowledges.
pub(crate) struct QueueBackend<T, L> {
    pub(crate) queue: LocalQueue<T>,
    pub(crate) acknowledge: L,
}

impl<T, L> Backend for QueueBackend<T, L> {
    type Task = Task<T>;
    type Error = Infallible;

    fn poll_ready(&mut self, _cx: &mut Context<'_>, _worker: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _worker: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Infallible>>> {
        self.queue.poll_pop(cx).map(|item| Some(Ok(TaskBuilder::new(item).build())))
    }

    fn poll_close(&mut self, _cx: &mut Context<'_>, _worker: &WorkerContext) -> Poll<Result<(), Infallible>> {
        // whoever fills the queue empties it when the stop is asked for
        Poll::Ready(Ok(()))
    }
}

impl<T, L: Clone> BackendConfig for QueueBackend<T, L> {
    type Args = T;
    type Id = uuid::Uuid;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = L;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _worker: &mut WorkerContext) -> L {
        self.acknowledge.clone()
    }
}
