//! Messages: posted, edited, deleted, paged, and written as JSON.
//! Paging follows Discord: at most one anchor, which is never part of `before` and `after`, always newest first.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde_json::{Map, Value, json};

use super::{BOT_ID, MESSAGES_PER_CHANNEL_MAX, World};
use crate::event::Intents;
use crate::message::{Draft, Edit, Message, Page, Reference};
use crate::object::set;
use crate::refusal::Refusal;
use crate::snowflake::{Snowflake, unix_ms};

/// The longest content that any account may post.
const CONTENT_CHARS_MAX: usize = 4_000;
/// Discord's own limit of a bulk delete.
const BULK_DELETE_MAX: usize = 100;

impl World {
    /// Posts a message and answers it as REST does.
    pub(crate) fn post(&mut self, channel_id: Snowflake, draft: Draft) -> Result<Value, Refusal> {
        let channel = self.messageable(channel_id)?;
        let guild_id = channel.guild_id;
        let is_archived = (channel.thread.as_ref()).is_some_and(|thread| thread.archived);
        let author_id = match &draft.webhook {
            Some(webhook) => webhook.id,
            None => self.user(draft.author_id.unwrap_or(BOT_ID))?.id,
        };
        let snapshot = draft
            .message_reference
            .and_then(|wanted| self.snapshot(channel_id, wanted));
        let nonce = draft.nonce.clone();
        let id = draft.id.unwrap_or_else(|| self.new_id());
        let mut draft = draft;
        let declared = std::mem::take(&mut draft.attachments);
        let uploads = std::mem::take(&mut draft.uploads);
        let mut message = compose(id, channel_id, guild_id, author_id, draft, snapshot)?;
        message.attachments = self.files.attach(id, declared, uploads)?;
        if message.is_blank() {
            return Err(Refusal::EmptyMessage);
        }
        if is_archived {
            self.unarchive(channel_id)?;
        }
        let mut body = self.message_json(&message);
        if let Some(nonce) = nonce {
            set(&mut body, "nonce", nonce);
        }
        self.emit_message("MESSAGE_CREATE", &message, &body);
        self.keep(message);
        self.posted += 1;
        Ok(body)
    }

    /// Stores a message without telling anybody.
    pub(crate) fn keep(&mut self, message: Message) {
        if let Some(channel) = self.channels.get_mut(&message.channel_id) {
            channel.last_message_id = channel.last_message_id.max(Some(message.id));
            if let Some(thread) = &mut channel.thread {
                thread.message_count += 1;
                thread.member_ids.insert(message.author_id);
            }
        }
        let kept = self.messages.entry(message.channel_id).or_default();
        kept.insert(message.id, message);
        if kept.len() > MESSAGES_PER_CHANNEL_MAX {
            kept.pop_first();
        }
    }

    /// Changes a message. A pin alone is an update without being an edit.
    pub(crate) fn edit(
        &mut self,
        channel_id: Snowflake,
        id: Snowflake,
        edit: Edit,
    ) -> Result<Value, Refusal> {
        check_content(edit.content.as_deref())?;
        let message = self.message_mut(channel_id, id)?;
        let is_edit = edit.content.is_some() || edit.embeds.is_some() || edit.components.is_some();
        if let Some(content) = edit.content {
            message.content = content;
        }
        if let Some(embeds) = edit.embeds {
            message.embeds = embeds.into_iter().map(rich_embed).collect();
        }
        if let Some(components) = edit.components {
            message.extras.insert("components".to_owned(), components);
        }
        message.flags = edit.flags.unwrap_or(message.flags);
        if let Some(kept) = edit.attachments {
            message
                .attachments
                .retain(|attachment| kept.iter().any(|kept| kept.id == attachment.id));
        }
        if let Some(is_pinned) = edit.pinned {
            message.pinned_ms = is_pinned.then(unix_ms);
        }
        if is_edit {
            message.edited_ms = Some(unix_ms());
        }
        let message = message.clone();
        let body = self.message_json(&message);
        self.emit_message("MESSAGE_UPDATE", &message, &body);
        Ok(body)
    }

    pub(crate) fn delete(&mut self, channel_id: Snowflake, id: Snowflake) -> Result<(), Refusal> {
        let guild_id = self.channel(channel_id)?.guild_id;
        let kept = self.messages.get_mut(&channel_id);
        kept.and_then(|kept| kept.remove(&id))
            .ok_or(Refusal::UnknownMessage)?;
        let body = json!({ "id": id, "channel_id": channel_id, "guild_id": guild_id });
        self.emit("MESSAGE_DELETE", guild_id, Intents::MESSAGES, body);
        Ok(())
    }

