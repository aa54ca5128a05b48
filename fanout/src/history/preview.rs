//! What a reply tells of the message that it answers: its text, until that message is deleted (contract.md §1, "Objects").
//!
//! Pure, and knows one message at a time: which originals are gone is the caller's to say.

use proto::event::Message;

/// Takes the text of the original out of a message, if it is gone. Who was answered stays.
pub fn blank(message: &mut Message, is_gone: impl FnOnce(u64) -> bool) {
    if quoted(message).is_some_and(is_gone)
        && let Some(reply) = &mut message.reply
    {
        reply.content = None;
    }
}

/// The original whose text this message tells.
pub fn quoted(message: &Message) -> Option<u64> {
    let reply = message.reply.as_ref()?;
    reply.content.is_some().then_some(reply.message_id)
}

/// The original whose text was taken out of this message: where none was sent, there is no author either.
pub fn blanked(message: &Message) -> Option<u64> {
    let reply = message.reply.as_ref()?;
    (reply.content.is_none() && reply.author.is_some()).then_some(reply.message_id)
}
