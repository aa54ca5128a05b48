//! A path as Discord's limits see it: the route, and the resource that it is counted by.
//!
//! <https://docs.discord.com/developers/topics/rate-limits>: a bucket is shared by routes that Discord names
//! alike, and counted for each guild, channel or webhook at the path's beginning.

/// What a call is counted under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Route {
    /// The path with its ids left out.
    pub(super) template: String,
    /// The guild, channel or webhook that it begins with; empty without one.
    pub(super) major: String,
}

impl Route {
    /// The route of a path such as `/guilds/1/members/2?x=y`.
    pub(super) fn of(path: &str) -> Self {
        let path = path.split('?').next().unwrap_or_default();
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        let resource = segments.next().unwrap_or_default();
        let mut template = format!("/{resource}");
        let mut major = String::new();
        for (index, segment) in segments.enumerate() {
            let is_id = !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_digit());
            if is_id && index == 0 && matches!(resource, "guilds" | "channels" | "webhooks") {
                major = format!("{resource}/{segment}");
            }
            template.push('/');
            template.push_str(if is_id { ":id" } else { segment });
        }
        Self { template, major }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_make_no_routes_of_their_own_and_only_the_first_counts_by_itself() {
        let table = [
            ("/gateway/bot", "/gateway/bot", ""),
            ("/users/@me/guilds?limit=200", "/users/@me/guilds", ""),
            ("/users/5", "/users/:id", ""),
            ("/guilds/1/members/2", "/guilds/:id/members/:id", "guilds/1"),
            (
                "/channels/9/messages/8",
                "/channels/:id/messages/:id",
                "channels/9",
            ),
        ];
        for (path, template, major) in table {
            let route = Route::of(path);
            assert_eq!(
                (route.template.as_str(), route.major.as_str()),
                (template, major)
            );
        }
    }
}
