//! Channels and threads: read, changed, deleted, with their overwrites and members.

use actix_web::HttpRequest;
use actix_web::web::{self, Data, Json, Path, Payload};

use super::{Answer, created, no_content, ok, uploads};
use crate::refusal::Refusal;
use crate::sim::Shared;
use crate::snowflake::Snowflake;
use crate::world::BOT_ID;
use crate::world::channels::{ChannelPatch, OverwriteDraft};
use crate::world::threads::ThreadDraft;

pub(super) fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/channels/{channel}", web::get().to(one))
        .route("/channels/{channel}", web::patch().to(patch))
        .route("/channels/{channel}", web::delete().to(delete))
        .route(
            "/channels/{channel}/permissions/{overwrite}",
            web::put().to(put_overwrite),
        )
        .route(
            "/channels/{channel}/permissions/{overwrite}",
            web::delete().to(delete_overwrite),
        )
        .route("/channels/{channel}/threads", web::post().to(start_thread))
        .route(
            "/channels/{channel}/messages/{message}/threads",
            web::post().to(start_thread_on),
        )
        .route(
            "/channels/{channel}/threads/archived/public",
            web::get().to(archived_public),
        )
        .route(
            "/channels/{channel}/threads/archived/private",
            web::get().to(archived_private),
        )
        .route(
            "/channels/{channel}/users/@me/threads/archived/private",
            web::get().to(archived_private),
        )
        .route(
            "/channels/{channel}/thread-members",
            web::get().to(thread_members),
        )
        .route(
            "/channels/{channel}/thread-members/{user}",
            web::put().to(join_thread),
        )
        .route(
            "/channels/{channel}/thread-members/{user}",
            web::delete().to(leave_thread),
        );
}

async fn one(sim: Data<Shared>, id: Path<Snowflake>) -> Answer {
    Ok(ok(sim.state().world.seen_channel(*id)?.to_json()))
}

async fn patch(sim: Data<Shared>, id: Path<Snowflake>, patch: Json<ChannelPatch>) -> Answer {
    sim.change(|world| world.patch_channel(*id, patch.into_inner()))
        .map(ok)
}

async fn delete(sim: Data<Shared>, id: Path<Snowflake>) -> Answer {
    sim.change(|world| world.delete_channel(*id)).map(ok)
}

async fn put_overwrite(
    sim: Data<Shared>,
    ids: Path<(Snowflake, Snowflake)>,
    draft: Json<OverwriteDraft>,
) -> Answer {
    let (channel, id) = ids.into_inner();
    sim.change(|world| world.put_overwrite(channel, id, &draft))
        .map(no_content)
}

async fn delete_overwrite(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake)>) -> Answer {
    let (channel, id) = ids.into_inner();
    sim.change(|world| world.delete_overwrite(channel, id))
        .map(no_content)
}

async fn start_thread(
    sim: Data<Shared>,
    id: Path<Snowflake>,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    let (mut draft, files) = uploads::read::<ThreadDraft>(&request, payload).await?;
    draft.attach(files);
    sim.change(|world| world.start_thread(*id, None, draft))
        .map(created)
}

async fn archived_public(sim: Data<Shared>, id: Path<Snowflake>) -> Answer {
    sim.state().world.archived_threads(*id, false).map(ok)
}

async fn archived_private(sim: Data<Shared>, id: Path<Snowflake>) -> Answer {
    sim.state().world.archived_threads(*id, true).map(ok)
}

async fn start_thread_on(
    sim: Data<Shared>,
    ids: Path<(Snowflake, Snowflake)>,
    draft: Json<ThreadDraft>,
) -> Answer {
    let (channel, message) = ids.into_inner();
    sim.change(|world| world.start_thread(channel, Some(message), draft.into_inner()))
        .map(created)
}

async fn thread_members(sim: Data<Shared>, id: Path<Snowflake>) -> Answer {
    sim.state().world.thread_members(*id).map(ok)
}

async fn join_thread(sim: Data<Shared>, ids: Path<(Snowflake, String)>) -> Answer {
    let user = user_or_me(&ids.1)?;
    sim.change(|world| world.set_thread_member(ids.0, user, true))
        .map(no_content)
}

async fn leave_thread(sim: Data<Shared>, ids: Path<(Snowflake, String)>) -> Answer {
    let user = user_or_me(&ids.1)?;
    sim.change(|world| world.set_thread_member(ids.0, user, false))
        .map(no_content)
}

/// Reads a user's id, or `@me` for the bot.
pub(super) fn user_or_me(text: &str) -> Result<Snowflake, Refusal> {
    match text {
        "@me" => Ok(BOT_ID),
        id => id.parse().map_err(|_| Refusal::UnknownUser),
    }
}
