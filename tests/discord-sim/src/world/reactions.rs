//! Reactions: put under a message, taken away, and listed.

use serde_json::{Value, json};

use super::World;
use crate::event::Intents;
use crate::message::{Emoji, Reaction};
use crate::object::set;
use crate::refusal::Refusal;
use crate::snowflake::Snowflake;

impl World {
    /// Adds a reaction; a second time by the same user changes nothing and tells nobody.
    pub(crate) fn react(
        &mut self,
        channel_id: Snowflake,
        message_id: Snowflake,
        emoji: &Emoji,
        user_id: Snowflake,
    ) -> Result<(), Refusal> {
        let guild_id = self.channel(channel_id)?.guild_id;
        let member = self.member_json(guild_id, user_id)?;
        let message = self.message_mut(channel_id, message_id)?;
        let author_id = message.author_id;
        let existing = message
            .reactions
            .iter_mut()
            .find(|reaction| reaction.emoji == *emoji);
        match existing {
            Some(reaction) if reaction.user_ids.contains(&user_id) => return Ok(()),
            Some(reaction) => reaction.user_ids.push(user_id),
            None => message.reactions.push(Reaction {
                emoji: emoji.clone(),
                user_ids: vec![user_id],
            }),
        }
        let mut body = reaction_event(guild_id, channel_id, message_id, Some(emoji));
        set(&mut body, "user_id", json!(user_id));
        set(&mut body, "member", member);
        set(&mut body, "message_author_id", json!(author_id));
        set(&mut body, "burst", json!(false));
        set(&mut body, "type", json!(0));
        self.emit("MESSAGE_REACTION_ADD", guild_id, Intents::REACTIONS, body);
        Ok(())
    }

    /// Takes one user's reaction away.
    pub(crate) fn unreact(
        &mut self,
        channel_id: Snowflake,
        message_id: Snowflake,
        emoji: &Emoji,
        user_id: Snowflake,
    ) -> Result<(), Refusal> {
        let message = self.message_mut(channel_id, message_id)?;
        let guild_id = message.guild_id;
        let reaction = message
            .reactions
            .iter_mut()
            .find(|reaction| reaction.emoji == *emoji);
        let reaction = reaction.ok_or(Refusal::UnknownEmoji)?;
        let before = reaction.user_ids.len();
        reaction.user_ids.retain(|id| *id != user_id);
        if reaction.user_ids.len() == before {
            return Err(Refusal::UnknownUser);
        }
        message
            .reactions
            .retain(|reaction| !reaction.user_ids.is_empty());
        let mut body = reaction_event(guild_id, channel_id, message_id, Some(emoji));
        set(&mut body, "user_id", json!(user_id));
        set(&mut body, "burst", json!(false));
        set(&mut body, "type", json!(0));
        self.emit(
            "MESSAGE_REACTION_REMOVE",
            guild_id,
            Intents::REACTIONS,
            body,
        );
        Ok(())
    }

    /// Takes away every reaction, or every reaction with one emoji.
    pub(crate) fn clear_reactions(
        &mut self,
        channel_id: Snowflake,
        message_id: Snowflake,
        emoji: Option<&Emoji>,
    ) -> Result<(), Refusal> {
        let message = self.message_mut(channel_id, message_id)?;
        let guild_id = message.guild_id;
        message
            .reactions
            .retain(|reaction| emoji.is_some_and(|emoji| reaction.emoji != *emoji));
        let name = match emoji {
            Some(_) => "MESSAGE_REACTION_REMOVE_EMOJI",
            None => "MESSAGE_REACTION_REMOVE_ALL",
        };
        let body = reaction_event(guild_id, channel_id, message_id, emoji);
        self.emit(name, guild_id, Intents::REACTIONS, body);
        Ok(())
    }

    /// The users who reacted with an emoji.
    pub(crate) fn reactors(
        &self,
        channel_id: Snowflake,
        message_id: Snowflake,
        emoji: &Emoji,
    ) -> Result<Value, Refusal> {
        self.channel(channel_id)?;
        let message = self
            .find(channel_id, message_id)
            .ok_or(Refusal::UnknownMessage)?;
        let reaction = message
            .reactions
            .iter()
            .find(|reaction| reaction.emoji == *emoji);
        let ids = reaction
            .map(|reaction| reaction.user_ids.as_slice())
            .unwrap_or_default();
        Ok(ids
            .iter()
            .filter_map(|id| self.users.get(id))
            .map(|user| json!(user))
            .collect())
    }
}

fn reaction_event(
    guild_id: Snowflake,
    channel_id: Snowflake,
    message_id: Snowflake,
    emoji: Option<&Emoji>,
) -> Value {
    let mut body =
        json!({ "guild_id": guild_id, "channel_id": channel_id, "message_id": message_id });
    if let Some(emoji) = emoji {
        set(&mut body, "emoji", json!(emoji));
    }
    body
}
