//! Which intents an IDENTIFY asks for: those that the application may use, one of which it may not is a fatal close.

use twilight_gateway::Intents;

use crate::application::{self, Granted};
use crate::rest::{Rest, RestError};
use crate::status::Status;

/// So often in a row an answer may be odd; then all are asked for.
const ODD_ANSWERS_MAX: u32 = 3;

/// Asks which they are.
#[derive(Debug)]
pub(super) struct IntentsDesk {
    rest: Rest,
    status: Status,
    odd_answers: u32,
}

impl IntentsDesk {
    pub(super) fn new(rest: Rest, status: Status) -> Self {
        Self {
            rest,
            status,
            odd_answers: 0,
        }
    }

    /// The intents that the application may use. Without an answer there is no IDENTIFY: a session without the
    /// content would lose it in silence.
    pub(super) async fn ask(&mut self) -> Result<Intents, RestError> {
        let granted = match application::granted(&self.rest).await {
            Ok(granted) => granted,
            Err(error @ (RestError::Unfitting | RestError::Malformed(_))) => {
                self.odd_answers += 1;
                if self.odd_answers < ODD_ANSWERS_MAX {
                    return Err(error);
                }
                tracing::warn!(
                    "Discord's API does not say which intents the bot may use; all are asked for"
                );
                Granted::ALL
            }
            Err(error) => return Err(error),
        };
        self.odd_answers = 0;
        self.status.on_granted(granted);
        Ok(intents_of(granted))
    }
}

fn intents_of(granted: Granted) -> Intents {
    let mut intents = Intents::GUILDS
        | Intents::GUILD_MESSAGES
        | Intents::GUILD_MESSAGE_REACTIONS
        | Intents::GUILD_MESSAGE_TYPING;
    if granted.members {
        intents |= Intents::GUILD_MEMBERS;
    }
    if granted.content {
        intents |= Intents::MESSAGE_CONTENT;
    } else {
        tracing::error!(
            "the message content intent is off: messages of others come without text; enable it in Discord's \
             developer portal"
        );
    }
    intents
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::tests::answering;

    #[tokio::test]
    async fn an_odd_answer_is_asked_again_but_not_for_ever() {
        let table = [
            (
                200,
                r#"{"flags":0}"#,
                [Some(false), Some(false), Some(false)],
            ),
            (
                200,
                r#"{"flags":524288}"#,
                [Some(true), Some(true), Some(true)],
            ),
            (404, "", [Some(true), Some(true), Some(true)]),
            (200, "{}", [None, None, Some(true)]),
            (200, "<html>", [None, None, Some(true)]),
            (400, "{}", [None, None, None]),
            (403, "{}", [None, None, None]),
        ];
        for (status, body, expected) in table {
            let mut desk = IntentsDesk::new(answering(status, body).await, Status::default());
            for has_content in expected {
                let intents = desk.ask().await.ok();
                let intents = intents.map(|intents| intents.contains(Intents::MESSAGE_CONTENT));
                assert_eq!(intents, has_content, "{status} {body}");
                let said = &desk.status.json()["discord"]["intents"];
                assert_eq!(said["messageContent"].as_bool(), has_content);
            }
        }
    }
}
