//! What a reply quotes: not the text of an original that was deleted since, whatever channel that was in.
//!
//! A row keeps the preview that its event had, for a later deletion does not look for the replies; so whoever reads a
//! row asks for the tombstones of what it quotes. Who was answered stays.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use proto::event::Message;
use proto::id::MessageId;

use crate::database::{Connection, LIST_MAX, Statement, list_marks, query};
use crate::error::StoreError;

static DELETED: LazyLock<Statement> = LazyLock::new(|| {
    let text = format!(
        "SELECT id FROM messages WHERE deleted = 1 AND id IN {}",
        list_marks()
    );
    Statement::from(&*text.leak())
});

/// Takes the text of deleted originals out of these messages, oldest first, which are living.
pub(super) async fn blank(
    connection: &mut Connection,
    messages: &mut [Message],
) -> Result<(), StoreError> {
    let is_living = |id: u64| messages.binary_search_by_key(&id, |one| one.id).is_ok();
    let quoted = messages.iter().filter_map(quoted);
    let originals: BTreeSet<i64> = quoted
        .filter(|id| !is_living(id.get()))
        .map(MessageId::sql)
        .collect();
    let originals: Vec<i64> = originals.into_iter().collect();
    let mut deleted = BTreeSet::new();
    for asked in originals.chunks(LIST_MAX) {
        let statement = query(*DELETED).bind_list(asked);
        let found: Vec<(i64,)> = statement.fetch_all(connection).await?;
        deleted.extend(found.into_iter().map(|(id,)| id));
    }
    for message in messages {
        if quoted_in(message, &deleted)
            && let Some(reply) = &mut message.reply
        {
            reply.content = None;
        }
    }
    Ok(())
}

fn quoted_in(message: &Message, deleted: &BTreeSet<i64>) -> bool {
    quoted(message).is_some_and(|id| deleted.contains(&id.sql()))
}

/// The message whose text this one quotes.
fn quoted(message: &Message) -> Option<MessageId> {
    let reply = message.reply.as_ref()?;
    reply.content.as_ref()?;
    MessageId::new(reply.message_id)
}
