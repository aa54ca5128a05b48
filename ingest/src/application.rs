//! The bot's application in Discord's developer portal: which privileged intents it was granted.
//!
//! Asked before IDENTIFY, because an intent that was not granted closes the gateway for good (4014), and one
//! that is not asked for loses text in silence (<https://docs.discord.com/developers/resources/application>).

use serde::Deserialize;
use serde_json::Value;

use crate::rest::{Rest, RestError};

/// Application flags: the members intent, in full or for a bot in fewer than 100 guilds.
const MEMBERS: u64 = 1 << 14 | 1 << 15;
/// The same for the message content.
const CONTENT: u64 = 1 << 18 | 1 << 19;

/// The privileged intents that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Granted {
    /// Every change of a member is told.
    pub(crate) members: bool,
    /// Messages come with their text.
    pub(crate) content: bool,
}

impl Granted {
    /// What is assumed where nobody says: a bot without the content shows nothing.
    pub(crate) const ALL: Self = Self {
        members: true,
        content: true,
    };

    fn of(flags: u64) -> Self {
        Self {
            members: flags & MEMBERS != 0,
            content: flags & CONTENT != 0,
        }
    }
}

/// `GET /applications/@me`, of which two fields say the same; the newer one is a text.
#[derive(Deserialize)]
struct Application {
    #[serde(default)]
    flags: Value,
    #[serde(default)]
    flags_new: Value,
}

/// Asks which were granted. A server that knows no applications grants all that it has.
///
/// # Errors
/// Nobody answered, or the answer does not say.
pub(crate) async fn granted(rest: &Rest) -> Result<Granted, RestError> {
    let application: Application = match rest.get("/applications/@me").await {
        Err(RestError::Missing(_)) => return Ok(Granted::ALL),
        answered => answered?,
    };
    let flags = [application.flags_new, application.flags];
    let flags: Vec<u64> = flags.iter().filter_map(bits).collect();
    if flags.is_empty() {
        return Err(RestError::Unfitting);
    }
    Ok(Granted::of(flags.iter().fold(0, |all, some| all | some)))
}

fn bits(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::tests::answering;

    #[tokio::test]
    async fn flags_are_read_from_either_field_and_an_answer_without_them_is_none() {
        let none = Granted {
            members: false,
            content: false,
        };
        let content = Granted {
            content: true,
            ..none
        };
        let table = [
            (200, r#"{"flags":0}"#, Some(none)),
            (200, r#"{"flags":524288}"#, Some(content)),
            (200, r#"{"flags":null,"flags_new":"262144"}"#, Some(content)),
            (
                200,
                r#"{"flags":16384,"flags_new":"262144"}"#,
                Some(Granted::ALL),
            ),
            (404, "", Some(Granted::ALL)),
            (200, "{}", None),
            (200, r#"{"flags":"many"}"#, None),
            (200, "<html>", None),
            (403, "{}", None),
        ];
        for (status, body, expected) in table {
            let rest = answering(status, body).await;
            assert_eq!(granted(&rest).await.ok(), expected, "{status} {body}");
        }
    }
}
