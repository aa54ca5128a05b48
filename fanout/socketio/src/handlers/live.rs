//! A connected socket of a namespace of handlers: its session, and the events that wait for the one before them.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    panic::AssertUnwindSafe,
    rc::Rc,
};

use futures_util::FutureExt;

use super::{Client, Namespace};
use crate::{
    close::{Close, DisconnectReason},
    host::Event,
    socket::Socket,
};

/// Events of one socket that may wait for a handler, and their bytes: what any socket's queue holds by default. A single
/// event is let in however large it is.
const WAITING_MAX: usize = 1024;
const WAITING_BYTES_MAX: usize = 1024 * 1024;

/// A connected socket, whatever its session is.
pub(super) trait Live {
    fn on_connected(&self);
    fn on_event(self: Rc<Self>, event: Event);
    fn on_disconnected(&self, reason: DisconnectReason);
}

/// Who becomes one.
pub(super) trait Admit {
    fn live(self: Box<Self>, socket: &Socket) -> Rc<dyn Live>;
}

pub(super) struct Admitted<S> {
    pub(super) namespace: Rc<Namespace<S>>,
    pub(super) session: S,
}

impl<S: 'static> Admit for Admitted<S> {
    fn live(self: Box<Self>, socket: &Socket) -> Rc<dyn Live> {
        Rc::new(Attended {
            namespace: self.namespace,
            client: Client {
                socket: socket.clone(),
                session: Rc::new(self.session),
            },
            line: RefCell::default(),
            is_busy: Cell::new(false),
        })
    }
}

struct Attended<S> {
    namespace: Rc<Namespace<S>>,
    client: Client<S>,
    line: RefCell<Line>,
    /// A handler is at work, or one is about to be.
    is_busy: Cell<bool>,
}

/// What waits for its handler.
#[derive(Default)]
struct Line {
    events: VecDeque<Event>,
    bytes: usize,
}

impl Line {
    /// Takes an event in, unless that would be too much.
    fn push(&mut self, event: Event) -> Result<(), TooMuch> {
        let bytes = size(&event);
        let has_room = self.events.len() < WAITING_MAX && self.bytes + bytes <= WAITING_BYTES_MAX;
        if !has_room && !self.events.is_empty() {
            return Err(TooMuch);
        }
        self.bytes += bytes;
        self.events.push_back(event);
        Ok(())
    }

    fn pop(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        self.bytes -= size(&event);
        Some(event)
    }
}

struct TooMuch;

fn size(event: &Event) -> usize {
    let args = event.args.iter().map(|arg| arg.get().len());
    let attachments = event.attachments.iter().map(bytes::Bytes::len);
    event.name.len() + args.chain(attachments).sum::<usize>()
}

impl<S: 'static> Attended<S> {
    async fn work(self: Rc<Self>) {
        loop {
            if !self.client.is_connected() {
                // A handler has ended it: what waits is dropped at once.
                *self.line.borrow_mut() = Line::default();
            }
            // In a statement of its own, so that the line is free while the handler works.
            let event = self.line.borrow_mut().pop();
            match event {
                Some(event) => self.namespace.handle(&self.client, event).await,
                None => break,
            }
        }
        self.is_busy.set(false);
    }
}

impl<S: 'static> Live for Attended<S> {
    fn on_connected(&self) {
        if let Some(connected) = &self.namespace.connected {
            connected(&self.client);
        }
    }

    fn on_event(self: Rc<Self>, event: Event) {
        if self.line.borrow_mut().push(event).is_err() {
            tracing::debug!("a client emits more than its handlers get done");
            return self.client.close(Close::TooSlow);
        }
        if self.is_busy.replace(true) {
            return;
        }
        // Most handlers are done at once: then no task is needed.
        let mut work = Rc::clone(&self).work().boxed_local();
        if (&mut work).now_or_never().is_none() {
            actix_rt::spawn(async move {
                if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                    tracing::error!("a handler panicked; its connection is closed");
                    self.client.fail();
                }
            });
        }
    }

    fn on_disconnected(&self, reason: DisconnectReason) {
        *self.line.borrow_mut() = Line::default();
        if let Some(disconnected) = &self.namespace.disconnected {
            disconnected(&self.client, reason);
        }
    }
}
