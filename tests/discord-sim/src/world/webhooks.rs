//! Webhooks: made in a channel, and what is posted through them, in a name and with a face of their own.
//! <https://discord.com/developers/docs/resources/webhook>.

use serde::Deserialize;
use serde_json::{Value, json};

use super::World;
use crate::channel::Channel;
use crate::event::Intents;
use crate::guild::User;
use crate::message::{Draft, Edit};
use crate::refusal::Refusal;
use crate::snowflake::Snowflake;

/// How many webhooks a channel may have; Discord's own limit.
const WEBHOOKS_PER_CHANNEL_MAX: usize = 15;

/// Something that posts into one channel.
#[derive(Clone, Debug)]
pub(crate) struct Webhook {
    id: Snowflake,
    token: String,
    guild_id: Snowflake,
    channel_id: Snowflake,
    name: String,
}

/// The body of a request that makes a webhook.
#[derive(Debug, Deserialize)]
pub(crate) struct WebhookDraft {
    name: String,
}

/// What is posted through a webhook: a message, perhaps in another name.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Execution {
    username: Option<String>,
    #[serde(flatten)]
    pub(crate) draft: Draft,
}

impl Webhook {
    fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "type": 1,
            "token": self.token,
            "guild_id": self.guild_id,
            "channel_id": self.channel_id,
            "name": self.name,
            "avatar": null,
            "application_id": null,
        })
    }

    /// Who its messages are by. A webhook is no user, though it looks like one.
    fn author(&self, username: Option<String>) -> User {
        let name = username.unwrap_or_else(|| self.name.clone());
        let mut author = User::human(self.id, &name, None);
        author.discriminator = "0000";
        author.avatar = None;
        author.bot = true;
        author
    }
}

impl World {
    pub(crate) fn create_webhook(
        &mut self,
        channel_id: Snowflake,
        draft: WebhookDraft,
    ) -> Result<Value, Refusal> {
        let guild_id = self.channel(channel_id)?.guild_id;
        let is_named = (1..=80).contains(&draft.name.chars().count());
        if !is_named || draft.name.to_lowercase().contains("clyde") {
            return Err(Refusal::Form(
                "name: 1 to 80 in length, and not Clyde's".to_owned(),
            ));
        }
        if self.webhooks_in(channel_id).count() >= WEBHOOKS_PER_CHANNEL_MAX {
            return Err(Refusal::Form(
                "the channel has its most webhooks".to_owned(),
            ));
        }
        let webhook = Webhook {
            id: self.new_id(),
            token: format!(
                "{:032x}{:032x}",
                rand::random::<u128>(),
                rand::random::<u128>()
            ),
            guild_id,
            channel_id,
            name: draft.name,
        };
        let body = webhook.to_json();
        self.webhooks.insert(webhook.id, webhook);
        self.announce_webhooks(guild_id, channel_id);
        Ok(body)
    }

    pub(crate) fn webhooks(&self, channel_id: Snowflake) -> Result<Vec<Value>, Refusal> {
        self.channel(channel_id)?;
        Ok(self.webhooks_in(channel_id).map(Webhook::to_json).collect())
    }

    /// A webhook, for whoever has its token.
    pub(crate) fn webhook_json(&self, id: Snowflake, token: &str) -> Result<Value, Refusal> {
        self.webhook(id, token).map(Webhook::to_json)
    }

    pub(crate) fn delete_webhook(&mut self, id: Snowflake) -> Result<(), Refusal> {
        let webhook = self.webhooks.remove(&id).ok_or(Refusal::UnknownWebhook)?;
        self.announce_webhooks(webhook.guild_id, webhook.channel_id);
        Ok(())
    }

    /// Posts through a webhook, into its channel or a thread of it.
    pub(crate) fn execute_webhook(
        &mut self,
        id: Snowflake,
        token: &str,
        thread_id: Option<Snowflake>,
        execution: Execution,
    ) -> Result<Value, Refusal> {
        let webhook = self.webhook(id, token)?;
        let target = thread_id.unwrap_or(webhook.channel_id);
        let is_thread = |channel: &Channel| channel.parent_id == Some(webhook.channel_id);
        if target != webhook.channel_id && !self.channels.get(&target).is_some_and(is_thread) {
            return Err(Refusal::UnknownChannel);
        }
        let mut draft = execution.draft;
        draft.author_id = None;
        draft.webhook = Some(webhook.author(execution.username));
        self.post(target, draft)
    }

    /// Changes a message that was posted through a webhook.
    pub(crate) fn edit_by_webhook(
        &mut self,
        (id, token, message_id): (Snowflake, &str, Snowflake),
        thread_id: Option<Snowflake>,
        edit: Edit,
    ) -> Result<Value, Refusal> {
        let channel_id = self.own_message(id, token, thread_id, message_id)?;
        self.edit(channel_id, message_id, edit)
    }

    /// Deletes a message that was posted through a webhook.
    pub(crate) fn delete_by_webhook(
        &mut self,
        (id, token, message_id): (Snowflake, &str, Snowflake),
        thread_id: Option<Snowflake>,
    ) -> Result<(), Refusal> {
        let channel_id = self.own_message(id, token, thread_id, message_id)?;
        self.delete(channel_id, message_id)
    }

    fn own_message(
        &self,
        id: Snowflake,
        token: &str,
        thread_id: Option<Snowflake>,
        message_id: Snowflake,
    ) -> Result<Snowflake, Refusal> {
        let channel_id = thread_id.unwrap_or(self.webhook(id, token)?.channel_id);
        let message = self.find(channel_id, message_id);
        let is_own = message.is_some_and(|message| message.author_id == id);
        is_own.then_some(channel_id).ok_or(Refusal::UnknownMessage)
    }

    fn webhook(&self, id: Snowflake, token: &str) -> Result<&Webhook, Refusal> {
        let webhook = self.webhooks.get(&id).ok_or(Refusal::UnknownWebhook)?;
        if webhook.token == token {
            return Ok(webhook);
        }
        Err(Refusal::InvalidWebhookToken)
    }

    fn webhooks_in(&self, channel_id: Snowflake) -> impl Iterator<Item = &Webhook> {
        let webhooks = self.webhooks.values();
        webhooks.filter(move |webhook| webhook.channel_id == channel_id)
    }

    fn announce_webhooks(&mut self, guild_id: Snowflake, channel_id: Snowflake) {
        let body = json!({ "guild_id": guild_id, "channel_id": channel_id });
        self.emit("WEBHOOKS_UPDATE", guild_id, Intents::WEBHOOKS, body);
    }
}
