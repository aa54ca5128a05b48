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
    /// The offsets of those that have one, as a client of Socket.IO sees them.
    offsets: Vec<String>,
    closed: Option<Close>,
    is_disconnected: bool,
}

impl Recorder {
    pub(super) fn on_sent(&self, frames: &Frames) {
        let name = frames.name();
        let data = serde_json::from_str(frames.data().get()).expect("an event is JSON");
        let record = &mut *self.0.borrow_mut();
        record.events.push((name, data));
        let packet: Vec<Value> =
            serde_json::from_str(frames.socketio().json()).expect("a packet is JSON");
        if let Some(Value::String(offset)) = packet.into_iter().next_back() {
            record.offsets.push(offset);
        }
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

    /// All events and their objects, oldest first.
    pub fn events(&self) -> Vec<(&'static str, Value)> {
        self.0.borrow().events.clone()
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

    /// All offsets, oldest first.
    pub fn offsets(&self) -> Vec<String> {
        self.0.borrow().offsets.clone()
    }

    /// Forgets what was sent so far.
    pub fn clear(&self) {
        self.0.borrow_mut().events.clear();
        self.0.borrow_mut().offsets.clear();
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
