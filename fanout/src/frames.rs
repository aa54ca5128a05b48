//! One event as it leaves, in the form of each wire: encoded once, by the first link that asks, for all.
//!
//! Knows the wires' forms and nothing of who gets them.

use std::sync::{Arc, OnceLock};

use actix_socketio::Frame;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::offset::Offset;

/// An event with its object and, where it has one, its offset. Cheap to clone: all clones share what is encoded.
#[derive(Debug, Clone)]
pub struct Frames(Arc<Forms>);

#[derive(Debug)]
struct Forms {
    name: &'static str,
    data: Box<RawValue>,
    offset: Option<Offset>,
    socketio: OnceLock<Frame>,
}

impl Frames {
    /// An event of one object, without an offset.
    pub fn event(name: &'static str, data: Box<RawValue>) -> Self {
        Self::new(name, data, None)
    }

    /// An event that a viewer can resume from.
    pub fn with_offset(name: &'static str, data: Box<RawValue>, offset: Offset) -> Self {
        Self::new(name, data, Some(offset))
    }

    fn new(name: &'static str, data: Box<RawValue>, offset: Option<Offset>) -> Self {
        Self(Arc::new(Forms {
            name,
            data,
            offset,
            socketio: OnceLock::new(),
        }))
    }

    /// The event's name and its object.
    #[cfg(test)]
    pub(crate) fn parts(&self) -> (&'static str, &RawValue) {
        (self.0.name, &self.0.data)
    }

    /// Socket.IO's form: the offset is the last argument, as connection state recovery asks.
    pub fn socketio(&self) -> &Frame {
        let forms = &*self.0;
        forms.socketio.get_or_init(|| {
            let offset = forms.offset.and_then(|offset| json(&offset.to_string()));
            match offset {
                Some(offset) => Frame::event(forms.name, &[&forms.data, &offset]),
                None => Frame::event(forms.name, &[&forms.data]),
            }
        })
    }
}

/// The JSON of a value; none, counted as an error in the log, for one that has no JSON form.
pub fn json(value: &impl Serialize) -> Option<Box<RawValue>> {
    let written = to_raw_value(value);
    if let Err(error) = &written {
        tracing::error!(%error, "an object has no JSON form");
    }
    written.ok()
}
