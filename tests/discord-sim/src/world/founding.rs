//! The world as it is at the start: two communities, their people, roles and channels, under ids that never change.
//! One channel is private to one role, and to the bot, which is an ordinary member with a role of its own.

use serde_json::json;

use super::files::Files;
use super::{World, history};
use crate::channel::{Channel, Kind, Overwrite};
use crate::guild::{Guild, GuildEmoji, Member, Role, Standing, User, picture_hash};
use crate::permission::Permissions;
use crate::snowflake::{Snowflake, iso8601, unix_ms};

/// The bot, whose id is the application's too.
pub(crate) const BOT_ID: Snowflake = fixed(0);
const WORKSHOP: Snowflake = fixed(1_000);
/// An odd millisecond where the workshop's is even: of two shards each has one of them, and so it is of three.
const HARBOUR: Snowflake = Snowflake::at(1_695_300_000_001, 1);
/// Where the ids of `--members` begin.
const EXTRA_MEMBERS: u64 = 1_000_000;

const MODERATOR: Snowflake = fixed(1_010);
const CREW: Snowflake = fixed(1_011);
const MAKER: Snowflake = fixed(1_012);
const WORKSHOP_BOT: Snowflake = fixed(1_013);
const KEEPER: Snowflake = fixed(2_010);
const HARBOUR_BOT: Snowflake = fixed(2_013);

