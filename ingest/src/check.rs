//! `ingest check`: what the bot's token lacks, in sentences for whoever set it up. Asks the API alone, and
//! names no secret.

use std::fmt;

use proto::event::{Channel, Guild, Role};
use proto::{ChannelId, GuildId, UserId};
use serde::Deserialize;

use crate::application;
use crate::decode::{decode_channels, decode_guild, decode_member};
use crate::exclusions::Exclusions;
use crate::rest::{Rest, RestError};
use crate::settings::IngestSettings;
use permission::{CONNECT, READ_MESSAGE_HISTORY, VIEW_CHANNEL};

mod permission;

/// Guilds of one page of the list, Discord's most.
const PAGE: usize = 200;
/// How long one answer may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
/// Channels that are named; the others are counted.
const NAMED_MAX: usize = 10;
/// Channel types that hold messages or threads: text, voice, announcements, stage, forum, media.
const HOLDING: [u32; 6] = [0, 2, 5, 13, 15, 16];
/// Of these, those where messages need a connection too.
const VOICE: [u32; 2] = [2, 13];

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    lines: Vec<String>,
    lacking: usize,
}

impl Report {
    /// How many things lack.
    pub fn lacking(&self) -> usize {
        self.lacking
    }

    fn good(&mut self, line: impl fmt::Display) {
        self.lines.push(format!("ok       {line}"));
    }

    fn lacks(&mut self, line: impl fmt::Display) {
        self.lacking += 1;
        self.lines.push(format!("LACKING  {line}"));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        match self.lacking {
            0 => f.write_str("nothing lacks"),
            1 => f.write_str("1 thing lacks"),
            count => write!(f, "{count} things lack"),
        }
    }
}

/// What is needed to look at a guild.
struct Place {
    guild: Guild,
    roles: Vec<Role>,
    channels: Vec<Channel>,
    /// The bot's.
    own_roles: Vec<u64>,
}

/// Checks the token of these settings.
pub async fn check(settings: &IngestSettings) -> Report {
    let mut report = Report::default();
    let rest = match Rest::new(&settings.api_url, &settings.token) {
        Ok(rest) => rest,
        Err(error) => {
            report.lacks(error);
            return report;
        }
    };
    let exclusions = Exclusions::new(settings.exclusions.clone());
    if let Some(bot) = check_token(&rest, &mut report).await {
        check_intents(&rest, &mut report).await;
        check_guilds(&rest, bot, &exclusions, &mut report).await;
    }
    report
}

async fn check_token(rest: &Rest, report: &mut Report) -> Option<UserId> {
    #[derive(Deserialize)]
    struct Bot {
        id: String,
        username: String,
    }
    match rest.get::<Bot>("/users/@me").await {
        Ok(bot) => {
            report.good(format_args!("the token is that of {}", bot.username));
            bot.id.parse().ok()
        }
        Err(RestError::Unauthorized) => {
            report.lacks("Discord refuses the bot token: check DISCORD_BOT_TOKEN, or reset it in Discord's developer portal");
            None
        }
        Err(error) => {
            report.lacks(format_args!("Discord's API can't be asked: {error}"));
            None
        }
    }
}

async fn check_intents(rest: &Rest, report: &mut Report) {
    let granted = match application::granted(rest).await {
        Ok(granted) => granted,
        Err(error) => {
            report.lacks(format_args!(
                "Discord does not say which intents the bot may use: {error}"
            ));
            return;
        }
    };
    for (is_granted, name, without) in [
        (
            granted.content,
            "message content intent",
            "messages come without their text",
        ),
        (
            granted.members,
            "server members intent",
            "changes of roles are noticed a minute late",
        ),
    ] {
        if is_granted {
            report.good(format_args!("the {name} is on"));
        } else {
            report.lacks(format_args!(
                "the {name} is off, so that {without}: enable it in Discord's developer portal"
            ));
        }
    }
}

async fn check_guilds(rest: &Rest, bot: UserId, exclusions: &Exclusions, report: &mut Report) {
    let guilds = match guilds(rest).await {
        Ok(guilds) => guilds,
        Err(error) => {
            report.lacks(format_args!(
                "Discord does not say which servers the bot is in: {error}"
            ));
            return;
        }
    };
    if guilds.is_empty() {
        report.lacks("the bot is in no server: invite it to one");
    }
    for guild in guilds {
        match place(rest, guild, bot).await {
            Ok(place) => check_place(&place, bot, exclusions, report),
            Err(error) => {
                report.lacks(format_args!("the server {guild} can't be read: {error}"));
            }
        }
    }
}

/// The guilds of the bot, page by page.
async fn guilds(rest: &Rest) -> Result<Vec<GuildId>, RestError> {
    #[derive(Deserialize)]
    struct Listed {
        id: String,
    }
    let mut all = Vec::new();
    let mut path = format!("/users/@me/guilds?limit={PAGE}");
    loop {
        let page: Vec<Listed> = rest.get(&path).await?;
        let ids: Vec<GuildId> = page.iter().filter_map(|one| one.id.parse().ok()).collect();
        let last = ids.iter().max().copied();
        let is_last = page.len() < PAGE || last.is_none_or(|last| all.contains(&last));
        all.extend(ids);
        match last {
            Some(last) if !is_last => path = format!("/users/@me/guilds?limit={PAGE}&after={last}"),
            _ => return Ok(all),
        }
    }
}

