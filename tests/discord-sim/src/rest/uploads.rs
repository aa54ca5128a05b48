//! Bodies that may bring files: JSON alone, or a multipart form with `payload_json` and `files[n]`.
//! <https://discord.com/developers/docs/reference#uploading-files>.

use actix_multipart::{Field, Multipart};
use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;

use crate::message::Upload;
use crate::refusal::Refusal;

/// The largest JSON, and the largest sum of files in one request: Discord's default of 10 MiB a file, and some more.
const JSON_BYTES_MAX: usize = 1 << 20;
const FILES_BYTES_MAX: usize = 25 << 20;

/// Reads a body of either form.
pub(super) async fn read<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: Payload,
) -> Result<(T, Vec<Upload>), Refusal> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("multipart/form-data") {
        let body = payload.to_bytes_limited(JSON_BYTES_MAX).await;
        let body = body
            .map_err(|error| form(&error))?
            .map_err(|error| form(&error))?;
        return Ok((parse(&body)?, Vec::new()));
    }
    let mut parts = Multipart::new(request.headers(), payload);
    let (mut json, mut uploads, mut left) = (None, Vec::new(), FILES_BYTES_MAX);
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| form(&error))?;
        let name = part.name().unwrap_or_default().to_owned();
        if name == "payload_json" {
            json = Some(parse(&whole(part, JSON_BYTES_MAX).await?)?);
            continue;
        }
        let number = name
            .strip_prefix("files[")
            .and_then(|rest| rest.strip_suffix(']'));
        let Some(number) = number.and_then(|number| number.parse().ok()) else {
            return Err(Refusal::Form(format!("{name}: unknown field")));
        };
        let filename = part
            .content_disposition()
            .and_then(|about| about.get_filename());
        let mut upload = Upload {
            number,
            filename: filename.unwrap_or("file").to_owned(),
            content_type: part.content_type().map(ToString::to_string),
            bytes: Bytes::new(),
        };
        upload.bytes = whole(part, left).await?;
        left -= upload.bytes.len();
        uploads.push(upload);
    }
    Ok((json.map_or_else(|| parse(b"{}"), Ok)?, uploads))
}

async fn whole(mut part: Field, bytes_max: usize) -> Result<Bytes, Refusal> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = part.next().await {
        let piece = piece.map_err(|error| form(&error))?;
        if bytes.len() + piece.len() > bytes_max {
            return Err(Refusal::TooLarge);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| form(&error))
}

fn form(error: &impl ToString) -> Refusal {
    Refusal::Form(error.to_string())
}
