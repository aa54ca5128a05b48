//! Which guilds a session names: READY's list, and the id of a frame that is a guild itself.

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

#[cfg(test)]
mod tests {
    use super::*;

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
