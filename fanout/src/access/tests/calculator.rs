//! The algorithm against twilight's calculator: every member in every channel of random guilds, all bits that both
//! know.
//!
//! Two of Discord's rules stand between the two results. Without `VIEW_CHANNEL` no other bit means anything, and
//! without `SEND_MESSAGES` those that dress a message mean nothing
//! (<https://docs.discord.com/developers/topics/permissions>, "Implicit Permissions"): the calculator drops them
//! where an overwrite of a role or of the member denies, ours never does, so that both are compared after these
//! rules. The calculator drops what holds in the guild alone, and what the channel's type has no use for: it is asked
//! for an announcement channel, whose type costs nothing.

use std::fmt;
use std::ops::Range;

use rand::prelude::*;
use twilight_model::channel::ChannelType;
use twilight_model::channel::permission_overwrite::{PermissionOverwrite, PermissionOverwriteType};
use twilight_model::guild::Permissions;
use twilight_model::id::Id;
use twilight_model::id::marker::RoleMarker;
use twilight_util::permission_calculator::PermissionCalculator;

use super::super::guild::GuildView;
use super::super::permissions::{by_bits, permissions};
use super::*;
use crate::access::kind;

const GUILDS: u64 = 10_000;
const MEMBERS: u64 = 20;
const CHANNELS: u64 = 20;
/// The first guild's seed; each has its own, the next number.
const SEED: u64 = 20_161_212;

const ROLES: [u64; 6] = [201, 202, 203, 204, 205, 206];
/// A role that members have, overwrites name and the guild has lost.
const LOST_ROLE: u64 = 299;
const FIRST_MEMBER: u64 = 1_000;
/// Somebody else, who owns most of the guilds.
const STRANGER: u64 = 5_000;
const FIRST_CHANNEL: u64 = 10_000;
const KINDS: [u32; 6] = [
    0,
    kind::VOICE,
    kind::ANNOUNCEMENT,
    kind::STAGE,
    kind::FORUM,
    kind::MEDIA,
];

/// What the calculator drops of every channel because it holds in the guild alone.
const OF_THE_GUILD: Permissions = Permissions::ADMINISTRATOR
    .union(Permissions::BAN_MEMBERS)
    .union(Permissions::CHANGE_NICKNAME)
    .union(Permissions::KICK_MEMBERS)
    .union(Permissions::MANAGE_GUILD_EXPRESSIONS)
    .union(Permissions::MANAGE_GUILD)
    .union(Permissions::MANAGE_NICKNAMES)
    .union(Permissions::VIEW_AUDIT_LOG)
    .union(Permissions::VIEW_GUILD_INSIGHTS);

/// What means nothing to who may not send messages.
const OF_A_MESSAGE: Permissions = Permissions::ATTACH_FILES
    .union(Permissions::EMBED_LINKS)
    .union(Permissions::MENTION_EVERYONE)
    .union(Permissions::SEND_TTS_MESSAGES);

const COMPARED: u64 = Permissions::all().difference(OF_THE_GUILD).bits();

/// What these bits are good for, after Discord's implicit denials.
fn effective(bits: u64) -> u64 {
    if bits & VIEW == 0 {
        return 0;
    }
    let dropped = if bits & SEND == 0 {
        OF_A_MESSAGE.bits()
    } else {
        0
    };
    bits & COMPARED & !dropped
}

/// In how many guilds each thing occurs where it can decide something.
#[derive(Debug, Default)]
struct Coverage {
    owner: u64,
    administrator: u64,
    everyone_allow: u64,
    everyone_deny: u64,
    role_allow: u64,
    role_deny: u64,
    member_allow: u64,
    member_deny: u64,
    /// How often a member sees a channel, and how often not.
    seen: u64,
    hidden: u64,
}

impl Coverage {
    fn add(&mut self, other: &Self) {
        let pairs = self.counts_mut().into_iter().zip(other.counts());
        for (sum, (_, count)) in pairs {
            *sum += count;
        }
        self.seen += other.seen;
        self.hidden += other.hidden;
    }

    fn counts(&self) -> [(&'static str, u64); 8] {
        [
            ("owner", self.owner),
            ("ADMINISTRATOR", self.administrator),
            ("@everyone allow", self.everyone_allow),
            ("@everyone deny", self.everyone_deny),
            ("role allow", self.role_allow),
            ("role deny", self.role_deny),
            ("member allow", self.member_allow),
            ("member deny", self.member_deny),
        ]
    }

    fn counts_mut(&mut self) -> [&mut u64; 8] {
        [
            &mut self.owner,
            &mut self.administrator,
            &mut self.everyone_allow,
            &mut self.everyone_deny,
            &mut self.role_allow,
            &mut self.role_deny,
            &mut self.member_allow,
            &mut self.member_deny,
        ]
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, guilds) in self.counts() {
            writeln!(f, "{what}: {guilds} of {GUILDS} guilds")?;
        }
        let pairs = self.seen + self.hidden;
        write!(f, "seen: {} of {pairs} members in channels", self.seen)
    }
}