    /// Deletes 2 to 100 messages at once; ids that are not there are passed over, as Discord does.
    pub(crate) fn bulk_delete(
        &mut self,
        channel_id: Snowflake,
        ids: &[Snowflake],
    ) -> Result<(), Refusal> {
        self.messageable(channel_id)?;
        if !(2..=BULK_DELETE_MAX).contains(&ids.len()) {
            return Err(Refusal::BulkDelete);
        }
        self.delete_all(channel_id, ids)
    }

    fn delete_all(&mut self, channel_id: Snowflake, ids: &[Snowflake]) -> Result<(), Refusal> {
        let guild_id = self.messageable(channel_id)?.guild_id;
        let kept = self.messages.entry(channel_id).or_default();
        let gone: Vec<_> = ids.iter().filter(|id| kept.remove(id).is_some()).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let body = json!({ "ids": gone, "channel_id": channel_id, "guild_id": guild_id });
        self.emit("MESSAGE_DELETE_BULK", guild_id, Intents::MESSAGES, body);
        Ok(())
    }

    /// Deletes what somebody wrote in a guild since a time (Unix milliseconds), in bulk, channel by channel.
    pub(super) fn purge(
        &mut self,
        guild_id: Snowflake,
        author_id: Snowflake,
        since_ms: u64,
    ) -> Result<(), Refusal> {
        let mut bulks = Vec::new();
        for (channel_id, kept) in &self.messages {
            let channel = self.channels.get(channel_id);
            if channel.is_none_or(|channel| channel.guild_id != guild_id) {
                continue;
            }
            let is_theirs = |message: &&Message| {
                message.author_id == author_id && message.id.unix_ms() >= since_ms
            };
            let ids: Vec<_> = kept
                .values()
                .filter(is_theirs)
                .map(|gone| gone.id)
                .collect();
            bulks.extend(
                ids.chunks(BULK_DELETE_MAX)
                    .map(|ids| (*channel_id, ids.to_vec())),
            );
        }
        bulks.sort_unstable();
        for (channel_id, ids) in bulks {
            self.delete_all(channel_id, &ids)?;
        }
        Ok(())
    }

    pub(crate) fn message(&self, channel_id: Snowflake, id: Snowflake) -> Result<Value, Refusal> {
        if !self.bot_reads_history(self.seen_channel(channel_id)?) {
            return Err(Refusal::MissingPermissions);
        }
        self.find(channel_id, id)
            .map(|message| self.message_json(message))
            .ok_or(Refusal::UnknownMessage)
    }

    /// A page of a channel, newest first.
    pub(crate) fn page(&self, channel_id: Snowflake, page: Page) -> Result<Vec<Value>, Refusal> {
        self.messageable(channel_id)?;
        let channel = self.seen_channel(channel_id)?;
        let limit = match page.limit.unwrap_or(50) {
            limit @ 1..=100 => usize::try_from(limit).unwrap_or(100),
            _ => {
                return Err(Refusal::Form(
                    "limit: int value should be 1 to 100".to_owned(),
                ));
            }
        };
        if !self.bot_reads_history(channel) {
            return Ok(Vec::new());
        }
        let none = BTreeMap::new();
        let kept = self.messages.get(&channel_id).unwrap_or(&none);
        let found = match (page.before, page.after, page.around) {
            (None, None, None) => newest(kept.values(), limit),
            (Some(before), None, None) => newest(kept.range(..before).map(|(_, kept)| kept), limit),
            (None, Some(after), None) => following(kept, after, limit),
            (None, None, Some(around)) => {
                let mut page = following(kept, around, limit / 2);
                let rest = limit - page.len().min(limit / 2);
                page.extend(newest(kept.range(..=around).map(|(_, kept)| kept), rest));
                page
            }
            _ => {
                return Err(Refusal::Form(
                    "before, after and around exclude each other".to_owned(),
                ));
            }
        };
        Ok(found
            .into_iter()
            .map(|message| self.message_json(message))
            .collect())
    }

    /// Somebody begins to type.
    pub(crate) fn type_in(
        &mut self,
        channel_id: Snowflake,
        user_id: Snowflake,
    ) -> Result<(), Refusal> {
        let guild_id = self.messageable(channel_id)?.guild_id;
        let member = self.member_json(guild_id, user_id)?;
        let body = json!({
            "channel_id": channel_id,
            "guild_id": guild_id,
            "user_id": user_id,
            "timestamp": unix_ms() / 1_000,
            "member": member,
        });
        self.emit("TYPING_START", guild_id, Intents::TYPING, body);
        Ok(())
    }

