//! What the bot may in a guild and in a channel: Discord's own algorithm, without threads and time-outs
//! (<https://docs.discord.com/developers/topics/permissions#permission-overwrites>).

use proto::UserId;
use proto::event::{Channel, Guild, Overwrite, Role};

pub(super) const VIEW_CHANNEL: u64 = 1 << 10;
pub(super) const READ_MESSAGE_HISTORY: u64 = 1 << 16;
pub(super) const CONNECT: u64 = 1 << 20;
const ADMINISTRATOR: u64 = 1 << 3;

/// The permissions that a member with these roles has in the guild.
pub(super) fn of_guild(guild: &Guild, roles: &[Role], own: &[u64], user: UserId) -> u64 {
    let has = |role: &&Role| role.id == guild.id || own.contains(&role.id);
    let held = roles.iter().filter(has);
    let base = held.fold(0, |bits, role| bits | role.permissions);
    if guild.owner_id == user.get() || base & ADMINISTRATOR != 0 {
        return u64::MAX;
    }
    base
}

/// The same in a channel of it.
pub(super) fn of_channel(
    base: u64,
    channel: &Channel,
    guild: u64,
    own: &[u64],
    user: UserId,
) -> u64 {
    if base & ADMINISTRATOR != 0 {
        return base;
    }
    let apply = |bits: u64, is_it: &dyn Fn(&Overwrite) -> bool| {
        let found = channel.overwrites.iter().filter(|one| is_it(one));
        let (allow, deny) = found.fold((0, 0), |(allow, deny), one| {
            (allow | one.allow, deny | one.deny)
        });
        (bits & !deny) | allow
    };
    let bits = apply(base, &|one| !one.member && one.id == guild);
    let of_role = |one: &Overwrite| !one.member && one.id != guild && own.contains(&one.id);
    let bits = apply(bits, &of_role);
    apply(bits, &|one| one.member && one.id == user.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUILD: u64 = 1;
    const ME: u64 = 9;

    fn role(id: u64, permissions: u64) -> Role {
        Role {
            id,
            permissions,
            ..Role::default()
        }
    }

    fn overwrite(id: u64, member: bool, allow: u64, deny: u64) -> Overwrite {
        Overwrite {
            id,
            member,
            allow,
            deny,
        }
    }

    #[test]
    fn overwrites_count_from_everyone_over_roles_to_the_member() {
        let user = UserId::new(ME).unwrap();
        let guild = Guild {
            id: GUILD,
            owner_id: 7,
            ..Guild::default()
        };
        let roles = [role(GUILD, 1), role(2, 2), role(3, 4)];
        assert_eq!(of_guild(&guild, &roles, &[2], user), 3);
        assert_eq!(
            of_guild(&guild, &[role(GUILD, ADMINISTRATOR)], &[], user),
            u64::MAX
        );
        assert_eq!(
            of_guild(&guild, &roles, &[], UserId::new(7).unwrap()),
            u64::MAX
        );
        let table: [(&[Overwrite], u64); 6] = [
            (&[], 3),
            (&[overwrite(GUILD, false, 4, 1)], 6),
            (&[overwrite(2, false, 0, 3), overwrite(3, false, 3, 0)], 0),
            (
                &[overwrite(GUILD, false, 0, 3), overwrite(2, false, 2, 0)],
                2,
            ),
            (&[overwrite(2, false, 0, 3), overwrite(ME, true, 1, 0)], 1),
            (&[overwrite(ME, false, 0, 3), overwrite(2, true, 0, 3)], 3),
        ];
        for (overwrites, bits) in table {
            let channel = Channel {
                overwrites: overwrites.to_vec(),
                ..Channel::default()
            };
            assert_eq!(
                of_channel(3, &channel, GUILD, &[2], user),
                bits,
                "{overwrites:?}"
            );
        }
    }
}
