//! Small facts that frames name beside their events: the guilds of a session, a limit that a command met.

use std::time::Duration;

use proto::GuildId;

use super::json::Object;

/// The guilds that READY names; none if any of them can't be read, because then nobody knows who is missing.
pub(crate) fn ready_guilds(data: &str) -> Option<Vec<GuildId>> {
    let elements = Object::parse(data)?.list("guilds")?;
    let id = |raw: &serde_json::value::RawValue| Object::parse(raw.get())?.id("id");
    elements
        .into_iter()
        .map(|raw| id(raw).and_then(GuildId::new))
        .collect()
}

/// The guild of a frame that is one.
pub(crate) fn guild_of_frame(data: &str) -> Option<GuildId> {
    Object::parse(data)?.id("id").and_then(GuildId::new)
}

/// `RATE_LIMITED` for a question about members.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MembersLimited {
    pub(crate) nonce: Option<String>,
    pub(crate) wait: Duration,
}

/// The limit that a question about members (op 8) met; none if the frame is about something else.
pub(crate) fn members_limited(data: &str) -> Option<MembersLimited> {
    let object = Object::parse(data)?;
    if object.number::<u32>("opcode") != Some(8) {
        return None;
    }
    let seconds: f64 = object.raw("retry_after")?.parse().ok()?;
    Some(MembersLimited {
        nonce: object.object("meta").and_then(|meta| meta.text("nonce")),
        wait: Duration::try_from_secs_f64(seconds).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_counts_only_for_questions_about_members_and_only_if_it_is_a_time() {
        let read = |text: &str| members_limited(text);
        let limited = read(r#"{"opcode":8,"retry_after":1.5,"meta":{"guild_id":"1","nonce":"n"}}"#);
        let expected = MembersLimited {
            nonce: Some("n".into()),
            wait: Duration::from_millis(1_500),
        };
        assert_eq!(limited, Some(expected));
        for other in [
            r#"{"opcode":4,"retry_after":1}"#,
            r#"{"opcode":8,"retry_after":-1}"#,
            r#"{"opcode":8,"retry_after":"soon"}"#,
            "{}",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn readys_list_counts_only_if_all_of_it_can_be_read() {
        let table = [
            (
                r#"{"guilds":[{"id":"1","unavailable":true},{"id":"2"}]}"#,
                Some(vec![1, 2]),
            ),
            (r#"{"guilds":[]}"#, Some(vec![])),
            (r#"{"guilds":[{"id":"1"},{"id":"x"}]}"#, None),
            (r#"{"guilds":[{"id":"1"},7]}"#, None),
            (r#"{"guilds":{"id":"1"}}"#, None),
            (r#"{"guilds":null}"#, None),
            ("{}", None),
        ];
        for (data, ids) in table {
            let named = ready_guilds(data);
            let named = named.map(|guilds| guilds.iter().map(|id| id.get()).collect());
            assert_eq!(named, ids, "{data}");
        }
    }
}
