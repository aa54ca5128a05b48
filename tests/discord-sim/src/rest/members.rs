//! Members: one, a list, a search, changes, kicks and bans.

use actix_web::web::{self, Data, Json, Path, Query};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, created, no_content, ok, read_or_default};
use crate::refusal::Refusal;
use crate::sim::Shared;
use crate::snowflake::Snowflake;
use crate::world::BOT_ID;
use crate::world::members::{MemberDraft, MemberPatch};

#[derive(Deserialize)]
struct Listing {
    limit: Option<usize>,
    after: Option<Snowflake>,
}

#[derive(Deserialize)]
struct Search {
    #[serde(default)]
    query: String,
    limit: Option<usize>,
}

#[derive(Default, Deserialize)]
struct BanDraft {
    reason: Option<String>,
    #[serde(default)]
    delete_message_seconds: u64,
    /// The older form of the same.
    #[serde(default)]
    delete_message_days: u64,
}

pub(super) fn configure(config: &mut web::ServiceConfig) {
    const ROLE: &str = "/guilds/{guild}/members/{user}/roles/{role}";
    config
        .route("/guilds/{guild}/members", web::get().to(list))
        .route("/guilds/{guild}/members/search", web::get().to(search))
        .route("/guilds/{guild}/members/@me", web::patch().to(patch_me))
        .route("/guilds/{guild}/members/{user}", web::get().to(one))
        .route("/guilds/{guild}/members/{user}", web::patch().to(patch))
        .route("/guilds/{guild}/members/{user}", web::put().to(add))
        .route("/guilds/{guild}/members/{user}", web::delete().to(kick))
        .route(ROLE, web::put().to(give_role))
        .route(ROLE, web::delete().to(take_role))
        .route("/guilds/{guild}/bans", web::get().to(bans))
        .route("/guilds/{guild}/bans/{user}", web::get().to(one_ban))
        .route("/guilds/{guild}/bans/{user}", web::put().to(ban))
        .route("/guilds/{guild}/bans/{user}", web::delete().to(unban));
}

async fn list(sim: Data<Shared>, guild: Path<Snowflake>, listing: Query<Listing>) -> Answer {
    let limit = checked(listing.limit)?;
    sim.state()
        .world
        .members(*guild, listing.after, limit)
        .map(ok)
}

async fn search(sim: Data<Shared>, guild: Path<Snowflake>, search: Query<Search>) -> Answer {
    if search.query.is_empty() {
        return Err(Refusal::Form("query: this field is required".to_owned()));
    }
    let limit = checked(search.limit)?;
    sim.state()
        .world
        .search_members(*guild, &search.query, limit)
        .map(ok)
}

/// Discord lists one member unless asked for more, and never more than 1,000.
fn checked(limit: Option<usize>) -> Result<usize, Refusal> {
    match limit.unwrap_or(1) {
        limit @ 1..=1_000 => Ok(limit),
        _ => Err(Refusal::Form(
            "limit: int value should be 1 to 1000".to_owned(),
        )),
    }
}

async fn one(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake)>) -> Answer {
    let (guild, user) = ids.into_inner();
    sim.state().world.member_json(guild, user).map(ok)
}

async fn patch(
    sim: Data<Shared>,
    ids: Path<(Snowflake, Snowflake)>,
    patch: Json<MemberPatch>,
) -> Answer {
    let (guild, user) = ids.into_inner();
    sim.change(|world| world.patch_member(guild, user, patch.into_inner()))
        .map(ok)
}

async fn patch_me(sim: Data<Shared>, guild: Path<Snowflake>, patch: Json<MemberPatch>) -> Answer {
    sim.change(|world| world.patch_member(*guild, BOT_ID, patch.into_inner()))
        .map(ok)
}

async fn add(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake)>, body: web::Bytes) -> Answer {
    let (guild, user) = ids.into_inner();
    let draft: MemberDraft = read_or_default(&body)?;
    match sim.change(|world| world.add_member(guild, user, draft))? {
        Some(member) => Ok(created(member)),
        None => Ok(no_content(())),
    }
}

async fn kick(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake)>) -> Answer {
    let (guild, user) = ids.into_inner();
    sim.change(|world| world.remove_member(guild, user))
        .map(no_content)
}

async fn give_role(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake, Snowflake)>) -> Answer {
    let (guild, user, role) = ids.into_inner();
    sim.change(|world| world.set_role(guild, user, role, true))
        .map(no_content)
}

async fn take_role(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake, Snowflake)>) -> Answer {
    let (guild, user, role) = ids.into_inner();
    sim.change(|world| world.set_role(guild, user, role, false))
        .map(no_content)
}

async fn one_ban(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake)>) -> Answer {
    let (guild, user) = ids.into_inner();
    let state = sim.state();
    let reason = state.world.guild(guild)?.bans.get(&user);
    let reason = reason.ok_or(Refusal::UnknownBan)?;
    Ok(ok(
        json!({ "reason": reason, "user": state.world.user(user)? }),
    ))
}

async fn bans(sim: Data<Shared>, guild: Path<Snowflake>) -> Answer {
    let state = sim.state();
    let bans = state.world.guild(*guild)?.bans.iter();
    let bans =
        bans.map(|(id, reason)| Ok(json!({ "reason": reason, "user": state.world.user(*id)? })));
    Ok(ok(bans.collect::<Result<Vec<Value>, Refusal>>()?))
}

async fn ban(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake)>, body: web::Bytes) -> Answer {
    let (guild, user) = ids.into_inner();
    let draft: BanDraft = read_or_default(&body)?;
    let days = draft.delete_message_days.min(8);
    let seconds = draft.delete_message_seconds.max(days * 24 * 60 * 60);
    sim.change(|world| world.ban(guild, user, draft.reason, seconds))
        .map(no_content)
}

async fn unban(sim: Data<Shared>, ids: Path<(Snowflake, Snowflake)>) -> Answer {
    let (guild, user) = ids.into_inner();
    sim.change(|world| world.unban(guild, user)).map(no_content)
}
