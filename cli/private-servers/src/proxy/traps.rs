//! Where something goes wrong, and what.

use std::{
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
};

/// A message that something happens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// Where a transaction begins, whatever else is said with it.
    Begin,
    /// The COMMIT of a transaction in which a message has these bytes.
    CommitOf(&'static str),
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is carried out; its answer is lost, and the connection with it.
    LoseAnswer,
    /// It never arrives; the connection is gone.
    LoseRequest,
    /// The connection is gone at once; it arrives when it is released.
    Late,
    /// It arrives when it is released, unless its connection is gone by then.
    HoldRequest,
    /// It is carried out; its answer comes when it is released.
    HoldAnswer,
}

#[derive(Debug, Default)]
pub(super) struct Traps {
    state: Mutex<State>,
    released: Condvar,
}

#[derive(Debug, Default)]
struct State {
    set: Vec<(Spot, Fault, usize)>,
    sprung: usize,
    /// How often [`Traps::release`] was called: who is held waits for the next time.
    releases: u64,
    closed: bool,
    streams: Vec<Weak<UnixStream>>,
}

/// A moment from which on a release counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Since(u64);

impl Traps {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, spot: Spot, fault: Fault, times: usize) {
        self.state().set.push((spot, fault, times));
    }

    pub(super) fn disarm(&self) {
        self.state().set.clear();
    }

    /// What happens to a simple query in a transaction in which this was said.
    pub(super) fn spring(&self, query: &[u8], said: &[u8]) -> Option<(Fault, Since)> {
        let mut state = self.state();
        let met = |spot: Spot| match spot {
            Spot::Begin => is_begin(query),
            Spot::CommitOf(needle) => query == b"COMMIT" && contains(said, needle.as_bytes()),
        };
        let (_, fault, times) = state.set.iter_mut().find(|(spot, _, times)| *times > 0 && met(*spot))?;
        *times -= 1;
        let fault = *fault;
        state.sprung += 1;
        Some((fault, Since(state.releases)))
    }

    pub(super) fn sprung(&self) -> usize {
        self.state().sprung
    }

    pub(super) fn release(&self) {
        self.state().releases += 1;
        self.released.notify_all();
    }

    pub(super) fn wait_for_release(&self, since: Since) {
        let waiting = |state: &mut State| state.releases == since.0 && !state.closed;
        drop(self.released.wait_while(self.state(), waiting));
    }

    /// Takes note of a stream, to be cut.
    pub(super) fn add(&self, stream: &Arc<UnixStream>) {
        let mut state = self.state();
        state.streams.retain(|stream| stream.strong_count() > 0);
        state.streams.push(Arc::downgrade(stream));
    }

    pub(super) fn cut(&self) {
        for stream in self.state().streams.drain(..).filter_map(|stream| stream.upgrade()) {
            // one that is closed already is cut
            drop(stream.shutdown(Shutdown::Both));
        }
    }

    pub(super) fn close(&self) {
        self.state().closed = true;
        self.released.notify_all();
        self.cut();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }
}

/// Whether a transaction begins with it.
pub(super) fn is_begin(query: &[u8]) -> bool {
    query.get(..5).is_some_and(|word| word.eq_ignore_ascii_case(b"begin"))
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trap_springs_where_and_as_often_as_it_is_set() {
        let traps = Traps::default();
        traps.set(Spot::CommitOf("intended"), Fault::LoseAnswer, 1);
        assert!(traps.spring(b"COMMIT", b"nothing of it").is_none());
        assert!(traps.spring(b"BEGIN", b"intended").is_none());
        assert_eq!(traps.spring(b"COMMIT", b"it was intended").unwrap().0, Fault::LoseAnswer);
        assert!(traps.spring(b"COMMIT", b"it was intended").is_none());
        assert_eq!(traps.sprung(), 1);
    }
}
