//! What every answer carries: the headers that Helmet sets, with a policy under which the viewer works, and the
//! rules of origins (contract.md §3; decisions.md, "CORS").

use std::sync::Arc;

use actix_cors::Cors;
use actix_socketio::Refusal;
use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    AUTHORIZATION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN,
    REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS,
    X_DNS_PREFETCH_CONTROL, X_FRAME_OPTIONS, X_XSS_PROTECTION,
};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use runtime::http::problem;
use runtime::settings::{Settings, SettingsError, malformed};

use crate::object::Cdn;
use crate::origin::{Origins, exact_origin};

/// How long a browser may keep the answer to a preflight: Chromium's own bound.
const PREFLIGHT_SECONDS: usize = 7_200;

/// Below it is what other sites may frame.
const EMBED: &str = "/embed/";

/// What Helmet sets beside the policy, with its values (<https://helmetjs.github.io/>).
static PLAIN: [(HeaderName, &str); 10] = [
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (HeaderName::from_static("origin-agent-cluster"), "?1"),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_DNS_PREFETCH_CONTROL, "off"),
    (HeaderName::from_static("x-download-options"), "noopen"),
    (X_FRAME_OPTIONS, "SAMEORIGIN"),
    (
        HeaderName::from_static("x-permitted-cross-domain-policies"),
        "none",
    ),
    (X_XSS_PROTECTION, "0"),
];

/// The headers of every answer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SecurityHeaders(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    is_https: bool,
    /// What may frame an embedded page: the sites of `EMBED_ORIGINS`, or nobody.
    embedders: String,
    /// Where images may come from beside sites with TLS: the named place, and the simulator's on this machine.
    images: String,
}

impl SecurityHeaders {
    /// The headers that the settings ask for.
    ///
    /// # Errors
    /// `EMBED_ORIGINS` is no list of origins.
    pub fn read(settings: &Settings, cdn: &Cdn) -> Result<Self, SettingsError> {
        let public = settings.text("PUBLIC_URL").unwrap_or_default();
        let here = ["http://127.0.0.1:*", "http://localhost:*"].map(str::to_owned);
        let here = here.into_iter().filter(|_| !settings.is_production());
        // `https:` has every other one.
        let named = cdn
            .origin()
            .filter(|origin| origin.strip_prefix("http://").is_some_and(is_host));
        Ok(Self(Arc::new(Kept {
            embedders: embedders(settings)?,
            is_https: public.starts_with("https://"),
            images: named
                .into_iter()
                .chain(here)
                .fold(String::new(), |all, one| all + " " + &one),
        })))
    }

    /// The headers of an answer to a request for this path that was sent to this host.
    pub(crate) fn all(
        &self,
        path: &str,
        host: Option<&HeaderValue>,
    ) -> Vec<(HeaderName, HeaderValue)> {
        let is_embed = path.starts_with(EMBED);
        // It knows one origin at most; where there is a list, `frame-ancestors` says it.
        let plain = PLAIN
            .iter()
            .filter(|(name, _)| !is_embed || *name != X_FRAME_OPTIONS);
        let plain = plain.map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        let mut all: Vec<_> = plain.collect();
        let ancestors = if is_embed {
            &self.0.embedders
        } else {
            "'self'"
        };
        let policy = HeaderValue::try_from(self.policy(host, ancestors));
        all.extend(policy.ok().map(|policy| (CONTENT_SECURITY_POLICY, policy)));
        if self.0.is_https {
            let year = HeaderValue::from_static("max-age=31536000; includeSubDomains");
            all.push((STRICT_TRANSPORT_SECURITY, year));
        }
        all
    }

    /// A refused handshake, with the headers.
    pub(crate) fn on(&self, mut refusal: Refusal) -> Refusal {
        refusal.headers.extend(self.all("", None));
        refusal
    }

    fn policy(&self, host: Option<&HeaderValue>, ancestors: &str) -> String {
        let host = host
            .and_then(|host| host.to_str().ok())
            .filter(|host| is_host(host));
        // Older browsers do not count a WebSocket of the same host as `'self'`.
        let sockets = host.map_or_else(String::new, |host| format!(" ws://{host} wss://{host}"));
        let images = &self.0.images;
        let upgrade = if self.0.is_https {
            "; upgrade-insecure-requests"
        } else {
            ""
        };
        format!(
            "default-src 'self'; base-uri 'self'; connect-src 'self'{sockets}; font-src 'self'; \
             form-action 'self'; frame-ancestors {ancestors}; img-src 'self' https: data:{images}; \
             media-src 'self' https:{images}; object-src 'none'; script-src 'self'; \
             script-src-attr 'none'; style-src 'self'{upgrade}"
        )
    }
}

/// What may frame an embedded page, as the policy says it. Unset: nobody.
fn embedders(settings: &Settings) -> Result<String, SettingsError> {
    const NAME: &str = "EMBED_ORIGINS";
    let origins = settings.list(NAME).into_iter().map(exact_origin);
    let origins: Option<Vec<_>> = origins.collect();
    let origins = origins.ok_or_else(|| malformed(NAME, "origins such as https://blog.example"))?;
    if origins.is_empty() {
        return Ok("'none'".to_owned());
    }
    Ok(origins.join(" "))
}

/// Text that can't end a directive.
fn is_host(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b".-:[]_".contains(&b);
    !text.is_empty() && text.bytes().all(is_plain)
}