    /// When the oldest message that a channel has was written, in Unix milliseconds; now, if it has none.
    pub(crate) fn beginning_of(&self, channel_id: Snowflake) -> Option<u64> {
        self.channels.get(&channel_id)?;
        let kept = self.messages.get(&channel_id);
        let first = kept.and_then(BTreeMap::first_key_value);
        Some(first.map_or_else(unix_ms, |(id, _)| id.unix_ms()))
    }

    /// The messages of a channel, oldest first.
    #[cfg(test)]
    pub(crate) fn kept(&self, channel_id: Snowflake) -> Vec<&Message> {
        let kept = self.messages.get(&channel_id).into_iter();
        kept.flat_map(BTreeMap::values).collect()
    }

    pub(super) fn find(&self, channel_id: Snowflake, id: Snowflake) -> Option<&Message> {
        self.messages.get(&channel_id)?.get(&id)
    }

    pub(super) fn message_mut(
        &mut self,
        channel_id: Snowflake,
        id: Snowflake,
    ) -> Result<&mut Message, Refusal> {
        self.channel(channel_id)?;
        let kept = self.messages.get_mut(&channel_id);
        kept.and_then(|kept| kept.get_mut(&id))
            .ok_or(Refusal::UnknownMessage)
    }

    /// The gateway's form of a message: REST's, and the guild, and the author's membership.
    fn emit_message(&mut self, name: &'static str, message: &Message, rest: &Value) {
        let mut body = rest.clone();
        set(&mut body, "guild_id", json!(message.guild_id));
        let guild = self.guilds.get(&message.guild_id);
        if let Some(member) = guild.and_then(|guild| guild.members.get(&message.author_id)) {
            set(&mut body, "member", member.to_partial_json());
        }
        if let Some(channel) = self.channels.get(&message.channel_id) {
            set(&mut body, "channel_type", json!(channel.kind));
        }
        self.emit(name, message.guild_id, Intents::MESSAGES, body);
    }
}

fn compose(
    id: Snowflake,
    channel_id: Snowflake,
    guild_id: Snowflake,
    author_id: Snowflake,
    draft: Draft,
    snapshot: Option<Value>,
) -> Result<Message, Refusal> {
    check_content(draft.content.as_deref())?;
    let mut extras = Map::new();
    for (name, value) in [
        ("components", draft.components),
        ("poll", draft.poll),
        ("sticker_items", draft.sticker_items),
    ] {
        extras.extend(value.map(|value| (name.to_owned(), value)));
    }
    let content = draft.content.unwrap_or_default();
    let reference = draft.message_reference.map(|wanted| Reference {
        channel_id: wanted.channel_id.unwrap_or(channel_id),
        message_id: wanted.message_id,
        is_forward: wanted.kind == 1,
    });
    let is_forward = reference.is_some_and(|reference| reference.is_forward);
    if is_forward && snapshot.is_none() {
        return Err(Refusal::UnknownMessage);
    }
    Ok(Message {
        id,
        channel_id,
        guild_id,
        author_id,
        content,
        edited_ms: None,
        embeds: draft.embeds.into_iter().map(rich_embed).collect(),
        attachments: Vec::new(),
        reactions: Vec::new(),
        reference,
        snapshot: snapshot.filter(|_| is_forward),
        pinned_ms: None,
        webhook: draft.webhook,
        // HAS_SNAPSHOT, 1 << 14.
        flags: draft.flags | (u64::from(is_forward) << 14),
        extras,
    })
}

fn check_content(content: Option<&str>) -> Result<(), Refusal> {
    if content.is_some_and(|content| content.chars().count() > CONTENT_CHARS_MAX) {
        let text = format!("content: must be {CONTENT_CHARS_MAX} or fewer in length");
        return Err(Refusal::Form(text));
    }
    Ok(())
}

fn rich_embed(mut embed: Map<String, Value>) -> Value {
    embed.entry("type").or_insert_with(|| json!("rich"));
    Value::Object(embed)
}

fn newest<'a>(
    messages: impl DoubleEndedIterator<Item = &'a Message>,
    limit: usize,
) -> Vec<&'a Message> {
    messages.rev().take(limit).collect()
}

/// The `limit` messages that come just after the anchor, newest first.
fn following(
    kept: &BTreeMap<Snowflake, Message>,
    anchor: Snowflake,
    limit: usize,
) -> Vec<&Message> {
    let later = kept.range((Bound::Excluded(anchor), Bound::Unbounded));
    let mut page: Vec<_> = later.take(limit).map(|(_, kept)| kept).collect();
    page.reverse();
    page
}
