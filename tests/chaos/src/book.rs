//! What Discord said: every act of every channel, in the order in which it was done.
//!
//! Whoever posts writes it here, one act of a channel at a time, so that the order is certain. An act is numbered, and
//! its number stands in the message's text: what a viewer shows can be traced back to the act that it comes from.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// What was done to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// It was posted.
    Create,
    /// Its text was replaced.
    Update,
    /// It was deleted.
    Delete,
}

/// One thing that was done in a channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Act {
    /// What.
    pub(crate) kind: Kind,
    /// To which message.
    pub(crate) message: u64,
    /// Its number, from 1, which the text of the message names.
    pub(crate) number: u32,
    /// When Discord was asked for it: nobody can have seen it before.
    pub(crate) asked: Instant,
    /// When Discord had done it.
    pub(crate) done: Instant,
}

/// All acts of one channel, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chronicle {
    acts: Vec<Act>,
    /// Where an act stands: by its kind, its message, and its number unless it is a deletion, which names none.
    places: HashMap<(Kind, u64, u32), usize>,
    created: HashMap<u64, usize>,
    deleted: HashMap<u64, usize>,
    /// How often a message was reacted to, in the end.
    reactions: HashMap<u64, u64>,
}

impl Chronicle {
    /// One more act.
    pub(crate) fn push(&mut self, act: Act) {
        let place = self.acts.len();
        let number = if act.kind == Kind::Delete {
            self.deleted.insert(act.message, place);
            0
        } else {
            act.number
        };
        if act.kind == Kind::Create {
            self.created.insert(act.message, place);
        }
        self.places.insert((act.kind, act.message, number), place);
        self.acts.push(act);
    }

    /// A message has so many reactions from now on.
    pub(crate) fn react(&mut self, message: u64, count: u64) {
        self.reactions.insert(message, count);
    }

    /// How often a message was reacted to, in the end.
    pub(crate) fn reactions(&self, message: u64) -> u64 {
        self.reactions.get(&message).copied().unwrap_or_default()
    }

    /// All of them.
    pub(crate) fn acts(&self) -> &[Act] {
        &self.acts
    }

    /// Where an act stands that a viewer saw; none if it never was.
    pub(crate) fn place(&self, kind: Kind, message: u64, number: u32) -> Option<usize> {
        let number = if kind == Kind::Delete { 0 } else { number };
        self.places.get(&(kind, message, number)).copied()
    }

    /// Where the creation of a message stands.
    pub(crate) fn creation(&self, message: u64) -> Option<usize> {
        self.created.get(&message).copied()
    }

    /// Where the deletion of a message stands.
    pub(crate) fn deletion(&self, message: u64) -> Option<usize> {
        self.deleted.get(&message).copied()
    }

    /// The messages that are there after so many acts, with the number of the act that each comes from.
    pub(crate) fn state(&self, acts: usize) -> BTreeMap<u64, u32> {
        let mut state = BTreeMap::new();
        for act in self.acts.iter().take(acts) {
            act.apply(&mut state);
        }
        state
    }
}

impl Act {
    /// What becomes of a channel's messages by it.
    pub(crate) fn apply(&self, state: &mut BTreeMap<u64, u32>) {
        match self.kind {
            Kind::Create | Kind::Update => {
                state.insert(self.message, self.number);
            }
            Kind::Delete => {
                state.remove(&self.message);
            }
        }
    }
}

/// The chronicles of all channels. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book(Arc<Mutex<BTreeMap<String, Chronicle>>>);

impl Book {
    /// Writes an act down.
    pub(crate) fn write(&self, channel: &str, act: Act) {
        self.open().entry(channel.to_owned()).or_default().push(act);
    }

    /// Writes down how many reactions a message has now.
    pub(crate) fn react(&self, channel: &str, message: u64, count: u64) {
        let mut book = self.open();
        book.entry(channel.to_owned())
            .or_default()
            .react(message, count);
    }

    /// What was done so far.
    pub(crate) fn open(&self) -> MutexGuard<'_, BTreeMap<String, Chronicle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
