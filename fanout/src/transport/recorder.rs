//! A link that keeps what it is given, for tests.

use std::cell::RefCell;
use std::rc::Rc;

use actix_socketio::Close;
use serde_json::Value;

use crate::frames::Frames;

/// What one viewer was sent.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Rc<RefCell<Record>>);

#[derive(Debug, Default)]
struct Record {
    events: Vec<(&'static str, Value)>,
    closed: Option<Close>,
    is_disconnected: bool,
}

impl Recorder {
    pub(super) fn on_sent(&self, frames: &Frames) {
        let name = frames.name();
        let data = serde_json::from_str(frames.data().get()).expect("an event is JSON");
        self.0.borrow_mut().events.push((name, data));
    }

    pub(super) fn on_closed(&self, close: Close) {
        self.0.borrow_mut().closed = Some(close);
    }

    pub(super) fn on_disconnected(&self) {
        self.0.borrow_mut().is_disconnected = true;
    }

    pub(super) fn transport(&self) -> usize {
        Rc::as_ptr(&self.0).addr()
    }

    /// The objects of all events of this name, oldest first.
    pub fn all(&self, name: &str) -> Vec<Value> {
        let record = self.0.borrow();
        let named = record.events.iter().filter(|(own, _)| *own == name);
        named.map(|(_, data)| data.clone()).collect()
    }

    /// The names of all events, oldest first.
    pub fn names(&self) -> Vec<&'static str> {
        self.0
            .borrow()
            .events
            .iter()
            .map(|(name, _)| *name)
            .collect()
    }

    /// Forgets what was sent so far.
    pub fn clear(&self) {
        self.0.borrow_mut().events.clear();
    }

    /// How the transport was closed.
    pub fn closed(&self) -> Option<Close> {
        self.0.borrow().closed
    }

    /// The session was ended for good.
    pub fn is_disconnected(&self) -> bool {
        self.0.borrow().is_disconnected
    }
}
