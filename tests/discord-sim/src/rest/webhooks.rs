//! Webhooks, made with the bot's token and executed with their own.

use actix_web::HttpRequest;
use actix_web::web::{self, Data, Json, Path, Payload, Query};
use serde::Deserialize;

use super::{Answer, no_content, ok, uploads};
use crate::message::Edit;
use crate::sim::Shared;
use crate::snowflake::Snowflake;
use crate::world::webhooks::{Execution, WebhookDraft};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Target {
    wait: bool,
    thread_id: Option<Snowflake>,
}

pub(super) fn configure(config: &mut web::ServiceConfig) {
    const OWN: &str = "/webhooks/{webhook}/{token}";
    const MESSAGE: &str = "/webhooks/{webhook}/{token}/messages/{message}";
    config
        .route("/channels/{channel}/webhooks", web::get().to(list))
        .route("/channels/{channel}/webhooks", web::post().to(create))
        .route("/webhooks/{webhook}", web::delete().to(delete))
        .route(OWN, web::get().to(one))
        .route(OWN, web::post().to(execute))
        .route(OWN, web::delete().to(delete_by_token))
        .route(MESSAGE, web::patch().to(edit))
        .route(MESSAGE, web::delete().to(delete_message));
}

async fn list(sim: Data<Shared>, channel: Path<Snowflake>) -> Answer {
    sim.state().world.webhooks(*channel).map(ok)
}

async fn create(sim: Data<Shared>, channel: Path<Snowflake>, draft: Json<WebhookDraft>) -> Answer {
    sim.change(|world| world.create_webhook(*channel, draft.into_inner()))
        .map(ok)
}

async fn delete(sim: Data<Shared>, id: Path<Snowflake>) -> Answer {
    sim.change(|world| world.delete_webhook(*id))
        .map(no_content)
}

async fn one(sim: Data<Shared>, path: Path<(Snowflake, String)>) -> Answer {
    let (id, token) = path.into_inner();
    sim.state().world.webhook_json(id, &token).map(ok)
}

async fn delete_by_token(sim: Data<Shared>, path: Path<(Snowflake, String)>) -> Answer {
    let (id, token) = path.into_inner();
    sim.change(|world| {
        world.webhook_json(id, &token)?;
        world.delete_webhook(id)
    })
    .map(no_content)
}

async fn execute(
    sim: Data<Shared>,
    path: Path<(Snowflake, String)>,
    target: Query<Target>,
    request: HttpRequest,
    payload: Payload,
) -> Answer {
    let (mut execution, files) = uploads::read::<Execution>(&request, payload).await?;
    execution.draft.uploads = files;
    let (id, token) = path.into_inner();
    let posted =
        sim.change(|world| world.execute_webhook(id, &token, target.thread_id, execution))?;
    Ok(if target.wait {
        ok(posted)
    } else {
        no_content(())
    })
}

async fn edit(
    sim: Data<Shared>,
    path: Path<(Snowflake, String, Snowflake)>,
    target: Query<Target>,
    edit: Json<Edit>,
) -> Answer {
    let (id, token, message) = path.into_inner();
    let which = (id, token.as_str(), message);
    sim.change(|world| world.edit_by_webhook(which, target.thread_id, edit.into_inner()))
        .map(ok)
}

async fn delete_message(
    sim: Data<Shared>,
    path: Path<(Snowflake, String, Snowflake)>,
    target: Query<Target>,
) -> Answer {
    let (id, token, message) = path.into_inner();
    let which = (id, token.as_str(), message);
    sim.change(|world| world.delete_by_webhook(which, target.thread_id))
        .map(no_content)
}