/// Number, username, display name, roles in the workshop, whether also in the harbour.
type Person = (u64, &'static str, &'static str, &'static [Snowflake], bool);

/// The people; the first owns the workshop, the second the harbour.
const PEOPLE: [Person; 16] = [
    (1, "marta_k", "Marta", &[], true),
    (2, "theo.lind", "Theo", &[MODERATOR, CREW], true),
    (3, "aya", "Aya", &[CREW, MAKER], true),
    (4, "bruno_v", "Bruno", &[CREW], false),
    (5, "carmen", "Carmen", &[MAKER], true),
    (6, "dmitri", "Dmitri", &[MAKER], false),
    (7, "ewa.n", "Ewa", &[MODERATOR], true),
    (8, "farid", "Farid", &[], false),
    (9, "grace_o", "Grace", &[MAKER], true),
    (10, "hiro", "Hiro", &[], false),
    (11, "ines", "Inês", &[MAKER], true),
    (12, "jonas", "Jonas", &[], false),
    (13, "kofi", "Kofi", &[], true),
    (14, "lena", "Lena", &[MAKER], false),
    (15, "mika", "Mika", &[], true),
    (16, "noor", "Noor ✨", &[], true),
];

/// Number, kind, name, number of the category (0: none), topic.
type Place = (u64, Kind, &'static str, u64, &'static str);

const WORKSHOP_PLACES: [Place; 12] = [
    (1_100, Kind::CATEGORY, "Welcome", 0, ""),
    (
        1_101,
        Kind::ANNOUNCEMENT,
        "announcements",
        1_100,
        "News from the workshop. Quiet, on purpose.",
    ),
    (1_110, Kind::CATEGORY, "Workshop", 0, ""),
    (
        1_111,
        Kind::TEXT,
        "general",
        1_110,
        "Whatever is on your bench today",
    ),
    (
        1_112,
        Kind::TEXT,
        "show-and-tell",
        1_110,
        "Finished, half finished or gloriously broken: show it",
    ),
    (
        1_113,
        Kind::TEXT,
        "help",
        1_110,
        "No question is too small. Pictures help.",
    ),
    (
        1_114,
        Kind::FORUM,
        "ideas",
        1_110,
        "One post an idea, please",
    ),
    (
        1_115,
        Kind::TEXT,
        "crew-room",
        1_110,
        "For those who keep the lights on",
    ),
    (1_120, Kind::CATEGORY, "After hours", 0, ""),
    (1_121, Kind::TEXT, "off-topic", 1_120, "Bread, bikes, birds"),
    (1_122, Kind::VOICE, "Workbench", 1_120, ""),
    (
        1_123,
        Kind::TEXT,
        "tools",
        1_110,
        "What to buy, what to borrow, what to leave in the shop",
    ),
];

const HARBOUR_PLACES: [Place; 4] = [
    (2_100, Kind::CATEGORY, "Reading room", 0, ""),
    (2_101, Kind::TEXT, "lounge", 2_100, "Tea is on"),
    (
        2_102,
        Kind::TEXT,
        "now-reading",
        2_100,
        "What is on your night table?",
    ),
    (2_103, Kind::VOICE, "Book club", 2_100, ""),
];

/// The `number`th id that is the same at every start. Odd low bits, so that an id read as a double is a wrong one.
const fn fixed(number: u64) -> Snowflake {
    Snowflake::at(1_693_300_000_000 + number * 1_000, 1 + 2 * (number % 50))
}

/// When the bot came to both guilds.
pub(super) fn bot_joined_at() -> String {
    iso8601(fixed(500_000).unix_ms())
}

impl World {
    /// Makes the world, with `extra_members` more people in its first guild and some recent history.
    pub(crate) fn found(extra_members: usize, base: &str) -> Self {
        let mut world = Self {
            files: Files::new(base.to_owned()),
            ..Self::default()
        };
        world.add_accounts();
        world.add_workshop(extra_members);
        world.add_harbour();
        world.add_places(WORKSHOP, &WORKSHOP_PLACES);
        world.add_places(HARBOUR, &HARBOUR_PLACES);
        world.restrict_channels();
        history::write(&mut world, unix_ms());
        // The founding itself is no news.
        world.take_events();
        world.posted = 0;
        world
    }

    fn add_accounts(&mut self) {
        let mut bot = User::human(BOT_ID, "stream-bot", None);
        bot.bot = true;
        self.users.insert(BOT_ID, bot);
        for (number, username, name, _, _) in PEOPLE {
            let id = fixed(number);
            self.users.insert(id, User::human(id, username, Some(name)));
        }
    }

    fn add_workshop(&mut self, extra_members: usize) {
        let mut guild = found_guild(
            WORKSHOP,
            "Lantern Workshop",
            "People who make things, badly at first",
            fixed(1),
        );
        let moderation = Permissions::MANAGE_MESSAGES | Permissions::MANAGE_THREADS;
        let roles = [
            (MODERATOR, "Moderator", 4, moderation, 0x002E_CC71),
            (CREW, "Crew", 3, Permissions::NONE, 0x00E6_7E22),
            (MAKER, "Maker", 2, Permissions::NONE, 0x0034_98DB),
        ];
        for (id, name, position, permissions, color) in roles {
            let mut role = Role::new(id, name, position, permissions);
            role.set_color(color);
            role.mentionable = true;
            guild.roles.insert(id, role);
        }
        guild.emojis = emojis(1_050, &["lantern", "glue", "heron", "sawdust"]);
        add_bot(&mut guild, WORKSHOP_BOT);
        for (number, _, _, roles, _) in PEOPLE {
            guild.members.insert(
                fixed(number),
                Member::new(fixed(600_000 + number).unix_ms(), roles.to_vec()),
            );
        }
        for index in 1..=extra_members as u64 {
            let id = fixed(EXTRA_MEMBERS + index);
            let user = User::human(id, &format!("member{index:04}"), None);
            self.users.insert(id, user);
            guild
                .members
                .insert(id, Member::new(id.unix_ms(), Vec::new()));
        }
        self.guilds.insert(WORKSHOP, guild);
    }

    fn add_harbour(&mut self) {
        let mut guild = found_guild(
            HARBOUR,
            "Quiet Harbour",
            "A book club that mostly talks about tea",
            fixed(2),
        );
        let mut keeper = Role::new(KEEPER, "Keeper", 2, Permissions::MANAGE_MESSAGES);
        keeper.set_color(0x009B_59B6);
        guild.roles.insert(KEEPER, keeper);
        guild.emojis = emojis(2_050, &["teapot", "lighthouse"]);
        add_bot(&mut guild, HARBOUR_BOT);
        for (number, _, _, _, is_here) in PEOPLE {
            if is_here {
                let roles = if number == 7 {
                    vec![KEEPER]
                } else {
                    Vec::new()
                };
                guild.members.insert(
                    fixed(number),
                    Member::new(fixed(610_000 + number).unix_ms(), roles),
                );
            }
        }
        self.guilds.insert(HARBOUR, guild);
    }

    fn add_places(&mut self, guild_id: Snowflake, places: &[Place]) {
        for (position, (number, kind, name, category, topic)) in (0_i64..).zip(places) {
            let mut channel = Channel::new(fixed(*number), guild_id, *kind, name);
            channel.position = position;
            channel.parent_id = (*category != 0).then(|| fixed(*category));
            channel.topic = (!topic.is_empty()).then(|| (*topic).to_owned());
            self.channels.insert(channel.id, channel);
        }
    }

    /// Crew alone see the crew's room; moderators alone write announcements.
    fn restrict_channels(&mut self) {
        let rules = [
            (
                "crew-room",
                WORKSHOP,
                Permissions::NONE,
                Permissions::VIEW_CHANNEL,
            ),
            (
                "crew-room",
                CREW,
                Permissions::VIEW_CHANNEL,
                Permissions::NONE,
            ),
            (
                "crew-room",
                BOT_ID,
                Permissions::VIEW_CHANNEL,
                Permissions::NONE,
            ),
            (
                "announcements",
                WORKSHOP,
                Permissions::NONE,
                Permissions::SEND_MESSAGES,
            ),
            (
                "announcements",
                MODERATOR,
                Permissions::SEND_MESSAGES,
                Permissions::NONE,
            ),
        ];
        for (name, id, allow, deny) in rules {
            let channel = self
                .channels
                .values_mut()
                .find(|channel| channel.name == name);
            if let Some(channel) = channel {
                channel.overwrites.push(Overwrite {
                    id,
                    kind: u8::from(id == BOT_ID),
                    allow,
                    deny,
                });
            }
        }
    }
}

fn emojis(first: u64, names: &[&str]) -> Vec<GuildEmoji> {
    let emoji = |(number, name): (u64, &&str)| GuildEmoji {
        id: fixed(number),
        name: (*name).to_owned(),
    };
    (first..).zip(names).map(emoji).collect()
}

fn found_guild(id: Snowflake, name: &str, description: &str, owner_id: Snowflake) -> Guild {
    let mut guild = Guild {
        id,
        name: name.to_owned(),
        description: Some(description.to_owned()),
        owner_id,
        icon: Some(picture_hash(id)),
        emojis: Vec::new(),
        standing: Standing::Available,
        roles: std::collections::BTreeMap::new(),
        members: std::collections::BTreeMap::new(),
        bans: std::collections::BTreeMap::new(),
    };
    let everyone = Permissions::VIEW_CHANNEL
        | Permissions::SEND_MESSAGES
        | Permissions::READ_MESSAGE_HISTORY
        | Permissions::ADD_REACTIONS
        | Permissions::EMBED_LINKS
        | Permissions::ATTACH_FILES
        | Permissions::CONNECT
        | Permissions::SPEAK
        | Permissions::CREATE_PUBLIC_THREADS
        | Permissions::SEND_MESSAGES_IN_THREADS;
    guild
        .roles
        .insert(id, Role::new(id, "@everyone", 0, everyone));
    guild
}

fn add_bot(guild: &mut Guild, role_id: Snowflake) {
    // What an invitation of the bot asks for; it is no administrator, and a channel can be hidden from it.
    let permissions = Permissions::VIEW_CHANNEL
        | Permissions::READ_MESSAGE_HISTORY
        | Permissions::SEND_MESSAGES
        | Permissions::CONNECT;
    let mut role = Role::new(role_id, "Stream Bot", 5, permissions);
    role.managed = true;
    role.tags = Some(json!({ "bot_id": BOT_ID }));
    guild.roles.insert(role_id, role);
    guild
        .members
        .insert(BOT_ID, Member::new(fixed(500_000).unix_ms(), vec![role_id]));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CLIENT_ID;

    #[test]
    fn three_members_besides_the_owner_see_the_private_channel_by_one_role() {
        let world = World::found(3, "http://sim");
        let overview = world.overview();
        let first = &overview["guilds"][0];
        let private: Vec<_> = first["channels"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|channel| channel["private"] == true)
            .collect();
        assert_eq!(private.len(), 1);
        assert_eq!(private[0]["type"], 0);
        let crew = json!(CREW);
        let members = first["members"].as_array().unwrap();
        let holders = members
            .iter()
            .filter(|member| member["roles"].as_array().unwrap().contains(&crew));
        assert!(
            holders
                .clone()
                .all(|member| member["id"] != first["owner_id"])
        );
        assert_eq!(holders.count(), 3);
        assert!(
            members
                .iter()
                .filter(|member| member["bot"] == false)
                .count()
                >= 13 + 3
        );
    }

    #[test]
    fn ids_are_the_same_from_start_to_start() {
        assert_eq!(
            World::found(2, "http://sim").overview(),
            World::found(2, "http://sim").overview()
        );
        assert_eq!(BOT_ID.to_string(), CLIENT_ID);
    }

    #[test]
    fn the_guilds_lie_on_different_shards() {
        for shards in [2, 3] {
            assert_ne!(WORKSHOP.shard(shards), HARBOUR.shard(shards));
        }
        assert_eq!((WORKSHOP.shard(2), HARBOUR.shard(2)), (0, 1));
    }

    #[test]
    fn no_id_survives_being_read_as_a_double() {
        for id in World::found(0, "http://sim").channels.keys() {
            let number: u64 = id.to_string().parse().unwrap();
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the loss is the point"
            )]
            let rounded = number as f64 as u64;
            assert_ne!(number, rounded);
        }
    }

    #[test]
    fn every_public_text_channel_has_a_readable_past() {
        let world = World::found(0, "http://sim");
        for channel in world
            .channels
            .values()
            .filter(|channel| channel.kind == Kind::TEXT)
        {
            let kept = world
                .messages
                .get(&channel.id)
                .map_or(0, std::collections::BTreeMap::len);
            let least = if channel.name == "crew-room" { 3 } else { 20 };
            assert!(kept >= least, "{} has {kept}", channel.name);
        }
    }
}
