//! Pinned messages: set, taken down, and listed in the older and the paged form.

use serde_json::{Value, json};

use super::World;
use crate::event::Intents;
use crate::message::{Edit, Message};
use crate::refusal::Refusal;
use crate::snowflake::{Snowflake, iso8601};

/// How many pins a channel may have; Discord's own limit since pins are paged.
const PINS_MAX: usize = 250;

impl World {
    /// Pins a message or takes its pin down: the message changes, and so do the channel's pins.
    pub(crate) fn set_pin(
        &mut self,
        channel_id: Snowflake,
        message_id: Snowflake,
        is_pinned: bool,
    ) -> Result<(), Refusal> {
        let guild_id = self.messageable(channel_id)?.guild_id;
        if self
            .message_mut(channel_id, message_id)?
            .pinned_ms
            .is_some()
            == is_pinned
        {
            return Ok(());
        }
        if is_pinned && self.pinned(channel_id).len() >= PINS_MAX {
            return Err(Refusal::TooManyPins);
        }
        let edit = Edit {
            pinned: Some(is_pinned),
            ..Edit::default()
        };
        self.edit(channel_id, message_id, edit)?;
        let last = self
            .pinned(channel_id)
            .first()
            .and_then(|pin| pin.pinned_ms);
        let body = json!({
            "guild_id": guild_id,
            "channel_id": channel_id,
            "last_pin_timestamp": last.map(iso8601),
        });
        self.emit("CHANNEL_PINS_UPDATE", guild_id, Intents::GUILDS, body);
        Ok(())
    }

    /// The pinned messages as `GET /channels/{id}/pins` lists them: the newest pin first.
    pub(crate) fn pins(&self, channel_id: Snowflake) -> Result<Vec<Value>, Refusal> {
        self.seen_channel(channel_id)?;
        let pins = self.pinned(channel_id).into_iter();
        Ok(pins.map(|message| self.message_json(message)).collect())
    }

    /// The same as `GET /channels/{id}/messages/pins` lists them, with their times.
    pub(crate) fn timed_pins(
        &self,
        channel_id: Snowflake,
    ) -> Result<Vec<(String, Value)>, Refusal> {
        self.seen_channel(channel_id)?;
        let pins = self.pinned(channel_id).into_iter();
        let timed = pins.filter_map(|pin| Some((iso8601(pin.pinned_ms?), self.message_json(pin))));
        Ok(timed.collect())
    }

    fn pinned(&self, channel_id: Snowflake) -> Vec<&Message> {
        let kept = self.messages.get(&channel_id).into_iter();
        let mut pins: Vec<_> = kept
            .flat_map(std::collections::BTreeMap::values)
            .filter(|message| message.pinned_ms.is_some())
            .collect();
        pins.sort_by_key(|message| std::cmp::Reverse(message.pinned_ms));
        pins
    }
}
