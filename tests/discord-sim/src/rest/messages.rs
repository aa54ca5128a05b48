//! Messages, reactions and typing.

use actix_web::HttpRequest;
use actix_web::web::{self, Data, Json, Path, Payload, Query};
use serde::Deserialize;
use serde_json::json;

use super::channels::user_or_me;
use super::{Answer, no_content, ok, read_or_default, uploads};
use crate::message::{Draft, Edit, Emoji, Page};
use crate::refusal::Refusal;
use crate::sim::Shared;
use crate::snowflake::{Snowflake, unix_ms};
use crate::world::BOT_ID;
use crate::world::files::refreshed;

#[derive(Deserialize)]
struct BulkDelete {
    messages: Vec<Snowflake>,
}

#[derive(Deserialize)]
struct Links {
    attachment_urls: Vec<String>,
}

/// `author_id` is the simulator's own: it lets a member type.
#[derive(Default, Deserialize)]
struct Typing {
    author_id: Option<Snowflake>,
}

pub(super) fn configure(config: &mut web::ServiceConfig) {
    const MESSAGE: &str = "/channels/{channel}/messages/{message}";
    const PIN: &str = "/channels/{channel}/messages/pins/{message}";
    const OLD_PIN: &str = "/channels/{channel}/pins/{message}";
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
        .route(
            "/channels/{channel}/messages/pins",
            web::get().to(timed_pins),
        )
        .route(PIN, web::put().to(pin))
        .route(PIN, web::delete().to(unpin))
        .route("/channels/{channel}/pins", web::get().to(pins))
        .route(OLD_PIN, web::put().to(pin))
        .route(OLD_PIN, web::delete().to(unpin))
        .route("/attachments/refresh-urls", web::post().to(refresh_urls))
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
    let messages = sim.state().world.page(*channel, *page)?;
    Ok(ok(messages
        .into_iter()
        .map(|message| sim.shown(message))
        .collect::<Vec<_>>()))
}

async fn post(
    sim: Data<Shared>,
    channel: Path<Snowflake>,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    let (mut draft, files) = uploads::read::<Draft>(&request, payload).await?;
    draft.uploads = files;
    sim.change(|world| world.post(*channel, draft))
        .map(|message| ok(sim.shown(message)))
}

async fn one(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake)>) -> Answer {
    let (channel, message) = ids.into_inner();
    let message = sim.state().world.message(channel, message)?;
    Ok(ok(sim.shown(message)))
}

async fn edit(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake)>, edit: Json<Edit>) -> Answer {
    let (channel, message) = ids.into_inner();
    sim.change(|world| world.edit(channel, message, edit.into_inner()))
        .map(|message| ok(sim.shown(message)))
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

async fn pins(sim: Data<Shared>, channel: Path<Snowflake>) -> Answer {
    let pins = sim.state().world.pins(*channel)?.into_iter();
    Ok(ok(pins
        .map(|message| sim.shown(message))
        .collect::<Vec<_>>()))
}

async fn timed_pins(sim: Data<Shared>, channel: Path<Snowflake>) -> Answer {
    let pins = sim.state().world.timed_pins(*channel)?.into_iter();
    let items: Vec<_> = pins
        .map(|(at, message)| json!({ "pinned_at": at, "message": sim.shown(message) }))
        .collect();
    Ok(ok(json!({ "items": items, "has_more": false })))
}

async fn pin(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake)>) -> Answer {
    let (channel, message) = ids.into_inner();
    sim.change(|world| world.set_pin(channel, message, true))
        .map(no_content)
}

async fn unpin(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake)>) -> Answer {
    let (channel, message) = ids.into_inner();
    sim.change(|world| world.set_pin(channel, message, false))
        .map(no_content)
}

/// Signs links anew. Undocumented by Discord, and used by many.
async fn refresh_urls(links: Json<Links>) -> Answer {
    /// The most links of one request.
    const LINKS_MAX: usize = 50;
    if links.attachment_urls.len() > LINKS_MAX {
        return Err(Refusal::Form("attachment_urls: at most 50".to_owned()));
    }
    let now = unix_ms() / 1_000;
    let pairs = links.attachment_urls.iter();
    let pairs = pairs.map(|link| json!({ "original": link, "refreshed": refreshed(link, now) }));
    Ok(ok(json!({ "refreshed_urls": pairs.collect::<Vec<_>>() })))
}
