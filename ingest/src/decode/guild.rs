//! The directory's objects: guild, role, channel or thread, member.
//!
//! Shapes: <https://docs.discord.com/developers/resources/guild>, <https://docs.discord.com/developers/resources/channel>.
//! Permission bits that nobody knows yet survive. What can't be read of them never lets anybody in: it
//! allows nothing, denies everything, or costs the channel.

use proto::GuildId;
use proto::event::{Channel, Guild, Member, Overwrite, Role};

use super::json::Object;
use super::message::user;

/// Reads a guild; none without an id.
pub(super) fn guild(object: &Object<'_>) -> Option<Guild> {
    Some(Guild {
        id: object.id("id")?,
        name: object.text("name").unwrap_or_default(),
        owner_id: object.id("owner_id").unwrap_or_default(),
        icon: object.text("icon"),
    })
}

/// Reads a role; none without an id.
pub(super) fn role(object: &Object<'_>) -> Option<Role> {
    Some(Role {
        id: object.id("id")?,
        name: object.text("name").unwrap_or_default(),
        permissions: object.bits("permissions").unwrap_or_default(),
        position: object.number("position").unwrap_or_default(),
        color: object.number("color").unwrap_or_default(),
    })
}

/// Channel types of threads, whose permissions are those of their channel.
const THREADS: std::ops::RangeInclusive<u32> = 10..=12;

/// Reads a channel or a thread; none without an id, or without knowing who may see it.
pub(super) fn channel(object: &Object<'_>) -> Option<Channel> {
    let kind = object.number("type").unwrap_or_default();
    let overwrites = overwrites(object, THREADS.contains(&kind))?;
    Some(with_overwrites(object, object.id("id")?, overwrites))
}

/// The same where nobody can tell who may see it: nobody, by an overwrite that denies everyone everything.
pub(super) fn closed(object: &Object<'_>, guild: GuildId, id: u64) -> Channel {
    let everyone = Overwrite {
        id: guild.get(),
        member: false,
        allow: 0,
        deny: u64::MAX,
    };
    with_overwrites(object, id, vec![everyone])
}

fn with_overwrites(object: &Object<'_>, id: u64, overwrites: Vec<Overwrite>) -> Channel {
    let thread = object.object("thread_metadata");
    Channel {
        id,
        kind: object.number("type").unwrap_or_default(),
        name: object.text("name").unwrap_or_default(),
        topic: object.text("topic"),
        position: object.number("position").unwrap_or_default(),
        parent_id: object.id("parent_id"),
        nsfw: object.flag("nsfw"),
        overwrites,
        archived: thread
            .as_ref()
            .is_some_and(|thread| thread.flag("archived")),
        last_message_id: object.id("last_message_id"),
        thread_members: Vec::new(),
        locked: thread.is_some_and(|thread| thread.flag("locked")),
    }
}

/// Reads a member; none without its user.
pub(super) fn member(object: &Object<'_>) -> Option<Member> {
    Some(Member {
        user: Some(user(&object.object("user")?)?),
        nick: object.text("nick"),
        roles: object.ids("roles"),
        timed_out_until_ms: object.time_ms("communication_disabled_until"),
    })
}

/// All overwrites of a channel; none if a single one can't be read, because it may be the one that denies.
fn overwrites(object: &Object<'_>, is_thread: bool) -> Option<Vec<Overwrite>> {
    if is_thread && object.raw("permission_overwrites").is_none() {
        return Some(Vec::new());
    }
    let list = object.list("permission_overwrites")?.into_iter();
    list.map(|raw| overwrite(&Object::parse(raw.get())?))
        .collect()
}

fn overwrite(object: &Object<'_>) -> Option<Overwrite> {
    let member = match (object.number::<u32>("type"), object.raw("type")) {
        (Some(0), _) | (_, Some(r#""role""#)) => false,
        (Some(1), _) | (_, Some(r#""member""#)) => true,
        _ => return None,
    };
    Some(Overwrite {
        id: object.id("id")?,
        member,
        allow: object.bits("allow").unwrap_or_default(),
        deny: object.bits("deny").unwrap_or(u64::MAX),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(overwrites: &Value, kind: u32) -> Option<Vec<Overwrite>> {
        let mut channel = json!({ "id": "5", "type": kind });
        if !overwrites.is_null() {
            channel["permission_overwrites"] = overwrites.clone();
        }
        let text = channel.to_string();
        Some(super::channel(&Object::parse(&text).unwrap())?.overwrites)
    }

    #[test]
    fn bits_that_cant_be_read_allow_nothing_and_deny_everything() {
        let odd = json!([
            { "id": "1", "type": 0, "allow": "x", "deny": "x" },
            { "id": "2", "type": "member", "allow": [8], "deny": null },
            { "id": "3", "type": 1, "allow": 8, "deny": "18446744073709552640" },
        ]);
        let read = read(&odd, 0).unwrap();
        let bits: Vec<_> = read
            .iter()
            .map(|one| (one.member, one.allow, one.deny))
            .collect();
        assert_eq!(
            bits,
            [(false, 0, u64::MAX), (true, 0, u64::MAX), (true, 8, 1_024)]
        );
        let role = r#"{"id":"1","permissions":{"all":true}}"#;
        assert_eq!(role_permissions(role), 0);
        assert_eq!(
            role_permissions(r#"{"id":"1","permissions":"18446744073709551624"}"#),
            8
        );
    }

    fn role_permissions(text: &str) -> u64 {
        role(&Object::parse(text).unwrap()).unwrap().permissions
    }

    #[test]
    fn a_thread_is_archived_and_locked_as_its_metadata_says() {
        let read = |metadata: &str| {
            let text = format!(r#"{{"id":"5","type":11,"thread_metadata":{metadata}}}"#);
            let thread = super::channel(&Object::parse(&text).unwrap()).unwrap();
            (thread.archived, thread.locked)
        };
        assert_eq!(read(r#"{"archived":true,"locked":false}"#), (true, false));
        assert_eq!(read(r#"{"archived":false,"locked":true}"#), (false, true));
        assert_eq!(read("{}"), (false, false));
    }

    #[test]
    fn a_channel_whose_overwrites_cant_be_read_is_none() {
        let good = json!({ "id": "1", "type": 0, "allow": "0", "deny": "0" });
        assert_eq!(read(&json!([good]), 0).unwrap().len(), 1);
        assert_eq!(read(&json!([]), 0), Some(Vec::new()));
        for odd in [
            json!({}),
            json!("none"),
            json!([good, 7]),
            json!([good, { "id": "x", "type": 0, "allow": "0", "deny": "0" }]),
            json!([good, { "type": 0, "allow": "0", "deny": "0" }]),
            json!([good, { "id": "1", "type": 2, "allow": "0", "deny": "0" }]),
        ] {
            assert_eq!(read(&odd, 0), None, "{odd}");
            assert_eq!(read(&odd, 11), None, "{odd}");
        }
        assert_eq!(read(&Value::Null, 0), None, "only a thread may do without");
        assert_eq!(read(&Value::Null, 11), Some(Vec::new()));
    }
}
