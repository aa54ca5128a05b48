//! Files of messages: kept as they were uploaded, linked by addresses that run out, and signed so that none can be made up.
//! A file that was only declared is a picture that is drawn when somebody asks for it.
//! <https://discord.com/developers/docs/reference#signed-attachment-cdn-urls>.

use std::collections::BTreeMap;

use actix_web::web::Bytes;
use serde_json::{Value, json};
use url::Url;

use crate::message::{Attachment, AttachmentDraft, Upload};
use crate::object::set;
use crate::refusal::Refusal;
use crate::snowflake::{Snowflake, unix_ms};

/// How much is kept; past it the oldest files go.
const KEPT_BYTES_MAX: usize = 64 << 20;
/// Discord's own limit of files a message.
const FILES_MAX: usize = 10;
/// How long a link holds: about a day, as production does.
const LINK_SECONDS: u64 = 24 * 60 * 60;
/// Links of one hour are the same, so that reading twice gives one address.
const ISSUED_EVERY_SECONDS: u64 = 60 * 60;

/// An uploaded file.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) content_type: String,
    pub(crate) bytes: Bytes,
}

/// All files, by the ids of their attachments, and where they are served.
#[derive(Debug, Default)]
pub(crate) struct Files {
    base: String,
    kept: BTreeMap<Snowflake, File>,
    bytes: usize,
}

impl Files {
    /// An empty store whose files are served below this address.
    pub(crate) fn new(base: String) -> Self {
        Self {
            base,
            ..Self::default()
        }
    }

    /// Where the simulator is reached, without a slash at the end.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    pub(crate) fn get(&self, id: Snowflake) -> Option<&File> {
        self.kept.get(&id)
    }

    /// Makes attachments of what was declared and what was uploaded, and keeps the uploads.
    pub(crate) fn attach(
        &mut self,
        message_id: Snowflake,
        declared: Vec<AttachmentDraft>,
        uploads: Vec<Upload>,
    ) -> Result<Vec<Attachment>, Refusal> {
        let mut left = declared;
        let mut files = Vec::new();
        for upload in uploads {
            let place = left
                .iter()
                .position(|about| about.id == Some(upload.number));
            let mut about = place.map(|place| left.remove(place)).unwrap_or_default();
            if about.filename.is_empty() {
                about.filename.clone_from(&upload.filename);
            }
            about.size = upload.bytes.len() as u64;
            about.content_type = about.content_type.or(upload.content_type);
            (about.width, about.height) = crate::picture::size(&upload.bytes)
                .map_or((about.width, about.height), |(width, height)| {
                    (Some(u64::from(width)), Some(u64::from(height)))
                });
            files.push((about, Some(upload.bytes)));
        }
        files.extend(left.into_iter().map(|about| (about, None)));
        if files.len() > FILES_MAX || files.iter().any(|(about, _)| !is_name(&about.filename)) {
            return Err(Refusal::Form(
                "attachments: at most 10, each with a file name".to_owned(),
            ));
        }
        let mut attachments = Vec::new();
        for (index, (about, bytes)) in (1..).zip(files) {
            let id = Snowflake::at(message_id.unix_ms(), index + (message_id.low() << 4));
            if let Some(bytes) = bytes {
                let content_type = about.content_type.clone();
                let content_type =
                    content_type.unwrap_or_else(|| "application/octet-stream".to_owned());
                self.keep(
                    id,
                    File {
                        content_type,
                        bytes,
                    },
                );
            }
            attachments.push(Attachment { id, about });
        }
        Ok(attachments)
    }

    /// An attachment with links that hold from now on.
    pub(super) fn to_json(&self, channel_id: Snowflake, attachment: &Attachment) -> Value {
        let Attachment { id, about } = attachment;
        let path = format!("/attachments/{channel_id}/{id}/{}", about.filename);
        let signed = || format!("{}{}", self.base, sign(&path, unix_ms() / 1_000));
        let url = about.url.clone().unwrap_or_else(signed);
        let mut body = json!({
            "id": id,
            "filename": about.filename,
            "size": about.size,
            "url": url,
            "proxy_url": url.replacen("/attachments/", "/media/attachments/", 1),
            "content_type": about.content_type,
        });
        let pairs = [
            ("width", json!(about.width)),
            ("height", json!(about.height)),
            ("description", json!(about.description)),
        ];
        for (name, value) in pairs {
            if !value.is_null() {
                set(&mut body, name, value);
            }
        }
        body
    }

    fn keep(&mut self, id: Snowflake, file: File) {
        self.bytes += file.bytes.len();
        self.kept.insert(id, file);
        while self.bytes > KEPT_BYTES_MAX {
            let Some((_, oldest)) = self.kept.pop_first() else {
                break;
            };
            self.bytes -= oldest.bytes.len();
        }
    }
}

/// The path with its signature, issued in the hour of `now` (Unix seconds).
pub(crate) fn sign(path: &str, now: u64) -> String {
    let issued = now - now % ISSUED_EVERY_SECONDS;
    let expires = issued + LINK_SECONDS + ISSUED_EVERY_SECONDS;
    let signature = signature(path, expires, issued);
    format!("{path}?ex={expires:x}&is={issued:x}&hm={signature}&")
}

/// Whether a link was signed here and has not run out.
pub(crate) fn is_signed(path: &str, query: &str, now: u64) -> bool {
    let fields: BTreeMap<_, _> = url::form_urlencoded::parse(query.as_bytes()).collect();
    let number = |name| {
        let text = fields.get(name)?;
        u64::from_str_radix(text, 16).ok()
    };
    let (Some(expires), Some(issued), Some(given)) = (number("ex"), number("is"), fields.get("hm"))
    else {
        return false;
    };
    now < expires && *given == signature(path, expires, issued)
}

/// A link of ours, signed anew; anything else is none.
pub(crate) fn refreshed(link: &str, now: u64) -> Option<String> {
    let mut url = Url::parse(link).ok()?;
    let path = url.path().trim_start_matches("/media").to_owned();
    if !path.starts_with("/attachments/") {
        return None;
    }
    let signed = sign(&path, now);
    url.set_query(signed.split_once('?').map(|(_, query)| query));
    Some(url.into())
}

fn signature(path: &str, expires: u64, issued: u64) -> String {
    use sha2::Digest as _;
    let text = format!("{path} {expires} {issued} {}", crate::CLIENT_SECRET);
    let digest = sha2::Sha256::digest(text);
    let words = digest.chunks_exact(8).map(|word| {
        word.iter()
            .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte))
    });
    words.fold(String::new(), |text, word| text + &format!("{word:016x}"))
}

fn is_name(name: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    (1..=128).contains(&name.len()) && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_holds_for_a_day_and_for_nothing_else() {
        let now = 1_770_000_000;
        let signed = sign("/attachments/1/2/a.png", now);
        let (path, query) = signed.split_once('?').unwrap();
        assert!(is_signed(path, query, now));
        assert!(is_signed(path, query, now + LINK_SECONDS));
        assert!(!is_signed(
            path,
            query,
            now + LINK_SECONDS + 2 * ISSUED_EVERY_SECONDS
        ));
        assert!(!is_signed("/attachments/1/3/a.png", query, now));
        assert!(!is_signed(path, "", now));
        let later = refreshed(&format!("http://a{signed}"), now + LINK_SECONDS).unwrap();
        assert!(is_signed(
            path,
            later.split_once('?').unwrap().1,
            now + 2 * LINK_SECONDS
        ));
        assert_eq!(refreshed("http://a/b.png", now), None);
    }
}