type Held = Vec<(Id<RoleMarker>, Permissions)>;

/// A random guild, and what the calculator is told of it.
struct Random {
    view: GuildView,
    everyone: Permissions,
    members: Vec<(u64, Held)>,
    channels: Vec<(u64, Vec<PermissionOverwrite>)>,
}

impl Random {
    fn new(seed: u64) -> Self {
        let rng = &mut StdRng::seed_from_u64(seed);
        let mut roles = vec![role(GUILD, bits(rng) | bits(rng))];
        roles.extend(ROLES.map(|id| role(id, bits(rng))));
        if rng.random_bool(0.2) {
            // @everyone seldom: then there is nothing left to compare.
            let index = usize::from(rng.random_bool(0.9)) * rng.random_range(1..=ROLES.len());
            roles[index].permissions |= ADMINISTRATOR;
        }
        let owner = if rng.random_bool(0.3) {
            FIRST_MEMBER + rng.random_range(0..MEMBERS)
        } else {
            STRANGER
        };
        let members: Vec<_> = (0..MEMBERS)
            .map(|n| member(FIRST_MEMBER + n, &held(rng)))
            .collect();
        let channels: Vec<_> = (0..CHANNELS)
            .map(|n| Channel {
                overwrites: overwrites(rng),
                ..channel(FIRST_CHANNEL + n, *KINDS.choose(rng).unwrap())
            })
            .collect();
        Self::of(owner, roles, members, channels)
    }

    fn of(owner: u64, roles: Vec<Role>, members: Vec<Member>, channels: Vec<Channel>) -> Self {
        let known = |id: &u64| roles.iter().find(|role| role.id == *id);
        let as_known = |role: &Role| (Id::new(role.id), as_permissions(role.permissions));
        let told = members.iter().map(|member| {
            let held = member.roles.iter().filter_map(known).map(as_known);
            (member.user.as_ref().unwrap().id, held.collect())
        });
        let open = |channel: &Channel| {
            let overwrites = channel.overwrites.iter().map(as_overwrite);
            (channel.id, overwrites.collect())
        };
        Self {
            everyone: as_permissions(roles[0].permissions),
            members: told.collect(),
            channels: channels.iter().map(open).collect(),
            view: GuildView::new(GuildDirectory {
                guild: Guild {
                    id: GUILD,
                    owner_id: owner,
                    ..Guild::default()
                },
                roles,
                channels,
                members,
            }),
        }
    }

    /// Compares every member in every channel.
    fn compare(&self, seed: u64) -> Coverage {
        let mut coverage = self.coverage();
        for (user, held) in &self.members {
            let user = UserId::new(*user).unwrap();
            let viewer = self.view.member(user).unwrap();
            let calculator =
                PermissionCalculator::new(Id::new(GUILD), Id::new(user.get()), self.everyone, held)
                    .owner_id(Id::new(self.view.guild.owner_id));
            for (id, overwrites) in &self.channels {
                let channel = &self.view.channels[id];
                let theirs = calculator
                    .clone()
                    .in_channel(ChannelType::GuildAnnouncement, overwrites);
                let ours = permissions(&self.view, channel, Some(&viewer), NOW);
                let place = || format!("seed {seed}, member {user}, channel {id}");
                assert_eq!(
                    effective(ours),
                    effective(theirs.bits()),
                    "{}: {ours:#x} and {theirs:?}",
                    place()
                );
                assert_eq!(ours == u64::MAX, theirs.is_all(), "{}", place());
                let shown = by_bits(&self.view, channel, Some(&viewer), ours);
                assert_eq!(shown, expected(channel.kind, theirs), "{}", place());
                coverage.seen += u64::from(shown.is_some());
                coverage.hidden += u64::from(shown.is_none());
            }
        }
        coverage
    }

