//! Messages, reactions and typing.

use actix_web::web::{self, Data, Json, Path, Query};
use serde::Deserialize;

use super::channels::user_or_me;
use super::{Answer, no_content, ok, read_or_default};
use crate::message::{Draft, Edit, Emoji, Page};
use crate::sim::Shared;
use crate::snowflake::Snowflake;
use crate::world::BOT_ID;

#[derive(Deserialize)]
struct BulkDelete {
    messages: Vec<Snowflake>,
}

/// `author_id` is the simulator's own: it lets a member type.
#[derive(Default, Deserialize)]
struct Typing {
    author_id: Option<Snowflake>,
}

pub(super) fn configure(config: &mut web::ServiceConfig) {
    const MESSAGE: &str = "/channels/{channel}/messages/{message}";
    const REACTIONS: &str = "/channels/{channel}/messages/{message}/reactions";
    const EMOJI: &str = "/channels/{channel}/messages/{message}/reactions/{emoji}";
    const REACTION: &str = "/channels/{channel}/messages/{message}/reactions/{emoji}/{user}";
    config
        .route("/channels/{channel}/messages", web::get().to(page))
        .route("/channels/{channel}/messages", web::post().to(post))
        .route(
            "/channels/{channel}/messages/bulk-delete",
            web::post().to(bulk_delete),
        )
        .route("/channels/{channel}/typing", web::post().to(typing))
        .route(MESSAGE, web::get().to(one))
        .route(MESSAGE, web::patch().to(edit))
        .route(MESSAGE, web::delete().to(delete))
        .route(REACTIONS, web::delete().to(clear_reactions))
        .route(EMOJI, web::get().to(reactors))
        .route(EMOJI, web::delete().to(clear_emoji))
        .route(REACTION, web::put().to(react))
        .route(REACTION, web::delete().to(unreact));
}

async fn page(sim: Data<Shared>, channel: Path<Snowflake>, page: Query<Page>) -> Answer {
    sim.state().world.page(*channel, *page).map(ok)
}

async fn post(sim: Data<Shared>, channel: Path<Snowflake>, draft: Json<Draft>) -> Answer {
    sim.change(|world| world.post(*channel, draft.into_inner()))
        .map(ok)
}

async fn one(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake)>) -> Answer {
    let (channel, message) = ids.into_inner();
    sim.state().world.message(channel, message).map(ok)
}

async fn edit(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake)>, edit: Json<Edit>) -> Answer {
    let (channel, message) = ids.into_inner();
    sim.change(|world| world.edit(channel, message, edit.into_inner()))
        .map(ok)
}

async fn delete(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake)>) -> Answer {
    let (channel, message) = ids.into_inner();
    sim.change(|world| world.delete(channel, message))
        .map(no_content)
}

async fn bulk_delete(
    sim: Data<Shared>,
    channel: Path<Snowflake>,
    body: Json<BulkDelete>,
) -> Answer {
    sim.change(|world| world.bulk_delete(*channel, &body.messages))
        .map(no_content)
}

async fn typing(sim: Data<Shared>, channel: Path<Snowflake>, body: web::Bytes) -> Answer {
    let typing: Typing = read_or_default(&body)?;
    let author = typing.author_id.unwrap_or(BOT_ID);
    sim.change(|world| world.type_in(*channel, author))
        .map(no_content)
}

async fn reactors(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake, String)>) -> Answer {
    let (channel, message, emoji) = ids.into_inner();
    sim.state()
        .world
        .reactors(channel, message, &Emoji::parse(&emoji))
        .map(ok)
}

async fn react(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake, String, String)>) -> Answer {
    let (channel, message, emoji, user) = ids.into_inner();
    let user = user_or_me(&user)?;
    sim.change(|world| world.react(channel, message, &Emoji::parse(&emoji), user))
        .map(no_content)
}

async fn unreact(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake, String, String)>) -> Answer {
    let (channel, message, emoji, user) = ids.into_inner();
    let user = user_or_me(&user)?;
    sim.change(|world| world.unreact(channel, message, &Emoji::parse(&emoji), user))
        .map(no_content)
}

async fn clear_reactions(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake)>) -> Answer {
    let (channel, message) = ids.into_inner();
    sim.change(|world| world.clear_reactions(channel, message, None))
        .map(no_content)
}

async fn clear_emoji(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake, String)>) -> Answer {
    let (channel, message, emoji) = ids.into_inner();
    let emoji = Emoji::parse(&emoji);
    sim.change(|world| world.clear_reactions(channel, message, Some(&emoji)))
        .map(no_content)
}
