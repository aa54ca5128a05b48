//! One sweep of an erasure: what is there of the user now, found, told and taken away.
//!
//! In this order: a sweep that is cut leaves what the next one needs to find the rest. The user's messages go last from
//! SQL, for by their ids others' copies are found; the stream's events go when what came after them is told.

use std::collections::BTreeMap;
use std::time::Duration;

use broker::{Broker, Erasure, StreamState};
use proto::envelope::Opened;
use proto::event::{Event, Message};
use proto::{MessageId, UserId};
use runtime::time::now_ms;
use store::{Found, Place, Store, Trail};

use super::EraseError;
use super::publish::Desk;
use super::receipt::Counts;
use super::stream::{CALL, each};
use crate::leader::bounded;

/// A membership's event stays for so long: an instance that reads a hole must not miss that somebody lost a role.
const MEMBERSHIP_AGE_MIN: Duration = Duration::from_mins(2);
/// Messages that are buried by one call.
const BURIED_MAX: usize = 2_000;

/// What is there of the user.
struct Sweep<'a> {
    broker: &'a dyn Broker,
    store: &'a Store,
    stream: StreamState,
    trail: Trail,
    own: BTreeMap<MessageId, Place>,
    others: BTreeMap<MessageId, (Place, Found)>,
    /// The stream's events that are to go.
    events: Vec<u64>,
}

/// Sweeps once.
pub(super) async fn sweep(
    broker: &dyn Broker,
    store: &Store,
    user: UserId,
) -> Result<Counts, EraseError> {
    let mut sweep = Sweep {
        broker,
        store,
        stream: bounded(CALL, broker.state()).await?,
        trail: Trail::new(user),
        own: BTreeMap::new(),
        others: BTreeMap::new(),
        events: Vec::new(),
    };
    sweep.find_own().await?;
    sweep.find_others().await?;
    sweep.find_events().await?;
    sweep.tell().await?;
    let events = sweep.take_away().await?;
    let (memberships, logins) = store.forget_user(user).await?;
    let count = |is_it: fn(&Found) -> bool| {
        let found = sweep.others.values().map(|(_, found)| found);
        found.filter(|found| is_it(found)).count() as u64
    };
    Ok(Counts {
        messages: sweep.own.len() as u64,
        replies: count(|found| found.reply),
        forwards: count(|found| found.forward),
        names: count(|found| found.name),
        memberships,
        logins,
        events,
    })
}

impl Sweep<'_> {
    async fn find_own(&mut self) -> Result<(), EraseError> {
        let mut after = Some(0);
        while let Some(from) = after {
            let step = self.store.own_messages(&mut self.trail, from).await?;
            self.own
                .extend(step.met.into_iter().map(|place| (place.message, place)));
            after = step.next;
        }
        let (trail, mut unarchived) = (&mut self.trail, BTreeMap::new());
        let mut deleted = Vec::new();
        let all = (self.stream.first, self.stream.last);
        each(self.broker, None, all, |_, opened| {
            if let Event::MessageDeleted(gone) = &opened.event {
                deleted.extend(MessageId::new(gone.message_id));
            }
            if let Some((message, place)) = posted(&opened)
                && trail.is_theirs(message)
            {
                trail.add(place.message);
                unarchived.insert(place.message, place);
            }
        })
        .await?;
        // Of what was deleted before only the events are left.
        for message in deleted {
            unarchived.remove(&message);
        }
        self.own.append(&mut unarchived);
        Ok(())
    }

    async fn find_others(&mut self) -> Result<(), EraseError> {
        let mut after = Some(0);
        while let Some(from) = after {
            let step = self.store.forget_quotes(&mut self.trail, from).await?;
            let met = step.met.into_iter();
            self.others
                .extend(met.map(|(place, found)| (place.message, (place, found))));
            after = step.next;
        }
        Ok(())
    }

    /// What the stream holds of the user's text, and of what they are a member of.
    async fn find_events(&mut self) -> Result<(), EraseError> {
        let position = self.store.position().await?;
        let is_known = position.generation == self.stream.generation;
        let archived = if is_known { position.sequence } else { 0 };
        let age_min = i64::try_from(MEMBERSHIP_AGE_MIN.as_millis()).unwrap_or(i64::MAX);
        let old_ms = now_ms().saturating_sub(age_min);
        let user = self.trail.user().get();
        let (trail, others, events) = (&mut self.trail, &mut self.others, &mut self.events);
        let all = (self.stream.first, self.stream.last);
        each(self.broker, None, all, |sequence, opened| {
            if let Event::MemberUpserted(member) = &opened.event {
                let is_theirs = member.user.as_ref().is_some_and(|own| own.id == user);
                let is_settled = sequence <= archived && opened.received_ms < old_ms;
                events.extend((is_theirs && is_settled).then_some(sequence));
            }
            let Some((message, place)) = posted(&opened) else {
                return;
            };
            if trail.is_theirs(message) {
                return events.push(sequence);
            }
            let found = trail.forget(&mut message.clone());
            if found.is_text() {
                events.push(sequence);
                let (_, known) = others.entry(place.message).or_insert((place, found));
                known.reply |= found.reply;
                known.forward |= found.forward;
            }
        })
        .await?;
        Ok(())
    }

    /// Tells every instance and every archive.
    async fn tell(&mut self) -> Result<(), EraseError> {
        let desk = Desk {
            broker: self.broker,
            store: self.store,
            generation: self.stream.generation,
            epoch: rand::random(),
        };
        for (place, found) in self.others.values() {
            if found.is_text() {
                desk.update(*place, &mut self.trail).await?;
            }
        }
        for place in self.own.values() {
            desk.delete(*place).await?;
        }
        Ok(())
    }

    /// How many of the stream's events went.
    async fn take_away(&mut self) -> Result<u64, EraseError> {
        let own: Vec<MessageId> = self.own.keys().copied().collect();
        for some in own.chunks(BURIED_MAX) {
            self.store.bury(some, now_ms()).await?;
        }
        let mut removed = 0;
        for sequence in &self.events {
            let removing = self.broker.remove(*sequence, Erasure::Overwrite);
            removed += u64::from(bounded(CALL, removing).await?);
        }
        Ok(removed)
    }
}

/// The message that an event brings, and where that is.
fn posted(opened: &Opened) -> Option<(&Message, Place)> {
    let (Event::MessageCreated(message) | Event::MessageUpdated(message)) = &opened.event else {
        return None;
    };
    let place = Place {
        message: MessageId::new(message.id)?,
        channel: opened.channel?,
        guild: opened.guild,
    };
    Some((message, place))
}
