//! What every protocol keeps: objects with an id, and how often each was asked for something.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// What has an id.
pub(crate) trait Object {
    /// Its id.
    fn id(&self) -> &str;
}

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

    /// Keeps an object as it is now.
    pub(crate) fn put(&mut self, item: T) {
        match self.places.get(item.id()) {
            Some(&place) => self.items[place] = item,
            None => {
                self.places.insert(item.id().to_owned(), self.items.len());
                self.items.push(item);
            }
        }
    }
}

/// How often an object was asked for something, and under which keys.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) count: u64,
    pub(crate) keys: Vec<String>,
}

impl Asked {
    /// Counts `count` more, under `key`.
    pub(crate) fn note(&mut self, count: u64, key: Option<&str>) {
        self.count += count;
        if let Some(key) = key.filter(|key| !self.keys.iter().any(|known| known == key)) {
            self.keys.push(key.to_owned());
        }
    }
}
