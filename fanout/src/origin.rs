//! Which pages may talk to us (contract.md §3): our own, and those of `FRONTEND_URL`.
//!
//! A handshake without `Origin` comes from no browser and is let in.

use std::net::IpAddr;

use crate::address::Proxies;
use actix_socketio::HeaderMap;
use actix_web::http::header::{HOST, HeaderName, HeaderValue, ORIGIN};
use actix_web::http::uri::Uri;
use runtime::settings::{Settings, SettingsError, malformed};

/// Where a proxy says which host the browser asked.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The origins that are let in.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    allowed: Vec<String>,
    /// Whose word on the host is taken.
    proxies: Proxies,
}

impl Origins {
    /// The origins of `FRONTEND_URL` and of `PUBLIC_URL`.
    ///
    /// # Errors
    /// One of them is no http or https URL.
    pub fn from_settings(settings: &Settings) -> Result<Self, SettingsError> {
        let mut allowed = Vec::new();
        for name in ["FRONTEND_URL", "PUBLIC_URL"] {
            for url in settings.list(name) {
                allowed.push(origin(url).ok_or_else(|| malformed(name, "http or https URLs"))?);
            }
        }
        let proxies = Proxies::from_settings(settings)?;
        Ok(Self { allowed, proxies })
    }

    /// Whether a request of this peer with these headers may come in.
    pub fn admits(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> bool {
        self.admits_from(peer, |name| headers.get(name))
    }

    /// The same, from whatever holds the headers.
    pub fn admits_from<'a>(
        &self,
        peer: Option<IpAddr>,
        header: impl Fn(HeaderName) -> Option<&'a HeaderValue>,
    ) -> bool {
        let Some(value) = header(ORIGIN) else {
            return true;
        };
        // `null` and what is no text are some page's, and not ours.
        let Some(origin) = value.to_str().ok().and_then(origin) else {
            return false;
        };
        if self.allowed.contains(&origin) || is_own(&origin, header(HOST)) {
            return true;
        }
        // A proxy of ours may have changed the host, and says so.
        let is_trusted = peer.is_some_and(|peer| self.proxies.trusts(peer));
        is_trusted && is_own(&origin, header(FORWARDED_HOST))
    }
}

/// The origin's host and port are those that the request was sent to.
fn is_own(origin: &str, host: Option<&HeaderValue>) -> bool {
    let host = host.and_then(|host| host.to_str().ok());
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    host.zip(authority)
        .is_some_and(|(host, authority)| host.eq_ignore_ascii_case(authority))
}

/// `scheme://host[:port]` of a URL, as browsers write it: lower case, without a default port.
fn origin(url: &str) -> Option<String> {
    let uri: Uri = url.trim_end_matches('/').parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let default = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let host = uri.host()?.to_ascii_lowercase();
    let port = uri.port_u16().filter(|port| *port != default);
    Some(match port {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    })
}

/// The same of text that is an origin and nothing more.
pub(crate) fn exact_origin(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    let is_host = |host: &str| {
        host.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b))
    };
    let is_bare = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let is_web = matches!(url.scheme(), "http" | "https");
    (is_web && is_bare && url.host_str().is_some_and(is_host))
        .then(|| url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROXY: [u8; 4] = [10, 0, 0, 1];

    fn admits(origin: Option<&'static str>) -> bool {
        admits_via([127, 0, 0, 1], origin)
    }

    /// Through a proxy that says that it was asked as `public.example`.
    fn admits_via(peer: [u8; 4], origin: Option<&'static str>) -> bool {
        let mut settings = Settings::default();
        settings.set(
            "FRONTEND_URL",
            "https://front.example, http://Dev.example:5173/",
        );
        settings.set("TRUSTED_PROXIES", "10.0.0.1");
        let mut headers = HeaderMap::new();
        headers.insert(FORWARDED_HOST, "public.example".parse().unwrap());
        headers.insert(HOST, "stream.example:3001".parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        let origins = Origins::from_settings(&settings).unwrap();
        origins.admits(Some(peer.into()), &headers)
    }

    #[test]
    fn our_own_page_and_the_listed_front_ends_are_let_in_and_nobody_elses() {
        let table = [
            (None, true),
            (Some("http://stream.example:3001"), true),
            (Some("https://front.example"), true),
            (Some("https://front.example:443"), true),
            (Some("http://dev.example:5173"), true),
            (Some("http://stream.example"), false),
            (Some("http://front.example"), false),
            (Some("https://evil.example"), false),
            (Some("https://front.example.evil.example"), false),
            (Some("null"), false),
            (Some(""), false),
        ];
        for (origin, is_admitted) in table {
            assert_eq!(admits(origin), is_admitted, "{origin:?}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_which_host_was_asked() {
        let public = Some("https://public.example");
        assert!(admits_via(PROXY, public));
        assert!(!admits(public));
        assert!(!admits_via(PROXY, Some("https://evil.example")));
    }
}
