//! What an erasure tells the stream: that the user's messages are deleted, and how others' messages are without them.
//!
//! A running leader publishes to the same channels. Each publication here expects the channel's last event, and what
//! it says is made from everything up to that one: what the leader says meanwhile is never taken back.

use std::time::Duration;

use broker::{Broker, Publication, PublishError};
use proto::event::{Event, Message, MessageDeleted};
use proto::{Envelope, Identity, Subject};
use runtime::time::now_ms;
use store::{Place, Store, Trail};
use tokio::time::sleep;

use super::EraseError;
use super::stream::{CALL, each};
use crate::leader::bounded;

/// Tries of one publication: others publish to a busy channel too.
const TRIES_MAX: usize = 50;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(20);

/// Publishes for one sweep.
pub(super) struct Desk<'a> {
    pub(super) broker: &'a dyn Broker,
    pub(super) store: &'a Store,
    /// The stream's generation.
    pub(super) generation: u64,
    /// Names the sweep.
    pub(super) epoch: u64,
}

impl Desk<'_> {
    /// The message is deleted.
    pub(super) async fn delete(&self, place: Place) -> Result<(), EraseError> {
        let identity = Identity::Delete(place.message);
        let event = Event::MessageDeleted(MessageDeleted {
            message_id: place.message.get(),
        });
        for _ in 0..TRIES_MAX {
            let last = self.last(place).await?;
            if self.publish(place, &identity, event.clone(), last).await? {
                return Ok(());
            }
        }
        Err(EraseError::Unpublished)
    }

    /// The message is as it was, without what it told of the user; nothing if it is deleted.
    pub(super) async fn update(&self, place: Place, trail: &mut Trail) -> Result<(), EraseError> {
        let identity = Identity::Erasure(self.epoch, place.message);
        for _ in 0..TRIES_MAX {
            let last = self.last(place).await?;
            let Some(mut message) = self.current(place, last).await? else {
                return Ok(());
            };
            trail.forget(&mut message);
            // They are an event of their own: an update never changes them.
            message.reactions.clear();
            let event = Event::MessageUpdated(message);
            if self.publish(place, &identity, event, last).await? {
                return Ok(());
            }
        }
        Err(EraseError::Unpublished)
    }

    /// The last sequence of the channel.
    async fn last(&self, place: Place) -> Result<u64, EraseError> {
        let last = self.broker.last_of(Subject::Channel(place.channel));
        let last = bounded(CALL, last).await?;
        Ok(last.map_or(0, |stored| stored.sequence))
    }

    /// The message as it is after this sequence; none if there is none.
    async fn current(&self, place: Place, last: u64) -> Result<Option<Message>, EraseError> {
        // Before the row: it may only be newer then, and what is applied to it again ends as it is.
        let position = self.store.position().await?;
        let after = if position.generation == self.generation {
            position.sequence
        } else {
            0
        };
        let mut message = self.store.message(place.channel, place.message).await?;
        let mut is_gone = message.is_none() && self.store.is_deleted(place.message).await?;
        let id = place.message.get();
        let subject = Some(Subject::Channel(place.channel));
        each(
            self.broker,
            subject,
            (after + 1, last),
            |_, opened| match opened.event {
                Event::MessageCreated(created) if created.id == id => {
                    message.get_or_insert(created);
                }
                Event::MessageUpdated(updated) if updated.id == id => message = Some(updated),
                Event::MessageDeleted(deleted) => is_gone |= deleted.message_id == id,
                _ => {}
            },
        )
        .await?;
        Ok(message.filter(|_| !is_gone))
    }

    /// False if it has to be tried again.
    async fn publish(
        &self,
        place: Place,
        identity: &Identity,
        event: Event,
        expected: u64,
    ) -> Result<bool, EraseError> {
        let envelope = Envelope {
            identity: identity.clone(),
            trace: None,
            guild: place.guild,
            channel: Some(place.channel),
            received_ms: now_ms(),
            event,
        };
        let publication = Publication {
            subject: envelope.subject(),
            identity: envelope.identity.to_string(),
            trace: None,
            payload: envelope.encode().payload,
        };
        match self.broker.publish(&publication, expected).await {
            Ok(_) => Ok(true),
            Err(PublishError::Expectation | PublishError::Unknown(_)) => {
                sleep(PAUSE).await;
                Ok(false)
            }
            Err(PublishError::Refused(_)) => Err(EraseError::Unpublished),
        }
    }
}
