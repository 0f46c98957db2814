//! Everything that a gateway knows, in memory, and every change to it, on disk.
//!
//! A call changes the store under one lock and leaves one line in the journal: the objects as they
//! are now, the answer that its idempotency key will get from now on, what is to happen later and
//! what is to be told. Reading the lines in order gives the store back, so that a gateway that was
//! killed owes its merchant the same as before.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::faults::Kind;
use crate::journal::Journal;

/// The objects of one protocol.
pub(crate) trait Objects: Default + Send + 'static {
    /// What one call has changed, as it is written down.
    type Changes: Default + Serialize + DeserializeOwned + Send;
    /// What happens after the answer.
    type Effect: Clone + Serialize + DeserializeOwned + Send;

    /// Takes over what was written down.
    fn absorb(&mut self, changes: Self::Changes);
    /// What has changed since this was asked last.
    fn take_changes(&mut self) -> Option<Self::Changes>;
    /// Counts a call on the object that `reference` names. False when there is none.
    fn note_asked(&mut self, kind: Kind, reference: &str, key: Option<&str>) -> bool;
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

/// What a key is at the moment.
pub(crate) enum KeyState {
    /// Nobody has used it.
    Free,
    /// Its first request is not answered yet.
    InUse,
    /// It has an answer.
    Answered(StoredAnswer),
}

/// Something that happens at a time of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Late<E> {
    id: u64,
    pub(crate) at_ms: i64,
    pub(crate) kind: Kind,
    pub(crate) effect: E,
}

/// Something that is told to the merchant until they have taken it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Message {
    #[serde(default)]
    pub(crate) id: u64,
    pub(crate) body: String,
    pub(crate) not_before_ms: i64,
    /// How many times it is sent at once.
    pub(crate) copies: usize,
    /// How long it waits for a later one to be taken before it.
    pub(crate) overtaken_within_ms: Option<u64>,
}

/// One line of the journal.
#[derive(Serialize, Deserialize)]
#[serde(bound(serialize = "", deserialize = ""))]
pub(crate) struct Record<O: Objects> {
    #[serde(flatten)]
    objects: O::Changes,
    #[serde(flatten)]
    notes: Notes<O::Effect>,
}

/// What a line has besides objects.
#[derive(Serialize, Deserialize)]
#[serde(default, bound(serialize = "E: Serialize", deserialize = "E: DeserializeOwned"))]
struct Notes<E> {
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<(String, StoredAnswer)>,
    /// How often a key was asked that has no object yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    unanswered: Option<(String, u64)>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    late: Vec<Late<E>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    happened: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<Message>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    taken: Vec<u64>,
}

impl<E> Default for Notes<E> {
    fn default() -> Self {
        Self {
            answer: None,
            unanswered: None,
            late: Vec::new(),
            happened: Vec::new(),
            messages: Vec::new(),
            taken: Vec::new(),
        }
    }
}

impl<E> Notes<E> {
    fn is_empty(&self) -> bool {
        self.answer.is_none()
            && self.unanswered.is_none()
            && self.late.is_empty()
            && self.happened.is_empty()
            && self.messages.is_empty()
            && self.taken.is_empty()
    }
}

/// The store.
pub(crate) struct Store<O: Objects> {
    pub(crate) objects: O,
    answers: HashMap<String, StoredAnswer>,
    unanswered: HashMap<String, u64>,
    in_use: HashSet<String>,
    late: BTreeMap<(i64, u64), Late<O::Effect>>,
    messages: BTreeMap<u64, Message>,
    last_id: u64,
    journal: Journal,
    /// What the current call has noted so far.
    notes: Notes<O::Effect>,
}

