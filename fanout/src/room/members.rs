//! Who is in a room: Socket.IO's sockets, to which its server writes in one go, and the links of all others.
//!
//! Users and embedded pages stand apart, because an event may have two forms: one for all of each.

use std::collections::BTreeMap;
use std::rc::Rc;

use actix_socketio::Socket;
use proto::ChannelId;

use crate::access::Holder;
use crate::frames::Frames;
use crate::session::ViewerKey;
use crate::transport::{Hold, Link};

/// The members of one channel on one worker.
#[derive(Debug)]
pub(super) struct Members {
    users: Group,
    embeds: Group,
}

/// Those with one kind of token. A viewer is among the sockets or among the others.
#[derive(Debug)]
struct Group {
    /// The room of the Socket.IO server in which the sockets are, one in each namespace.
    name: Box<str>,
    /// By namespace.
    sockets: BTreeMap<Box<str>, BTreeMap<ViewerKey, Socket>>,
    others: BTreeMap<ViewerKey, Link>,
}

impl Members {
    /// Nobody, in this channel.
    pub(super) fn of(channel: ChannelId) -> Self {
        Self {
            users: Group::named(channel.to_string()),
            embeds: Group::named(format!("{channel}/embed")),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.users.len() + self.embeds.len()
    }

    /// Nobody is here.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The viewer is here.
    pub(super) fn has(&self, viewer: ViewerKey) -> bool {
        self.users.has(viewer) || self.embeds.has(viewer)
    }

    /// All of them.
    pub(super) fn keys(&self) -> impl Iterator<Item = ViewerKey> {
        self.users.keys().chain(self.embeds.keys())
    }

    /// Sends an event to all of them, behind whatever was sent to each before.
    pub(super) fn tell(&self, frames: &Frames) {
        self.users.tell(frames.to(Holder::User));
        self.embeds.tell(frames.to(Holder::Embed));
    }

    /// Any of the sockets: their worker is one for all.
    pub(super) fn any_socket(&self) -> Option<&Socket> {
        self.users.any_socket().or_else(|| self.embeds.any_socket())
    }

    /// A viewer is here with this link, or has another one. True if they were not here.
    pub(super) fn insert(&mut self, viewer: ViewerKey, link: Link, holder: Holder) -> bool {
        match holder {
            Holder::User => self.users.insert(viewer, link),
            Holder::Embed => self.embeds.insert(viewer, link),
        }
    }

    /// A viewer is out: what was told before still reaches them. True if they were here.
    pub(super) fn remove(&mut self, viewer: ViewerKey) -> bool {
        self.users.remove(viewer) || self.embeds.remove(viewer)
    }

    /// This hold stands for the viewer.
    pub(super) fn is_held(&self, viewer: ViewerKey, hold: &Rc<Hold>) -> bool {
        self.users.is_held(viewer, hold) || self.embeds.is_held(viewer, hold)
    }
}

impl Group {
    fn named(name: String) -> Self {
        Self {
            name: name.into(),
            sockets: BTreeMap::new(),
            others: BTreeMap::new(),
        }
    }

    fn len(&self) -> usize {
        self.sockets.values().map(BTreeMap::len).sum::<usize>() + self.others.len()
    }

    fn has(&self, viewer: ViewerKey) -> bool {
        let is_socket = |sockets: &BTreeMap<_, _>| sockets.contains_key(&viewer);
        self.sockets.values().any(is_socket) || self.others.contains_key(&viewer)
    }

    fn keys(&self) -> impl Iterator<Item = ViewerKey> {
        let sockets = self.sockets.values().flat_map(BTreeMap::keys);
        sockets.chain(self.others.keys()).copied()
    }

    fn tell(&self, frames: &Frames) {
        // Any of a namespace's sockets reaches all of them.
        for sockets in self.sockets.values() {
            if let Some((_, any)) = sockets.first_key_value() {
                any.broadcast_local(Some(&self.name), frames.socketio());
            }
        }
        self.others.values().for_each(|link| link.send(frames));
    }

    fn any_socket(&self) -> Option<&Socket> {
        self.sockets.values().flat_map(BTreeMap::values).next()
    }

    fn insert(&mut self, viewer: ViewerKey, link: Link) -> bool {
        let was_here = self.has(viewer);
        match link {
            // Nobody has joined more channels than a socket may have rooms; who had would be told one by one.
            Link::SocketIo(socket) if socket.join(&self.name).is_ok() => {
                self.others.remove(&viewer);
                let namespace = socket.namespace().into();
                let sockets = self.sockets.entry(namespace).or_default();
                sockets.insert(viewer, socket);
            }
            link => {
                self.forget_socket(viewer);
                self.others.insert(viewer, link);
            }
        }
        !was_here
    }

    fn remove(&mut self, viewer: ViewerKey) -> bool {
        let was_socket = self.forget_socket(viewer);
        self.others.remove(&viewer).is_some() || was_socket
    }

    fn is_held(&self, viewer: ViewerKey, hold: &Rc<Hold>) -> bool {
        matches!(self.others.get(&viewer), Some(Link::Held(own)) if Rc::ptr_eq(own, hold))
    }

    fn forget_socket(&mut self, viewer: ViewerKey) -> bool {
        let mut namespaces = self.sockets.values_mut();
        let socket = namespaces.find_map(|sockets| sockets.remove(&viewer));
        if let Some(socket) = &socket {
            socket.leave(&self.name);
        }
        socket.is_some()
    }
}
