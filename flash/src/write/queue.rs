//! Pieces that wait for one disk.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A queue of few pieces.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    longest: usize,
}

struct State<T> {
    pieces: VecDeque<T>,
    is_open: bool,
}

/// What became of a piece.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits.
    Taken,
    /// There was no room.
    Full,
    /// Nobody takes pieces any more.
    Closed,
}

impl<T: Clone> Queue<T> {
    pub(crate) fn new(longest: usize) -> Self {
        Self {
            state: Mutex::new(State {
                pieces: VecDeque::with_capacity(longest),
                is_open: true,
            }),
            changed: Condvar::new(),
            longest,
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a piece as soon as there is room, or gives up after some time.
    pub(crate) fn push(&self, piece: &T, limit: Duration) -> Pushed {
        let is_full = |state: &mut State<T>| state.is_open && state.pieces.len() >= self.longest;
        let waited = self
            .changed
            .wait_timeout_while(self.state(), limit, is_full);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if !state.is_open {
            return Pushed::Closed;
        }
        if state.pieces.len() >= self.longest {
            return Pushed::Full;
        }
        state.pieces.push_back(piece.clone());
        drop(state);
        self.changed.notify_all();
        Pushed::Taken
    }

    /// Takes the next piece, or learns that no more come.
    pub(crate) fn pop(&self) -> Option<T> {
        let is_empty = |state: &mut State<T>| state.is_open && state.pieces.is_empty();
        let waited = self.changed.wait_while(self.state(), is_empty);
        let piece = waited
            .unwrap_or_else(PoisonError::into_inner)
            .pieces
            .pop_front();
        self.changed.notify_all();
        piece
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.state().pieces.is_empty()
    }

    /// Whether nobody adds pieces or takes them any more.
    pub(crate) fn is_closed(&self) -> bool {
        !self.state().is_open
    }

    /// Ends it: what waits is still taken.
    pub(crate) fn close(&self) {
        self.state().is_open = false;
        self.changed.notify_all();
    }

    /// Ends it at once: what waits is given up.
    pub(crate) fn abandon(&self) {
        let mut state = self.state();
        state.is_open = false;
        let pieces = std::mem::take(&mut state.pieces);
        drop(state);
        drop(pieces);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_in_order_and_no_more_wait_than_may() {
        let queue = Queue::new(2);
        let now = Duration::ZERO;
        assert_eq!(
            [1, 2].map(|n| queue.push(&n, now)),
            [Pushed::Taken, Pushed::Taken]
        );
        assert_eq!(queue.push(&3, now), Pushed::Full);
        std::thread::scope(|scope| {
            scope.spawn(|| assert_eq!(queue.push(&3, Duration::from_mins(1)), Pushed::Taken));
            assert_eq!(
                [queue.pop(), queue.pop(), queue.pop()],
                [Some(1), Some(2), Some(3)]
            );
        });
        assert!(queue.is_empty());
        queue.push(&4, now);
        queue.close();
        assert_eq!(queue.push(&5, now), Pushed::Closed);
        assert_eq!([queue.pop(), queue.pop()], [Some(4), None]);
    }

    #[test]
    fn one_that_is_given_up_holds_nothing() {
        let (queue, piece) = (Queue::new(2), std::sync::Arc::new(()));
        queue.push(&piece, Duration::ZERO);
        queue.abandon();
        assert_eq!(std::sync::Arc::strong_count(&piece), 1);
        assert!(queue.pop().is_none());
    }
}
