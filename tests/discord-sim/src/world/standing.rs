//! How the bot stands to a guild: in it, in it while it is out of order, or out of it.
//! An outage is `GUILD_DELETE` with `unavailable` and ends with `GUILD_CREATE`; without that field the bot was removed.

use serde_json::json;

use super::World;
use crate::event::{Event, Intents};
use crate::guild::Standing;
use crate::refusal::Refusal;
use crate::snowflake::Snowflake;

impl World {
    /// Changes it, and says so.
    pub(crate) fn set_standing(
        &mut self,
        guild_id: Snowflake,
        standing: Standing,
    ) -> Result<(), Refusal> {
        let guild = self.guild_mut(guild_id)?;
        if std::mem::replace(&mut guild.standing, standing) == standing {
            return Ok(());
        }
        let gone = |body| Event {
            name: "GUILD_DELETE",
            guild_id,
            intents: Intents::GUILDS,
            body,
        };
        let event = match standing {
            Standing::Available => self.guild_create(guild_id)?,
            Standing::Unavailable => gone(json!({ "id": guild_id, "unavailable": true })),
            Standing::Left => gone(json!({ "id": guild_id })),
        };
        self.outbox.push(event);
        Ok(())
    }

    /// The guilds that a user is a member of, those in an outage among them.
    pub(crate) fn guilds_of(&self, user_id: Snowflake) -> Vec<Snowflake> {
        let is_of = |guild: &crate::guild::Guild| {
            guild.members.contains_key(&user_id)
                && (user_id != super::BOT_ID || guild.standing != Standing::Left)
        };
        let guilds = self.guilds.values().filter(|guild| is_of(guild));
        guilds.map(|guild| guild.id).collect()
    }

    /// Whether a guild is in order, so that a new session is told of it.
    pub(crate) fn is_available(&self, guild_id: Snowflake) -> bool {
        let guild = self.guilds.get(&guild_id);
        guild.is_some_and(|guild| guild.standing == Standing::Available)
    }
}
