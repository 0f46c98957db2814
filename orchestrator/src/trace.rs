//! How a trace goes along with a saga: the start keeps the W3C `traceparent` of what asked for it, so that what any process
//! does for the saga later, and the sagas that it starts, are parts of the same trace. Whoever puts a process together says
//! how spans are named to others and put below those of others; without that, nothing is kept.

use std::{fmt, sync::Arc};
use tracing::Span;

type Current = dyn Fn() -> Option<String> + Send + Sync;
type Follow = dyn Fn(&Span, &str) + Send + Sync;

/// See the module. Clones share it.
#[derive(Clone)]
pub struct Traces {
    current: Arc<Current>,
    follow: Arc<Follow>,
}

impl Default for Traces {
    /// None.
    fn default() -> Self {
        Self { current: Arc::new(|| None), follow: Arc::new(|_, _| {}) }
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces").finish_non_exhaustive()
    }
}

impl Traces {
    /// `current` names the span that is entered, where it is part of a trace that is kept; `follow` puts a span below the one
    /// that is so named, before it is entered.
    pub fn new(
        current: impl Fn() -> Option<String> + Send + Sync + 'static,
        follow: impl Fn(&Span, &str) + Send + Sync + 'static,
    ) -> Self {
        Self { current: Arc::new(current), follow: Arc::new(follow) }
    }

    /// The `traceparent` of what is going on now, if it is part of a trace.
    #[must_use]
    pub fn current(&self) -> Option<String> {
        (self.current)()
    }

    /// Puts `span`, which was not entered yet, below what is named by `traceparent`. What is none changes nothing.
    pub fn follow(&self, span: &Span, traceparent: &str) {
        (self.follow)(span, traceparent);
    }
}
