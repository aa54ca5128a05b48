//! Polls, and the emoji beside a text.

use proto::event::{Emoji, Poll, PollAnswer};
use runtime::time::iso;
use serde::Serialize;

use super::is_false;
use crate::object::Cdn;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PollObject<'a> {
    question: &'a str,
    answers: Vec<AnswerObject<'a>>,
    expires_at: Option<String>,
    multiselect: bool,
    /// The votes are counted for good.
    finalized: bool,
}

#[derive(Debug, Serialize)]
struct AnswerObject<'a> {
    id: u32,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    emoji: Option<EmojiObject<'a>>,
    /// Null where Discord did not say.
    votes: Option<u32>,
}

/// An emoji: a character by its name, or a guild's own with its picture.
#[derive(Debug, Serialize)]
pub(super) struct EmojiObject<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    animated: bool,
}

pub(super) fn poll_object<'a>(poll: &'a Poll, cdn: &Cdn) -> PollObject<'a> {
    PollObject {
        question: &poll.question,
        answers: poll.answers.iter().map(|one| answer(one, cdn)).collect(),
        expires_at: poll.expires_ms.map(iso),
        multiselect: poll.multiselect,
        finalized: poll.finalized,
    }
}

fn answer<'a>(answer: &'a PollAnswer, cdn: &Cdn) -> AnswerObject<'a> {
    AnswerObject {
        id: answer.id,
        text: &answer.text,
        emoji: answer.emoji.as_ref().map(|emoji| emoji_object(emoji, cdn)),
        votes: answer.votes,
    }
}

pub(super) fn emoji_object<'a>(emoji: &'a Emoji, cdn: &Cdn) -> EmojiObject<'a> {
    EmojiObject {
        name: &emoji.name,
        id: emoji.id.map(|id| id.to_string()),
        url: emoji.id.map(|id| cdn.emoji(id, emoji.animated)),
        animated: emoji.animated,
    }
}
