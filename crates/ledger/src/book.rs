//! What is to be written: the newest state of everything, and which of it has changed.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::Session;

/// One relay's book.
#[derive(Debug)]
pub(crate) struct Book<T> {
    state: Mutex<State<T>>,
    /// Something is to be written.
    pub(crate) changed: Notify,
}

#[derive(Debug)]
struct State<T> {
    live: HashMap<String, Arc<Mutex<T>>>,
    /// Calls that are not written as they are.
    changed: HashSet<String>,
    session: Option<Session>,
    is_session_changed: bool,
    /// What Redis has is not known.
    is_lost: bool,
}

/// What is kept of one live call.
#[derive(Debug)]
pub struct Page<T> {
    call_id: String,
    kept: Arc<Mutex<T>>,
    book: Arc<Book<T>>,
}

/// What is to be written now.
#[derive(Debug)]
pub(crate) struct Entries<T> {
    /// Everything that is not in here is to go.
    pub(crate) is_everything: bool,
    pub(crate) calls: Vec<(String, Arc<Mutex<T>>)>,
    pub(crate) over: Vec<String>,
    pub(crate) session: Option<Session>,
}

impl<T> Default for Book<T> {
    fn default() -> Self {
        let state = State {
            live: HashMap::new(),
            changed: HashSet::new(),
            session: None,
            is_session_changed: false,
            is_lost: false,
        };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }
}

impl<T> Page<T> {
    /// The call's id.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Looks something up.
    pub fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes what has changed. It is written in a moment.
    pub fn update(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        self.book.note(self.call_id.clone());
    }
}

impl<T> Drop for Page<T> {
    fn drop(&mut self) {
        self.book.forget(std::mem::take(&mut self.call_id));
    }
}

impl<T> Book<T> {
    pub(crate) fn page(book: &Arc<Self>, call_id: &str, kept: T) -> Page<T> {
        let kept = Arc::new(Mutex::new(kept));
        book.state().live.insert(call_id.to_owned(), kept.clone());
        book.note(call_id.to_owned());
        Page { call_id: call_id.to_owned(), kept, book: book.clone() }
    }

    pub(crate) fn forget(&self, call_id: String) {
        self.state().live.remove(&call_id);
        self.note(call_id);
    }

    pub(crate) fn keep_session(&self, session: Session) {
        let mut state = self.state();
        state.session = Some(session);
        state.is_session_changed = true;
        drop(state);
        self.changed.notify_one();
    }

    fn note(&self, call_id: String) {
        let mut state = self.state();
        // Once what Redis has is lost, all that is live is written.
        if !state.is_lost {
            state.changed.insert(call_id);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Takes what is to be written; `None` if all of it is.
    pub(crate) fn take(&self) -> Option<Entries<T>> {
        let mut state = self.state();
        let is_everything = std::mem::take(&mut state.is_lost);
        let ids: Vec<String> = if is_everything {
            state.changed.clear();
            state.live.keys().cloned().collect()
        } else {
            state.changed.drain().collect()
        };
        let is_session_due = std::mem::take(&mut state.is_session_changed) || is_everything;
        let session = state.session.clone().filter(|_| is_session_due);
        if ids.is_empty() && session.is_none() && !is_everything {
            return None;
        }
        let (mut calls, mut over) = (Vec::new(), Vec::new());
        for call_id in ids {
            match state.live.get(&call_id) {
                Some(kept) => calls.push((call_id, kept.clone())),
                None => over.push(call_id),
            }
        }
        Some(Entries { is_everything, calls, over, session })
    }

    /// What was taken may not have been written.
    pub(crate) fn lost(&self) {
        let mut state = self.state();
        state.is_lost = true;
        state.changed.clear();
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
