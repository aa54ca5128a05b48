//! The viewer's files, built into this binary, or what a program gets in the page's place.
//!
//! A file below `assets` is named after its content and kept for ever; the page is asked for again each time.

use std::borrow::Cow;

use actix_web::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, VARY,
};
use actix_web::web::{Bytes, Path};
use actix_web::{HttpRequest, HttpResponse};
use proto::ChannelId;
use runtime::http::not_found;
use runtime::time::now_iso;
use rust_embed::{EmbeddedFile, RustEmbed};
use serde_json::json;

use super::VERSION;

/// What `make viewer` has built.
#[derive(RustEmbed)]
#[folder = "viewer/dist"]
struct Viewer;

const PAGE: &str = "index.html";
const EACH_TIME: &str = "no-cache";
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// `GET /`: the page for who asks for HTML, a JSON greeting for everybody else.
pub(super) async fn index(request: HttpRequest) -> HttpResponse {
    let accept = request
        .headers()
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    let mut answer = if accept.is_some_and(|accept| accept.contains("text/html")) {
        viewer(request).await
    } else {
        HttpResponse::Ok().json(json!({
            "message": "Discord Stream",
            "version": VERSION,
            "status": "running",
            "timestamp": now_iso(),
        }))
    };
    let vary = HeaderValue::from_static("Accept");
    answer.headers_mut().append(VARY, vary);
    answer
}

/// The page.
pub(super) async fn viewer(request: HttpRequest) -> HttpResponse {
    file(request, PAGE, EACH_TIME).await
}

/// `GET /embed/{channelId}`: the page that shows one channel inside another site. Whether there is such a channel
/// its token decides: nobody learns which ids exist.
pub(super) async fn embed(request: HttpRequest, channel: Path<String>) -> HttpResponse {
    if channel.parse::<ChannelId>().is_err() {
        return not_found(request).await;
    }
    viewer(request).await
}

/// A file of the page.
pub(super) async fn asset(request: HttpRequest, name: Path<String>) -> HttpResponse {
    let path = format!("assets/{name}");
    file(request, &path, FOR_EVER).await
}

async fn file(request: HttpRequest, path: &str, caching: &'static str) -> HttpResponse {
    let Some(file) = Viewer::get(path) else {
        return not_found(request).await;
    };
    let tag = tag(&file);
    let known = request.headers().get_all(IF_NONE_MATCH);
    let mut known = known.filter_map(|value| value.to_str().ok());
    if known.any(|tags| tags.contains(&tag)) {
        return HttpResponse::NotModified()
            .insert_header((ETAG, tag))
            .insert_header((CACHE_CONTROL, caching))
            .finish();
    }
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, kind(&file)))
        .insert_header((CACHE_CONTROL, caching))
        .insert_header((ETAG, tag))
        .body(match file.data {
            Cow::Borrowed(data) => Bytes::from_static(data),
            Cow::Owned(data) => data.into(),
        })
}

/// A strong entity tag: the first half of the content's hash.
fn tag(file: &EmbeddedFile) -> String {
    let hash = file.metadata.sha256_hash();
    let half = hash.iter().take(16).map(|byte| format!("{byte:02x}"));
    format!("\"{}\"", half.collect::<String>())
}

fn kind(file: &EmbeddedFile) -> String {
    let kind = file.metadata.mimetype();
    if kind.starts_with("text/") {
        format!("{kind}; charset=utf-8")
    } else {
        kind.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_files_that_are_there_and_runs_nothing_inline() {
        let page = Viewer::get(PAGE).expect("make viewer has built it");
        let page = std::str::from_utf8(&page.data).unwrap();
        let mut links = 0;
        for part in page.split("./").skip(1) {
            let path = part.split('"').next().unwrap();
            assert!(Viewer::get(path).is_some(), "{path}");
            links += 1;
        }
        assert!(links >= 2, "{page}");
        assert!(!page.contains("style=") && !page.contains("<script>"));
    }
}
