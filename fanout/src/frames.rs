//! One event as it leaves, in the form of each wire: encoded once, by the first link that asks, for all.
//!
//! Knows the wires' forms and nothing of who gets them.

use std::sync::{Arc, OnceLock};

use actix_socketio::Frame;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::access::Holder;
use crate::offset::Bookmark;
use crate::transport::websocket;

/// An event with its object and, where it has one, its offset. Cheap to clone: all clones share what is encoded.
#[derive(Debug, Clone)]
pub struct Frames(Arc<Forms>);

#[derive(Debug)]
struct Forms {
    name: &'static str,
    data: Box<RawValue>,
    offset: Option<Bookmark>,
    /// The event as embedded pages get it, where that is another one.
    for_embeds: Option<Frames>,
    socketio: OnceLock<Frame>,
    websocket: OnceLock<Bytes>,
    stream: OnceLock<Bytes>,
}

impl Forms {
    fn new(name: &'static str, data: Box<RawValue>, offset: Option<Bookmark>) -> Self {
        Self {
            name,
            data,
            offset,
            for_embeds: None,
            socketio: OnceLock::new(),
            websocket: OnceLock::new(),
            stream: OnceLock::new(),
        }
    }
}

impl Frames {
    /// An event of one object, without an offset.
    pub fn event(name: &'static str, data: Box<RawValue>) -> Self {
        Self::new(name, data, None)
    }

    /// An event that a viewer can resume from.
    pub fn with_offset(
        name: &'static str,
        data: Box<RawValue>,
        offset: impl Into<Bookmark>,
    ) -> Self {
        Self::new(name, data, Some(offset.into()))
    }

    /// The same event, of which embedded pages get another object.
    #[must_use]
    pub fn for_embeds(self, data: Box<RawValue>) -> Self {
        let Forms { name, offset, .. } = *self.0;
        let for_embeds = Some(Self::new(name, data, offset));
        Self(Arc::new(Forms {
            for_embeds,
            ..Forms::new(name, self.0.data.clone(), offset)
        }))
    }

    /// The event as who holds such a token gets it.
    pub fn to(&self, holder: Holder) -> &Self {
        match holder {
            Holder::User => self,
            Holder::Embed => self.0.for_embeds.as_ref().unwrap_or(self),
        }
    }

    /// The same event, that a viewer resumes elsewhere from.
    #[must_use]
    pub fn at(&self, offset: Bookmark) -> Self {
        Self::with_offset(self.0.name, self.0.data.clone(), offset)
    }

    fn new(name: &'static str, data: Box<RawValue>, offset: Option<Bookmark>) -> Self {
        Self(Arc::new(Forms::new(name, data, offset)))
    }

    /// The event's name.
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// The event's object.
    pub fn data(&self) -> &RawValue {
        &self.0.data
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

    /// The plain WebSocket's form, a whole text message: `{"event":"message","data":{...},"offset":"..."}`.
    pub fn websocket(&self) -> &Bytes {
        let forms = &*self.0;
        forms.websocket.get_or_init(|| {
            let (name, data) = (forms.name, forms.data.get());
            let text = match forms.offset {
                Some(offset) => {
                    format!(r#"{{"event":"{name}","data":{data},"offset":"{offset}"}}"#)
                }
                None => format!(r#"{{"event":"{name}","data":{data}}}"#),
            };
            websocket::text(text)
        })
    }

    /// The form of Server-Sent Events, where the offset is the `id` that a browser resumes from.
    /// <https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>
    pub fn stream(&self) -> &Bytes {
        let forms = &*self.0;
        forms.stream.get_or_init(|| {
            // Compact JSON has no line break: one `data:` line holds it.
            let (name, data) = (forms.name, forms.data.get());
            let text = match forms.offset {
                Some(offset) => format!("event: {name}\nid: {offset}\ndata: {data}\n\n"),
                None => format!("event: {name}\ndata: {data}\n\n"),
            };
            text.into()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offset::Offset;

    fn data() -> Box<RawValue> {
        json(&serde_json::json!({ "content": "two\nlines and a \"quote\"" })).unwrap()
    }

    #[test]
    fn each_wire_has_its_form_of_an_event() {
        let offset = Offset {
            generation: 0xAB,
            sequence: 7,
        };
        let event = Frames::with_offset("message", data(), offset);
        assert_eq!(
            event.socketio().json(),
            r#"["message",{"content":"two\nlines and a \"quote\""},"00000000000000ab.7"]"#
        );
        let text = r#"{"event":"message","data":{"content":"two\nlines and a \"quote\""},"offset":"00000000000000ab.7"}"#;
        assert_eq!(event.websocket(), &websocket::text(text.to_owned()));
        assert_eq!(
            event.stream(),
            "event: message\nid: 00000000000000ab.7\ndata: {\"content\":\"two\\nlines and a \\\"quote\\\"\"}\n\n"
        );
    }

    #[test]
    fn what_is_no_history_carries_no_offset() {
        let event = Frames::event("typing_start", json(&1).unwrap());
        assert_eq!(event.socketio().json(), r#"["typing_start",1]"#);
        assert_eq!(
            event.websocket(),
            &websocket::text(r#"{"event":"typing_start","data":1}"#.to_owned())
        );
        assert_eq!(event.stream(), "event: typing_start\ndata: 1\n\n");
    }

    #[test]
    fn an_embedded_page_gets_its_own_object_only_where_there_is_one() {
        let event = Frames::event("message", json(&1).unwrap());
        let same = event.to(Holder::Embed).websocket();
        assert_eq!(same.as_ptr(), event.websocket().as_ptr());
        let event = event.for_embeds(json(&2).unwrap());
        let forms = [Holder::User, Holder::Embed].map(|holder| event.to(holder).stream());
        assert_eq!(forms[0], "event: message\ndata: 1\n\n");
        assert_eq!(forms[1], "event: message\ndata: 2\n\n");
    }

    #[test]
    fn all_clones_share_what_is_encoded() {
        let event = Frames::event("message", data());
        let clone = event.clone();
        assert_eq!(event.websocket().as_ptr(), clone.websocket().as_ptr());
        assert_eq!(event.stream().as_ptr(), clone.stream().as_ptr());
    }
}