    fn coverage(&self) -> Coverage {
        let guild = &self.view;
        let is_here = |id: u64| guild.members.contains_key(&id);
        let is_held = |id: u64| {
            let mut members = guild.members.values();
            guild.has_role(id) && members.any(|member| member.roles.contains(&id))
        };
        let rules = || guild.channels.values().flat_map(|c| c.overwrites.iter());
        let has = |is_one: &dyn Fn(&Overwrite) -> bool| u64::from(rules().any(is_one));
        let is_everyone = |o: &Overwrite| !o.member && o.id == GUILD;
        let is_role = |o: &Overwrite| !o.member && o.id != GUILD && is_held(o.id);
        let is_member = |o: &Overwrite| o.member && is_here(o.id);
        let administrators = guild
            .roles
            .values()
            .filter(|r| r.permissions & ADMINISTRATOR != 0);
        Coverage {
            owner: u64::from(is_here(guild.guild.owner_id)),
            administrator: u64::from(
                administrators
                    .into_iter()
                    .any(|role| role.id == GUILD || is_held(role.id)),
            ),
            everyone_allow: has(&|o| is_everyone(o) && o.allow != 0),
            everyone_deny: has(&|o| is_everyone(o) && o.deny != 0),
            role_allow: has(&|o| is_role(o) && o.allow != 0),
            role_deny: has(&|o| is_role(o) && o.deny != 0),
            member_allow: has(&|o| is_member(o) && o.allow != 0),
            member_deny: has(&|o| is_member(o) && o.deny != 0),
            seen: 0,
            hidden: 0,
        }
    }
}

/// What these bits of the calculator let a member do.
fn expected(kind: u32, theirs: Permissions) -> Option<Access> {
    let needed = if matches!(kind, kind::VOICE | kind::STAGE) {
        Permissions::VIEW_CHANNEL | Permissions::CONNECT
    } else {
        Permissions::VIEW_CHANNEL
    };
    theirs.contains(needed).then(|| Access {
        can_read_history: theirs.contains(Permissions::READ_MESSAGE_HISTORY),
        can_write: theirs.contains(Permissions::SEND_MESSAGES),
        can_manage: theirs.contains(Permissions::MANAGE_CHANNELS),
    })
}

/// Any bits, each with a chance of a quarter, but ADMINISTRATOR.
fn bits(rng: &mut StdRng) -> u64 {
    rng.random::<u64>() & rng.random::<u64>() & !ADMINISTRATOR
}

/// The bits of one side of an overwrite; often none.
fn side(rng: &mut StdRng) -> u64 {
    if rng.random_bool(0.3) { 0 } else { bits(rng) }
}

fn held(rng: &mut StdRng) -> Vec<u64> {
    let mut held: Vec<_> = ROLES.into_iter().filter(|_| rng.random_bool(0.3)).collect();
    if rng.random_bool(0.1) {
        held.push(LOST_ROLE);
    }
    held.shuffle(rng);
    held
}

/// Some overwrites in any order, also of roles and members that are not here.
fn overwrites(rng: &mut StdRng) -> Vec<Overwrite> {
    let mut targets = Vec::new();
    let roles = [(GUILD, 0.5), (LOST_ROLE, 0.1)];
    let roles = roles.into_iter().chain(ROLES.map(|id| (id, 0.2)));
    targets.extend(
        roles
            .filter(|(_, chance)| rng.random_bool(*chance))
            .map(|(id, _)| (id, false)),
    );
    for _ in 0..rng.random_range(0..=3) {
        let user = FIRST_MEMBER + rng.random_range(0..=MEMBERS);
        if !targets.contains(&(user, true)) {
            targets.push((user, true));
        }
    }
    targets.shuffle(rng);
    targets
        .into_iter()
        .map(|(id, is_member)| overwrite(id, is_member, side(rng), side(rng)))
        .collect()
}

fn as_permissions(bits: u64) -> Permissions {
    Permissions::from_bits_truncate(bits)
}

fn as_overwrite(overwrite: &Overwrite) -> PermissionOverwrite {
    PermissionOverwrite {
        allow: as_permissions(overwrite.allow),
        deny: as_permissions(overwrite.deny),
        id: Id::new(overwrite.id),
        kind: if overwrite.member {
            PermissionOverwriteType::Member
        } else {
            PermissionOverwriteType::Role
        },
    }
}

#[test]
fn ten_thousand_random_guilds_agree_with_twilights_calculator() {
    let compare = |seeds: Range<u64>| {
        let mut coverage = Coverage::default();
        for seed in seeds {
            coverage.add(&Random::new(seed).compare(seed));
        }
        coverage
    };
    // Without optimisation one thread would take half a minute.
    let half = SEED + GUILDS / 2;
    let coverage = std::thread::scope(|scope| {
        let other = scope.spawn(|| compare(half..SEED + GUILDS));
        let mut coverage = compare(SEED..half);
        coverage.add(&other.join().unwrap());
        coverage
    });
    println!("{coverage}");
    for (what, guilds) in coverage.counts() {
        assert!(guilds * 20 >= GUILDS, "{what}: {guilds} of {GUILDS} guilds");
    }
    let pairs = GUILDS * MEMBERS * CHANNELS;
    assert_eq!(coverage.seen + coverage.hidden, pairs);
    for (what, count) in [("seen", coverage.seen), ("hidden", coverage.hidden)] {
        assert!(count * 4 >= pairs, "{what}: {count} of {pairs}");
    }
}
