//! The simulated Discord, driven over its controls: who is there, which channel everyone sees, and the load.
//! It knows the shape of `/sim/world` and `/sim/load`, and nothing of who listens.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use jsonwebtoken::{EncodingKey, Header};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A bench that takes longer than this has failed long before.
const TOKEN_LIFE: Duration = Duration::from_hours(2);
/// Discord's number of a text channel (<https://discord.com/developers/docs/resources/channel#channel-object-channel-types>).
const TEXT: u8 = 0;

/// What `GET /sim/world` says, as far as it is needed.
#[derive(Debug, Deserialize)]
pub(crate) struct World {
    /// The bot's token.
    pub(crate) token: String,
    guilds: Vec<Guild>,
}

#[derive(Debug, Deserialize)]
struct Guild {
    id: String,
    owner_id: String,
    channels: Vec<Channel>,
    members: Vec<Member>,
}

#[derive(Debug, Deserialize)]
struct Channel {
    id: String,
    #[serde(rename = "type")]
    kind: u8,
    private: bool,
}

#[derive(Debug, Deserialize)]
struct Member {
    id: String,
    username: String,
    bot: bool,
}

#[derive(Serialize)]
struct Claims<'a> {
    discord_id: &'a str,
    username: &'a str,
    exp: u64,
}

impl World {
    /// The world of the simulator at this address.
    pub(crate) async fn of(http: &reqwest::Client, sim: &str) -> anyhow::Result<Self> {
        let answer = http.get(format!("{sim}/sim/world")).send().await?;
        let world = answer.error_for_status()?.json().await;
        world.context("/sim/world is not what the contract says")
    }

    /// The first text channel that everyone sees.
    pub(crate) fn channel(&self) -> anyhow::Result<&str> {
        let mut channels = self.guilds.first().into_iter().flat_map(|g| &g.channels);
        let channel = channels.find(|channel| channel.kind == TEXT && !channel.private);
        let channel = channel.context("the simulated Discord has no public text channel")?;
        Ok(&channel.id)
    }

    /// The guild that the channel belongs to.
    pub(crate) fn guild(&self) -> anyhow::Result<&str> {
        let guild = self.guilds.first();
        Ok(&guild.context("the simulated Discord has no guild")?.id)
    }

    /// The other guilds.
    pub(crate) fn other_guilds(&self) -> impl Iterator<Item = &str> {
        self.guilds.iter().skip(1).map(|guild| guild.id.as_str())
    }

    /// Everybody of the guild who is no bot and does not own it: their id, and a token for them.
    pub(crate) fn people(&self, secret: &str) -> anyhow::Result<Vec<(String, String)>> {
        let owner = self.guilds.first().map(|guild| guild.owner_id.as_str());
        let tokens = self.tokens(secret)?;
        let ids = self.humans().map(|member| member.id.clone());
        let people = ids.zip(tokens).filter(|(id, _)| Some(id.as_str()) != owner);
        Ok(people.collect())
    }

    fn humans(&self) -> impl Iterator<Item = &Member> {
        let members = self.guilds.first().into_iter().flat_map(|g| &g.members);
        members.filter(|member| !member.bot)
    }

    /// A token for each person of the guild that the channel belongs to.
    pub(crate) fn tokens(&self, secret: &str) -> anyhow::Result<Vec<String>> {
        let key = EncodingKey::from_secret(secret.as_bytes());
        let exp = (SystemTime::UNIX_EPOCH.elapsed()? + TOKEN_LIFE).as_secs();
        let tokens: Result<Vec<String>, _> = self
            .humans()
            .map(|member| {
                let claims = Claims {
                    discord_id: &member.id,
                    username: &member.username,
                    exp,
                };
                jsonwebtoken::encode(&Header::default(), &claims, &key)
            })
            .collect();
        let tokens = tokens.context("a token can't be signed")?;
        anyhow::ensure!(!tokens.is_empty(), "the simulated Discord has no people");
        Ok(tokens)
    }
}

/// Numbered messages at a steady rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load<'a> {
    /// Where.
    pub(crate) channel: &'a str,
    /// A second.
    pub(crate) rate: u32,
    /// How many.
    pub(crate) count: u32,
    /// The length of each text.
    pub(crate) bytes: u32,
}

impl Load<'_> {
    /// Has the simulator begin.
    pub(crate) async fn begin(self, http: &reqwest::Client, sim: &str) -> anyhow::Result<()> {
        let body = json!({
            "channelId": self.channel,
            "rate": self.rate,
            "count": self.count,
            "bytes": self.bytes,
        });
        let answer = http.post(format!("{sim}/sim/load")).json(&body).send();
        answer.await?.error_for_status()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{DecodingKey, Validation};
    use serde_json::Value;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn world() -> World {
        let world = json!({ "token": "t", "client_id": "1", "guilds": [
            { "id": "1", "owner_id": "9", "channels": [
                { "id": "2", "name": "voice", "type": 2, "private": false },
                { "id": "3", "name": "crew", "type": 0, "private": true },
                { "id": "4", "name": "general", "type": 0, "private": false },
            ], "members": [
                { "id": "5", "username": "ada", "bot": false, "roles": [] },
                { "id": "6", "username": "robot", "bot": true, "roles": [] },
            ] },
            { "id": "7", "owner_id": "8", "channels": [], "members": [{ "id": "8", "username": "x", "bot": false }] },
        ] });
        serde_json::from_value(world).unwrap()
    }

    #[test]
    fn the_channel_is_the_first_text_channel_that_everyone_sees() {
        assert_eq!(world().channel().unwrap(), "4");
    }

    #[test]
    fn every_person_of_the_guild_gets_a_token_and_no_bot_does() {
        let tokens = world().tokens(SECRET).unwrap();
        let key = DecodingKey::from_secret(SECRET.as_bytes());
        let claims: Vec<Value> = tokens
            .iter()
            .map(|t| {
                jsonwebtoken::decode(t, &key, &Validation::default())
                    .unwrap()
                    .claims
            })
            .collect();
        assert_eq!(claims.len(), 1);
        assert_eq!(
            (&claims[0]["discord_id"], &claims[0]["username"]),
            (&json!("5"), &json!("ada"))
        );
    }

    #[test]
    fn an_empty_world_is_an_error() {
        let world: World = serde_json::from_value(json!({ "token": "t", "guilds": [] })).unwrap();
        assert!(world.channel().is_err());
        assert!(world.tokens(SECRET).is_err());
    }
}
