//! Polls (<https://docs.discord.com/developers/resources/poll#poll-object>).

use std::collections::HashMap;

use proto::event::{Emoji, Poll, PollAnswer};

use super::Object;
use super::media::filled;
use super::placeholder::{Placeholder, Placeholders};

/// The poll of a message. Votes that Discord does not name are unknown, unless it names others: then they are none.
pub(super) fn poll(object: &Object<'_>, placeholders: &mut Placeholders) -> Option<Poll> {
    let poll = object.object("poll")?;
    let question = poll.object("question");
    let question = question.and_then(|question| filled(&question, "text"));
    let results = poll.object("results");
    let votes = results.as_ref().map(votes);
    let answers = poll.objects("answers");
    Some(Poll {
        question: question.unwrap_or_else(|| {
            placeholders.add(Placeholder::Poll);
            "[A poll without a question]".to_owned()
        }),
        answers: answers
            .iter()
            .map(|one| answer(one, votes.as_ref()))
            .collect(),
        expires_ms: poll.time_ms("expiry"),
        multiselect: poll.flag("allow_multiselect"),
        finalized: results.is_some_and(|results| results.flag("is_finalized")),
    })
}

fn answer(object: &Object<'_>, votes: Option<&HashMap<u32, u32>>) -> PollAnswer {
    let media = object.object("poll_media").unwrap_or_default();
    let id = object.number("answer_id").unwrap_or_default();
    PollAnswer {
        id,
        text: media.text("text").unwrap_or_default(),
        emoji: emoji(&media),
        votes: votes.map(|votes| votes.get(&id).copied().unwrap_or_default()),
    }
}

fn votes(results: &Object<'_>) -> HashMap<u32, u32> {
    let counts = results.objects("answer_counts");
    let count = |one: &Object<'_>| Some((one.number("id")?, one.number("count")?));
    counts.iter().filter_map(count).collect()
}

/// The emoji beside a text: a character, or a guild's own.
pub(super) fn emoji(object: &Object<'_>) -> Option<Emoji> {
    let emoji = object.object("emoji")?;
    let (name, id) = (emoji.text("name").unwrap_or_default(), emoji.id("id"));
    let is_one = id.is_some() || !name.is_empty();
    is_one.then(|| Emoji {
        name,
        id,
        animated: emoji.flag("animated"),
    })
}
