//! Where Discord serves images, and the addresses of those that messages name by an id alone
//! (<https://discord.com/developers/docs/reference#image-formatting>).

use std::sync::Arc;

use proto::event::User;
use runtime::settings::{Settings, SettingsError, malformed};
use url::Url;

/// Discord's own.
const CDN_URL: &str = "https://cdn.discordapp.com";

/// Where it serves what moves, and smaller copies.
const MEDIA_URL: &str = "https://media.discordapp.net";

/// The base of all images. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Cdn(Arc<str>);

impl Default for Cdn {
    fn default() -> Self {
        Self(CDN_URL.into())
    }
}

impl Cdn {
    /// Discord's, unless `DISCORD_CDN_URL` names another.
    ///
    /// # Errors
    /// It is no URL of a site.
    pub fn read(settings: &Settings) -> Result<Self, SettingsError> {
        const NAME: &str = "DISCORD_CDN_URL";
        let Some(text) = settings.text(NAME) else {
            return Ok(Self::default());
        };
        let url = Url::parse(text).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.ok_or_else(|| malformed(NAME, "an http or https URL"))?;
        Ok(Self(url.as_str().trim_end_matches('/').into()))
    }

    /// The origin, as a content security policy names it; none of what can't be named.
    pub(crate) fn origin(&self) -> Option<String> {
        let origin = Url::parse(&self.0).ok()?.origin();
        origin.is_tuple().then(|| origin.ascii_serialization())
    }

    /// A user's avatar: their own, or the default one that Discord shows.
    pub fn avatar(&self, user: &User) -> String {
        let Self(base) = self;
        match &user.avatar {
            Some(hash) => format!("{base}/avatars/{}/{hash}.png", user.id),
            None => format!("{base}/embed/avatars/{}.png", (user.id >> 22) % 6),
        }
    }

    /// The picture of a sticker; none for one whose format is no picture
    /// (<https://docs.discord.com/developers/resources/sticker#sticker-object-sticker-format-types>). Discord serves
    /// the animated ones elsewhere.
    pub(super) fn sticker(&self, id: u64, format: u32) -> Option<String> {
        let Self(base) = self;
        match format {
            1 | 2 => Some(format!("{base}/stickers/{id}.png")),
            4 if **base == *CDN_URL => Some(format!("{MEDIA_URL}/stickers/{id}.gif")),
            4 => Some(format!("{base}/stickers/{id}.gif")),
            _ => None,
        }
    }

    /// A guild's own emoji.
    pub(super) fn emoji(&self, id: u64, is_animated: bool) -> String {
        let extension = if is_animated { "gif" } else { "png" };
        format!("{}/emojis/{id}.{extension}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cdn(text: &str) -> Result<Cdn, SettingsError> {
        let mut settings = Settings::default();
        settings.set("DISCORD_CDN_URL", text);
        Cdn::read(&settings)
    }

    #[test]
    fn images_are_discords_unless_another_place_is_named() {
        let user = User {
            id: 80_351_110_224_678_912,
            avatar: Some("a1b2".to_owned()),
            ..User::default()
        };
        let ours = Cdn::read(&Settings::default()).unwrap();
        assert_eq!(
            ours.avatar(&user),
            "https://cdn.discordapp.com/avatars/80351110224678912/a1b2.png"
        );
        let other = cdn("http://sim:4000/").unwrap();
        let nobody = User::default();
        assert_eq!(other.avatar(&nobody), "http://sim:4000/embed/avatars/0.png");
        assert_eq!(other.emoji(7, true), "http://sim:4000/emojis/7.gif");
    }

    #[test]
    fn what_is_no_site_is_refused() {
        for text in [
            "cdn.discordapp.com",
            "javascript:alert(1)",
            "data:,",
            "ftp://a",
        ] {
            assert!(cdn(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_origin_adds_no_directive() {
        for (text, origin) in [
            ("https://cdn.example/images", "https://cdn.example"),
            ("http://sim:4000/a; script-src *", "http://sim:4000"),
        ] {
            assert_eq!(cdn(text).unwrap().origin().as_deref(), Some(origin));
        }
    }
}
