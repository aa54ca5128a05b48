//! Requests that open no transport: Engine.IO's table of errors, and the answers to plain HTTP on the endpoint.
//! Source: <https://socket.io/docs/v4/server-instance/#connection_error>. It promises the reference server's bodies.

use actix_http::{Request, ws};
use actix_web::{HttpRequest, HttpResponse, web};
use http::{Method, StatusCode};

use crate::{config::Config, host::Refusal};

/// Why a request opens no transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandshakeError {
    TransportUnknown,
    SessionUnknown,
    Method,
    BadRequest,
    Protocol,
}

impl HandshakeError {
    /// Looks at a WebSocket upgrade.
    pub(crate) fn of_upgrade(request: &Request) -> Option<Self> {
        let query = request.uri().query().unwrap_or_default();
        of_query(query, request.method()).or_else(|| {
            ws::verify_handshake(request.head())
                .err()
                .map(|_| Self::BadRequest)
        })
    }

    pub(crate) fn refusal(self) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, self.body())
    }

    fn body(self) -> &'static str {
        match self {
            Self::TransportUnknown => r#"{"code":0,"message":"Transport unknown"}"#,
            Self::SessionUnknown => r#"{"code":1,"message":"Session ID unknown"}"#,
            Self::Method => r#"{"code":2,"message":"Bad handshake method"}"#,
            Self::BadRequest => r#"{"code":3,"message":"Bad request"}"#,
            Self::Protocol => r#"{"code":5,"message":"Unsupported protocol version"}"#,
        }
    }
}

/// What the query and the method decide, in the reference server's order.
fn of_query(query: &str, method: &Method) -> Option<HandshakeError> {
    let parameter = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find_map(|(key, value)| (key == name).then_some(value))
    };
    if parameter("transport") != Some("websocket") {
        return Some(HandshakeError::TransportUnknown);
    }
    if parameter("sid").is_some_and(|sid| !sid.is_empty()) {
        // Sessions live on their one WebSocket: there is none that a second request could join.
        return Some(HandshakeError::SessionUnknown);
    }
    if method != Method::GET {
        return Some(HandshakeError::Method);
    }
    (parameter("EIO") != Some("4")).then_some(HandshakeError::Protocol)
}

/// The answer to a request on the endpoint that is no upgrade: always one of Engine.IO's errors.
pub fn http_answer(request: &HttpRequest) -> HttpResponse {
    let error = of_query(request.query_string(), request.method())
        // A proper handshake, but without the upgrade.
        .unwrap_or(HandshakeError::BadRequest);
    HttpResponse::BadRequest()
        .content_type("application/json")
        .body(error.body())
}

/// Serves [`http_answer`] on the endpoint: `App::new().configure(routes(&config))`.
pub fn routes(config: &Config) -> impl FnOnce(&mut web::ServiceConfig) + use<> {
    let path = config.path.clone();
    move |app| {
        let answer = |request: HttpRequest| async move { http_answer(&request) };
        if let Some(bare) = path.strip_suffix('/').filter(|bare| !bare.is_empty()) {
            app.route(bare, web::route().to(answer));
        }
        app.route(&path, web::route().to(answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_decides_as_in_the_reference_server() {
        for (query, method, expected) in [
            ("EIO=4&transport=websocket", Method::GET, None),
            ("transport=websocket&EIO=4&t=x&sid=", Method::GET, None),
            ("", Method::GET, Some(HandshakeError::TransportUnknown)),
            (
                "EIO=4&transport=polling",
                Method::GET,
                Some(HandshakeError::TransportUnknown),
            ),
            (
                "EIO=4&transport=websocket&sid=a",
                Method::GET,
                Some(HandshakeError::SessionUnknown),
            ),
            (
                "EIO=4&transport=websocket",
                Method::POST,
                Some(HandshakeError::Method),
            ),
            (
                "EIO=3&transport=websocket",
                Method::GET,
                Some(HandshakeError::Protocol),
            ),
            (
                "transport=websocket",
                Method::GET,
                Some(HandshakeError::Protocol),
            ),
            (
                "&&=&EIO",
                Method::GET,
                Some(HandshakeError::TransportUnknown),
            ),
        ] {
            assert_eq!(of_query(query, &method), expected, "{method} {query}");
        }
    }
}