/// Puts the headers on an answer, where a route has not set its own.
pub(crate) async fn secured<B: MessageBody>(
    headers: SecurityHeaders,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let all = headers.all(request.path(), request.headers().get(HOST));
    let mut answer = next.call(request).await?;
    let own = answer.headers_mut();
    for (name, value) in all {
        if !own.contains_key(&name) {
            own.insert(name, value);
        }
    }
    Ok(answer)
}

/// Refuses what a page of another site asks.
pub(crate) async fn of_our_pages<B: MessageBody>(
    origins: Origins,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    let peer = request.peer_addr().map(|peer| peer.ip());
    if origins.admits_from(peer, |name| request.headers().get(name)) {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let text = "Origin not allowed";
    let mut refusal = problem(StatusCode::FORBIDDEN, text, Some("FORBIDDEN"));
    let vary = HeaderValue::from_static("Origin");
    refusal.headers_mut().insert(VARY, vary);
    Ok(request.into_response(refusal).map_into_right_body())
}

/// What pages of ours on other origins may do: exactly named, with credentials.
pub(crate) fn cors(origins: Origins) -> Cors {
    Cors::default()
        .allowed_origin_fn(move |origin, head| {
            let peer = head.peer_addr.map(|peer| peer.ip());
            origins.admits_from(peer, |name| match name {
                ORIGIN => Some(origin),
                name => head.headers().get(name),
            })
        })
        .allowed_methods([Method::GET, Method::HEAD, Method::POST])
        .allowed_headers([
            CONTENT_TYPE,
            AUTHORIZATION,
            HeaderName::from_static("last-event-id"),
        ])
        .expose_headers([actix_web::http::header::RETRY_AFTER])
        .supports_credentials()
        .max_age(PREFLIGHT_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(settings: &[(&'static str, &str)], host: &'static str) -> String {
        headers_of("/", settings, host).unwrap()
    }

    fn headers_of(
        path: &str,
        settings: &[(&'static str, &str)],
        host: &'static str,
    ) -> Result<String, SettingsError> {
        let mut all = Settings::default();
        for (name, value) in settings {
            all.set(name, *value);
        }
        let host = HeaderValue::from_static(host);
        let cdn = Cdn::read(&all).unwrap();
        let headers = SecurityHeaders::read(&all, &cdn)?.all(path, Some(&host));
        let lines = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()));
        Ok(lines.collect())
    }

    #[test]
    fn only_the_named_sites_frame_an_embedded_page_and_nothing_else_of_ours() {
        let sites = (
            "EMBED_ORIGINS",
            "https://Blog.example, http://10.0.0.1:8080/",
        );
        let embed = headers_of("/embed/1", &[sites], "stream.example").unwrap();
        let ancestors = "frame-ancestors https://blog.example http://10.0.0.1:8080;";
        assert!(embed.contains(ancestors), "{embed}");
        assert!(!embed.contains("x-frame-options"), "{embed}");
        for path in ["/", "/embed", "/embedded/1", "/login"] {
            let other = headers_of(path, &[sites], "stream.example").unwrap();
            assert!(other.contains("frame-ancestors 'self';"), "{path}");
            assert!(other.contains("x-frame-options: SAMEORIGIN"), "{path}");
        }
        let unset = headers_of("/embed/1", &[], "stream.example").unwrap();
        assert!(unset.contains("frame-ancestors 'none';"), "{unset}");
    }

    #[test]
    fn what_is_no_origin_stops_the_start() {
        for odd in [
            "blog.example",
            "https://blog.example/page",
            "https://blog.example?x",
            "https://user@blog.example",
            "https://*.example",
            "https://a.example; script-src *",
            "null",
            "'self'",
            "*",
            "ftp://blog.example",
            "https://a.example https://b.example",
        ] {
            let read = headers_of("/embed/1", &[("EMBED_ORIGINS", odd)], "h");
            let error = read.unwrap_err().to_string();
            assert!(error.contains("EMBED_ORIGINS"), "{odd}: {error}");
        }
    }

    #[test]
    fn nothing_inline_and_nothing_from_elsewhere_runs() {
        let all = headers(&[], "stream.example:3001");
        assert!(!all.contains("unsafe-"), "{all}");
        assert!(
            all.contains("connect-src 'self' ws://stream.example:3001 wss://stream.example:3001;")
        );
        assert!(all.contains("http://127.0.0.1:*"));
        assert!(!all.contains("strict-transport-security") && !all.contains("upgrade-insecure"));
    }

    #[test]
    fn https_is_held_to_only_where_we_are_reached_by_it() {
        let public = ("PUBLIC_URL", "https://stream.example");
        let all = headers(&[public, ("APP_ENV", "production")], "stream.example");
        assert!(all.contains("strict-transport-security: max-age=31536000"));
        assert!(all.contains("upgrade-insecure-requests") && !all.contains("127.0.0.1"));
    }

    #[test]
    fn images_come_from_where_they_are_said_to_be() {
        let production = ("APP_ENV", "production");
        let cdn = ("DISCORD_CDN_URL", "http://sim:4000/images");
        let all = headers(&[production, cdn], "stream.example");
        assert!(
            all.contains("img-src 'self' https: data: http://sim:4000;"),
            "{all}"
        );
        let all = headers(&[production], "stream.example");
        assert!(all.contains("img-src 'self' https: data:;"), "{all}");
    }

    #[test]
    fn a_host_adds_no_directive() {
        let all = headers(&[], "a; script-src *");
        assert!(all.contains("connect-src 'self';"), "{all}");
    }
}