impl<O: Objects> Store<O> {
    /// The store that `records` lead to.
    pub(crate) fn replay(records: Vec<Record<O>>, journal: Journal) -> Self {
        let mut store = Self {
            objects: O::default(),
            answers: HashMap::new(),
            unanswered: HashMap::new(),
            in_use: HashSet::new(),
            late: BTreeMap::new(),
            messages: BTreeMap::new(),
            last_id: 0,
            journal,
            notes: Notes::default(),
        };
        for record in records {
            store.objects.absorb(record.objects);
            store.answers.extend(record.notes.answer);
            store.unanswered.extend(record.notes.unanswered);
            for late in record.notes.late {
                store.last_id = store.last_id.max(late.id);
                store.late.insert((late.at_ms, late.id), late);
            }
            for message in record.notes.messages {
                store.last_id = store.last_id.max(message.id);
                store.messages.insert(message.id, message);
            }
            if !record.notes.happened.is_empty() {
                store.late.retain(|(_, id), _| !record.notes.happened.contains(id));
            }
            for id in record.notes.taken {
                store.messages.remove(&id);
            }
        }
        store
    }

    /// Writes what has changed since the last commit. The position to wait for before answering:
    /// also that of what others have changed, which this call may have seen.
    pub(crate) fn commit(&mut self) -> u64 {
        let changes = self.objects.take_changes();
        let notes = std::mem::take(&mut self.notes);
        if changes.is_none() && notes.is_empty() {
            return self.journal.position();
        }
        self.journal.append(&Record::<O> { objects: changes.unwrap_or_default(), notes })
    }

    /// The position of what was committed last.
    pub(crate) fn position(&self) -> u64 {
        self.journal.position()
    }

    /// Keeps the answer that `key` will get from now on.
    pub(crate) fn put_answer(&mut self, key: &str, answer: StoredAnswer) {
        self.notes.answer = Some((key.to_owned(), answer.clone()));
        self.answers.insert(key.to_owned(), answer);
    }

    /// What `key` is now, if it is remembered for `ttl_ms`.
    pub(crate) fn key_state(&self, key: &str, now_ms: i64, ttl_ms: i64) -> KeyState {
        if self.in_use.contains(key) {
            return KeyState::InUse;
        }
        match self.answers.get(key) {
            Some(answer) if now_ms - answer.at_ms < ttl_ms => KeyState::Answered(answer.clone()),
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
        let by_key = || self.answers.get(key?)?.reference.clone();
        let reference = reference.map(str::to_owned).or_else(by_key);
        if reference.is_some_and(|reference| self.objects.note_asked(kind, &reference, key)) {
            return;
        }
        if let Some(key) = key {
            let count = self.unanswered.entry(key.to_owned()).or_default();
            *count += 1;
            self.notes.unanswered = Some((key.to_owned(), *count));
        }
    }

    /// How often an object was asked for that comes into being now, under `key`.
    pub(crate) fn asked_so_far(&self, key: Option<&str>) -> u64 {
        key.and_then(|key| self.unanswered.get(key).copied()).unwrap_or(1)
    }

    /// Lets `effect` happen at `at_ms`.
    pub(crate) fn put_late(&mut self, at_ms: i64, kind: Kind, effect: O::Effect) {
        self.last_id += 1;
        let late = Late { id: self.last_id, at_ms, kind, effect };
        self.notes.late.push(late.clone());
        self.late.insert((at_ms, late.id), late);
    }

    /// When the next thing happens.
    pub(crate) fn next_late_ms(&self) -> Option<i64> {
        self.late.keys().next().map(|(at_ms, _)| *at_ms)
    }

    /// What is to happen by now, each once.
    pub(crate) fn take_late(&mut self, now_ms: i64) -> Option<Late<O::Effect>> {
        let first = self.late.first_entry().filter(|first| first.key().0 <= now_ms)?;
        let late = first.remove();
        self.notes.happened.push(late.id);
        Some(late)
    }

    /// Keeps a message until it is taken.
    pub(crate) fn put_message(&mut self, mut message: Message) -> Message {
        self.last_id += 1;
        message.id = self.last_id;
        self.notes.messages.push(message.clone());
        self.messages.insert(message.id, message.clone());
        message
    }

    /// The merchant has taken a message.
    pub(crate) fn message_taken(&mut self, id: u64) {
        self.messages.remove(&id);
        self.notes.taken.push(id);
    }

    /// What the merchant has not taken yet.
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.messages.values().cloned().collect()
    }
}
