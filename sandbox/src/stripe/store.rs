//! Everything that a Stripe gateway knows, in memory, and every change to it, on disk.
//!
//! A call changes the store under one lock and leaves one line in the journal: the objects as they
//! are now, and the answer that its idempotency key will get from now on. Reading the lines in
//! order gives the store back.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::objects::{Charge, Intent, Object, Refund};
use crate::faults::Kind;
use crate::journal::Journal;

/// How long an idempotency key is remembered. Stripe promises at least this.
const KEY_TTL_MS: i64 = 24 * 60 * 60 * 1000;

/// The objects of one kind, oldest first.
pub(crate) struct Shelf<T> {
    items: Vec<T>,
    places: HashMap<String, usize>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { items: Vec::new(), places: HashMap::new() }
    }
}

impl<T: Object> Shelf<T> {
    /// The object with this id.
    pub(crate) fn get(&self, id: &str) -> Option<&T> {
        self.items.get(*self.places.get(id)?)
    }

    /// Every object, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.items.iter()
    }

    fn put(&mut self, item: T) {
        match self.places.get(item.id()) {
            Some(&place) => self.items[place] = item,
            None => {
                self.places.insert(item.id().to_owned(), self.items.len());
                self.items.push(item);
            }
        }
    }
}

/// The answer that an idempotency key has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredAnswer {
    /// What the first request was: its path, and a digest of path and parameters.
    pub(crate) path: String,
    pub(crate) digest: String,
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) request_id: String,
    /// The object that came of it.
    pub(crate) reference: Option<String>,
    pub(crate) at_ms: i64,
}

/// One line of the journal.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    intents: Vec<Intent>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    charges: Vec<Charge>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refunds: Vec<Refund>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<(String, StoredAnswer)>,
    /// How often a key was asked that has no object yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    unanswered: Option<(String, u64)>,
}

/// What a key is at the moment.
pub(crate) enum KeyState {
    /// Nobody has used it.
    Free,
    /// Its first request is not answered yet.
    InUse,
    /// It has an answer.
    Answered(StoredAnswer),
}

/// The store.
pub(crate) struct Store {
    pub(crate) intents: Shelf<Intent>,
    pub(crate) charges: Shelf<Charge>,
    pub(crate) refunds: Shelf<Refund>,
    answers: HashMap<String, StoredAnswer>,
    unanswered: HashMap<String, u64>,
    in_use: HashSet<String>,
    journal: Journal,
    /// What the current call has changed so far.
    changes: Record,
}

impl Store {
    /// The store that `records` lead to.
    pub(crate) fn replay(records: Vec<Record>, journal: Journal) -> Self {
        let mut store = Self {
            intents: Shelf::default(),
            charges: Shelf::default(),
            refunds: Shelf::default(),
            answers: HashMap::new(),
            unanswered: HashMap::new(),
            in_use: HashSet::new(),
            journal,
            changes: Record::default(),
        };
        for record in records {
            record.intents.into_iter().for_each(|it| store.intents.put(it));
            record.charges.into_iter().for_each(|it| store.charges.put(it));
            record.refunds.into_iter().for_each(|it| store.refunds.put(it));
            store.answers.extend(record.answer);
            store.unanswered.extend(record.unanswered);
        }
        store
    }

    /// Keeps a payment intent as it is now.
    pub(crate) fn put_intent(&mut self, intent: Intent) {
        self.changes.intents.retain(|old| old.id != intent.id);
        self.changes.intents.push(intent.clone());
        self.intents.put(intent);
    }

    /// Keeps a charge as it is now.
    pub(crate) fn put_charge(&mut self, charge: Charge) {
        self.changes.charges.push(charge.clone());
        self.charges.put(charge);
    }

    /// Keeps a refund as it is now.
    pub(crate) fn put_refund(&mut self, refund: Refund) {
        self.changes.refunds.push(refund.clone());
        self.refunds.put(refund);
    }

    /// Keeps the answer that `key` will get from now on.
    pub(crate) fn put_answer(&mut self, key: &str, answer: StoredAnswer) {
        self.changes.answer = Some((key.to_owned(), answer.clone()));
        self.answers.insert(key.to_owned(), answer);
    }

    /// Writes what has changed since the last commit. The position to wait for before answering:
    /// also that of what others have changed, which this call may have seen.
    pub(crate) fn commit(&mut self) -> u64 {
        let changes = std::mem::take(&mut self.changes);
        let is_empty = changes.intents.is_empty()
            && changes.charges.is_empty()
            && changes.refunds.is_empty()
            && changes.answer.is_none()
            && changes.unanswered.is_none();
        if is_empty { self.journal.position() } else { self.journal.append(&changes) }
    }

    /// What `key` is now.
    pub(crate) fn key_state(&self, key: &str, now_ms: i64) -> KeyState {
        if self.in_use.contains(key) {
            return KeyState::InUse;
        }
        match self.answers.get(key) {
            Some(answer) if now_ms - answer.at_ms < KEY_TTL_MS => KeyState::Answered(answer.clone()),
            _ => KeyState::Free,
        }
    }

    /// From now until `release_key`, `key` is in use.
    pub(crate) fn take_key(&mut self, key: &str) {
        self.in_use.insert(key.to_owned());
    }

    /// The request that took `key` is answered.
    pub(crate) fn release_key(&mut self, key: &str) {
        self.in_use.remove(key);
    }

    /// Counts a call on the object that it names, or on the one that its key has led to; when there
    /// is neither, on the key, for the object that may come of it.
    pub(crate) fn note_asked(&mut self, kind: Kind, reference: Option<&str>, key: Option<&str>) {
        let by_key = || self.answers.get(key?)?.reference.as_deref();
        let reference = reference.or_else(by_key).map(str::to_owned);
        let reference = reference.as_deref();
        if let Some(mut intent) = reference.and_then(|id| self.intents.get(id)).cloned() {
            intent.asked.entry(kind).or_default().note(1, key);
            self.put_intent(intent);
        } else if let Some(mut refund) = reference.and_then(|id| self.refunds.get(id)).cloned() {
            refund.asked.note(1, key);
            self.put_refund(refund);
        } else if let Some(key) = key {
            let count = self.unanswered.entry(key.to_owned()).or_default();
            *count += 1;
            self.changes.unanswered = Some((key.to_owned(), *count));
        }
    }

    /// How often an object was asked for that comes into being now, under `key`.
    pub(crate) fn asked_so_far(&self, key: Option<&str>) -> u64 {
        key.and_then(|key| self.unanswered.get(key).copied()).unwrap_or(1)
    }
}