async fn place(rest: &Rest, guild: GuildId, bot: UserId) -> Result<Place, RestError> {
    let text = rest.get_text(&format!("/guilds/{guild}"), PATIENCE).await?;
    let (guild_read, roles) = decode_guild(&text).ok_or(RestError::Unfitting)?;
    let text = rest
        .get_text(&format!("/guilds/{guild}/channels"), PATIENCE)
        .await?;
    let channels = decode_channels(&text).ok_or(RestError::Unfitting)?;
    let text = rest
        .get_text(&format!("/guilds/{guild}/members/{bot}"), PATIENCE)
        .await?;
    let member = decode_member(&text).ok_or(RestError::Unfitting)?;
    Ok(Place {
        guild: guild_read,
        roles,
        channels,
        own_roles: member.roles,
    })
}

fn check_place(place: &Place, bot: UserId, exclusions: &Exclusions, report: &mut Report) {
    let Place { guild, roles, .. } = place;
    let base = permission::of_guild(guild, roles, &place.own_roles, bot);
    let shown = place.channels.iter().filter(|channel| {
        HOLDING.contains(&channel.kind) && !exclusions.hides_below(channel.id, channel.parent_id)
    });
    let shown: Vec<_> = shown.collect();
    let lacking_before = report.lacking;
    let mut look_for = |name: &str, bit: u64, kinds: &[u32]| {
        let lacks = |channel: &&&Channel| {
            let has = permission::of_channel(base, channel, guild.id, &place.own_roles, bot);
            kinds.contains(&channel.kind) && has & bit == 0
        };
        let lacking: Vec<_> = shown.iter().filter(lacks).copied().collect();
        if !lacking.is_empty() {
            let (count, named) = (lacking.len(), names(&lacking));
            let server = &guild.name;
            report.lacks(format_args!(
                "in {server}: {name} in {count} of {} channels: {named}",
                shown.len()
            ));
        }
    };
    look_for("View Channel", VIEW_CHANNEL, &HOLDING);
    look_for("Read Message History", READ_MESSAGE_HISTORY, &HOLDING);
    look_for("Connect", CONNECT, &VOICE);
    if report.lacking == lacking_before {
        let (server, count) = (&guild.name, shown.len());
        report.good(format_args!(
            "in {server}: all {count} channels can be read"
        ));
    }
}

fn names(channels: &[&Channel]) -> String {
    let name = |channel: &&Channel| match ChannelId::new(channel.id) {
        Some(id) if channel.name.is_empty() => id.to_string(),
        _ => format!("#{}", channel.name),
    };
    let mut list: Vec<_> = channels.iter().take(NAMED_MAX).map(name).collect();
    if channels.len() > NAMED_MAX {
        list.push(format!("and {} more", channels.len() - NAMED_MAX));
    }
    list.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(id: u64, kind: u32) -> Channel {
        Channel {
            id,
            kind,
            name: format!("c{id}"),
            ..Channel::default()
        }
    }

    fn report(permissions: u64, channels: Vec<Channel>, excluded: &[u64]) -> String {
        let place = Place {
            guild: Guild {
                id: 1,
                name: "G".into(),
                ..Guild::default()
            },
            roles: vec![Role {
                id: 1,
                permissions,
                ..Role::default()
            }],
            channels,
            own_roles: Vec::new(),
        };
        let exclusions = Exclusions::new(crate::exclusions::ExclusionRules {
            channels: excluded.iter().copied().collect(),
            ..crate::exclusions::ExclusionRules::default()
        });
        let mut report = Report::default();
        check_place(&place, UserId::new(9).unwrap(), &exclusions, &mut report);
        report.to_string()
    }

    #[test]
    fn what_lacks_is_named_by_channel_and_counted() {
        let all = VIEW_CHANNEL | READ_MESSAGE_HISTORY | CONNECT;
        let category = channel(4, 4);
        let some = || vec![channel(1, 0), channel(2, 2), category.clone()];
        assert_eq!(
            report(all, some(), &[]),
            "ok       in G: all 2 channels can be read\nnothing lacks"
        );
        assert_eq!(
            report(VIEW_CHANNEL | READ_MESSAGE_HISTORY, some(), &[]),
            "LACKING  in G: Connect in 1 of 2 channels: #c2\n1 thing lacks"
        );
        let said = report(
            VIEW_CHANNEL,
            (1..=13).map(|id| channel(id, 0)).collect(),
            &[1],
        );
        assert!(
            said.contains("Read Message History in 12 of 12 channels: #c2"),
            "{said}"
        );
        assert!(said.contains("#c11, and 2 more"), "{said}");
        assert_eq!(
            report(0, vec![channel(1, 0)], &[1]),
            "ok       in G: all 0 channels can be read\nnothing lacks"
        );
    }
}
