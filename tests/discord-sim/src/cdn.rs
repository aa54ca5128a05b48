//! What Discord's content servers give: attachments under links that run out, avatars, icons and emojis for ever.
//! Anything that was not uploaded is drawn, so that a page shows pictures without the internet.
//! <https://discord.com/developers/docs/reference#image-formatting>.

use actix_web::http::header;
use actix_web::web::{self, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use crate::picture::{self, Motif};
use crate::sim::Shared;
use crate::snowflake::{Snowflake, unix_ms};
use crate::world::files::is_signed;

/// The side of a face or an icon for which no size is asked.
const SIDE: u32 = 128;
/// The size of a picture that was declared and never uploaded.
pub(crate) const DRAWN: (u32, u32) = (640, 400);

/// What a link may ask of a picture.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Wanted {
    size: Option<u32>,
    width: Option<u32>,
    height: Option<u32>,
}

/// Adds the routes.
pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .route(
            "/attachments/{channel}/{id}/{name}",
            web::get().to(attachment),
        )
        .route(
            "/media/attachments/{channel}/{id}/{name}",
            web::get().to(attachment),
        )
        .route("/avatars/{owner}/{name}", web::get().to(face))
        .route("/icons/{owner}/{name}", web::get().to(face))
        .route("/embed/avatars/{name}", web::get().to(default_face))
        .route("/emojis/{name}", web::get().to(emoji))
        .route("/pictures/{name}", web::get().to(landscape));
}

async fn attachment(
    request: HttpRequest,
    sim: Data<Shared>,
    path: Path<(Snowflake, Snowflake, String)>,
    wanted: Query<Wanted>,
) -> HttpResponse {
    let signed = request.path().trim_start_matches("/media");
    if !is_signed(signed, request.query_string(), unix_ms() / 1_000) {
        return gone();
    }
    let (_, id, name) = path.into_inner();
    let file = sim.state().world.files.get(id).cloned();
    if let Some(file) = file {
        return HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, file.content_type))
            .insert_header((
                header::CONTENT_DISPOSITION,
                format!("attachment; filename=\"{name}\""),
            ))
            .insert_header((
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; sandbox",
            ))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .body(file.bytes);
    }
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    if !["png", "jpg", "jpeg", "gif", "webp"].contains(&ending) {
        return gone();
    }
    let width = wanted.width.unwrap_or(DRAWN.0);
    let height = wanted.height.unwrap_or(DRAWN.1);
    png(Motif::Landscape, seed(&id.to_string()), width, height).await
}

async fn face(path: Path<(String, String)>, wanted: Query<Wanted>) -> HttpResponse {
    let side = wanted.size.unwrap_or(SIDE).min(512);
    png(Motif::Face, seed(&path.0), side, side).await
}

async fn default_face(name: Path<String>, wanted: Query<Wanted>) -> HttpResponse {
    let side = wanted.size.unwrap_or(SIDE).min(512);
    png(Motif::Emoji, seed(&name), side, side).await
}

async fn emoji(name: Path<String>, wanted: Query<Wanted>) -> HttpResponse {
    let side = wanted.size.unwrap_or(64).min(512);
    let id = name.split('.').next().unwrap_or_default();
    png(Motif::Emoji, seed(id), side, side).await
}

async fn landscape(name: Path<String>, wanted: Query<Wanted>) -> HttpResponse {
    let width = wanted.width.unwrap_or(DRAWN.0);
    let height = wanted.height.unwrap_or(DRAWN.1);
    png(Motif::Landscape, seed(&name), width, height).await
}

/// Drawn off the loop that also serves the gateway.
async fn png(motif: Motif, seed: u64, width: u32, height: u32) -> HttpResponse {
    match web::block(move || picture::draw(motif, seed, width, height)).await {
        Ok(bytes) => HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, "image/png"))
            .insert_header((header::CACHE_CONTROL, "public, max-age=31536000"))
            .body(bytes),
        Err(_) => HttpResponse::ServiceUnavailable().finish(),
    }
}

fn gone() -> HttpResponse {
    HttpResponse::NotFound()
        .insert_header((header::CONTENT_TYPE, "text/plain; charset=utf-8"))
        .body("This content is no longer available.")
}

fn seed(text: &str) -> u64 {
    text.bytes().fold(7, |seed, byte| {
        (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
