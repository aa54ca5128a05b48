//! A viewer's channels over plain HTTP: the list, pages, and one channel as Server-Sent Events (contract.md §2).
//!
//! Every refusal is a JSON error before anything is streamed. What may be seen is decided by the hub, as for any
//! other viewer.

use std::rc::Rc;

use actix_socketio::Close;
use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use proto::{ChannelId, MessageId};
use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;
use url::form_urlencoded;

use super::login::parameter;
use super::refusal::{TOKEN_IN_URL, bad_request, closed, has_token, refused};
use super::session::Accounts;
use crate::address::{ClientAddress, FORWARDED_FOR, Proxies};
use crate::auth::{AuthError, NoTicket, Principal, Watch};
use crate::offset::Offset;
use crate::request::{LIMIT_MAX, Request, page_limit};
use crate::transport::stream::{Body, StreamLink};
use crate::transport::websocket::Bounds;
use crate::transport::{Caller, Closed, Door, Link, Transport, bearer, in_time};

/// A browser that lost its stream comes back after this long at least.
const RETRY_MIN_MS: u64 = 1_000;

/// And at most: spread, so that not all of a crowd come back at once.
const RETRY_MAX_MS: u64 = 5_000;

/// The position that a browser's `EventSource` sends when it comes back.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// `GET /api/channels`
pub(super) async fn list(request: HttpRequest, door: Data<Rc<Door>>) -> HttpResponse {
    ask(&request, &door, Request::GetChannels).await
}

/// `GET /api/channels/{channelId}/messages?before=&limit=`
pub(super) async fn messages(
    request: HttpRequest,
    path: Path<String>,
    door: Data<Rc<Door>>,
) -> HttpResponse {
    match page_of(&path, request.query_string()) {
        Ok(page) => ask(&request, &door, page).await,
        Err(text) => bad_request(text),
    }
}

/// `GET /api/channels/{channelId}/stream`
pub(super) async fn stream(
    request: HttpRequest,
    path: Path<String>,
    door: Data<Rc<Door>>,
    bounds: Data<Bounds>,
    accounts: Data<Accounts>,
) -> HttpResponse {
    let Ok(channel) = path.parse::<ChannelId>() else {
        return bad_request("channelId must be a snowflake");
    };
    if has_token(request.query_string()) {
        return bad_request(TOKEN_IN_URL);
    }
    let join = match join_of(&request, channel) {
        Ok(join) => (channel, join),
        Err(text) => return bad_request(text),
    };
    let knock = match parameter(&request, "ticket") {
        None => match bearer(request.headers().get(AUTHORIZATION)) {
            Some(token) => Knock::Token(token),
            None => return closed(AuthError::Required.into()),
        },
        Some(ticket) => match accounts.tickets.open(&ticket, channel).await {
            Ok((principal, watch)) => Knock::Ticket(Box::new(principal), watch),
            Err(NoTicket::Away) => return super::refusal::unavailable(),
            // Of all answers this one stops a browser's EventSource from asking again and again.
            Err(NoTicket::Spent | NoTicket::Revoked) => return HttpResponse::NoContent().finish(),
        },
    };
    open(
        &door,
        &bounds,
        knock,
        address(&request, &door.proxies),
        join,
    )
    .await
}

/// How somebody comes to a stream.
enum Knock {
    Token(String),
    Ticket(Box<Principal>, Watch),
}

/// Joins the channel, and streams it if that is granted.
async fn open(
    door: &Door,
    bounds: &Bounds,
    knock: Knock,
    address: ClientAddress,
    (channel, join): (ChannelId, Request),
) -> HttpResponse {
    let pipe = door.open.pipe(bounds.queue_bytes_max, None);
    let link = StreamLink::new(pipe.clone(), channel);
    let caller = Caller {
        address,
        transport: Rc::as_ptr(&link).addr(),
    };
    let (admitted, ticket) = match knock {
        Knock::Token(token) => (in_time(door.admit(&token, caller)).await, None),
        Knock::Ticket(principal, watch) => {
            let admitted = in_time(door.admit_known(*principal, caller)).await;
            (admitted, Some(watch))
        }
    };
    let session = match admitted {
        Ok(session) => session,
        Err(Closed::Auth(_)) if ticket.is_some() => return HttpResponse::NoContent().finish(),
        Err(error) => return closed(error),
    };
    let mut place = door.open.enter(Transport::Sse, pipe.clone());
    place.on_authenticated();
    let retry = rand::random_range(RETRY_MIN_MS..=RETRY_MAX_MS);
    pipe.push(format!("retry: {retry}\n\n").into());
    let viewer = door.hub.on_connected(session, Link::Stream(link));
    // From here on the viewer is gone when the body is.
    let mut body = Body::new(
        pipe.clone(),
        door.hub.clone(),
        viewer,
        bounds.ping_interval,
        place,
    );
    if let Some(ticket) = ticket {
        let watching = actix_rt::spawn(async move {
            ticket.taken().await;
            pipe.end(Close::Normal);
        });
        body = body.beside(AbortOnDropHandle::new(watching));
    }
    if let Err(refusal) = door.hub.answer(viewer, join).await {
        return refused(&refusal);
    }
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header((CACHE_CONTROL, "no-store"))
        // nginx would hold the events back.
        .insert_header((HeaderName::from_static("x-accel-buffering"), "no"))
        .streaming(body)
}

/// One request of the bearer, answered and done.
async fn ask(request: &HttpRequest, door: &Door, asked: Request) -> HttpResponse {
    if has_token(request.query_string()) {
        return bad_request(TOKEN_IN_URL);
    }
    let header = request.headers().get(AUTHORIZATION);
    let admitted = door.admit_once(header, address(request, &door.proxies));
    let session = match admitted.await {
        Ok(session) => session,
        Err(error) => return closed(error),
    };
    match door.hub.ask_once(session, asked).await {
        Ok(Value::Object(mut answer)) => {
            answer.remove("success");
            HttpResponse::Ok()
                .insert_header((CACHE_CONTROL, "no-store"))
                .json(answer)
        }
        Ok(_) => super::refusal::unavailable(),
        Err(refusal) => refused(&refusal),
    }
}

/// Where a request comes from.
pub(super) fn address(request: &HttpRequest, proxies: &Proxies) -> ClientAddress {
    let peer = request.peer_addr().map(|peer| peer.ip());
    let forwarded = request.headers().get_all(FORWARDED_FOR);
    proxies.client(peer, forwarded)
}

fn page_of(channel: &str, query: &str) -> Result<Request, &'static str> {
    let channel = channel
        .parse()
        .map_err(|_| "channelId must be a snowflake")?;
    let mut limit = None;
    let mut before = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "limit" => limit = Some(limit_of(&value)?),
            "before" => {
                let id: MessageId = value.parse().map_err(|_| "before must be a message id")?;
                before = Some(id);
            }
            _ => {}
        }
    }
    Ok(Request::GetMessages {
        channel,
        before,
        limit: page_limit(limit),
    })
}

fn limit_of(text: &str) -> Result<u32, &'static str> {
    let limit = text.parse().ok().filter(|n| (1..=LIMIT_MAX).contains(n));
    limit.ok_or("limit must be a whole number from 1 to 100")
}

/// The join of a stream: from the offset that the header or the query names (equal), if it is one.
fn join_of(request: &HttpRequest, channel: ChannelId) -> Result<Request, &'static str> {
    let mut limit = None;
    let mut offset = None;
    for (name, value) in form_urlencoded::parse(request.query_string().as_bytes()) {
        match &*name {
            "limit" => limit = Some(limit_of(&value)?),
            "offset" => offset = Some(value.into_owned()),
            _ => {}
        }
    }
    let header = request.headers().get(LAST_EVENT_ID);
    let header = header.and_then(|value| Some(value.to_str().ok()?.to_owned()));
    // The header is the newer one: the URL stays the same as long as the browser comes back by itself.
    let after = header
        .or(offset)
        .and_then(|text| text.parse::<Offset>().ok());
    Ok(match after {
        Some(_) => Request::Resume {
            channel,
            limit,
            after,
        },
        None => Request::Join { channel, limit },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn channel() -> ChannelId {
        ChannelId::new(7).unwrap()
    }

    #[test]
    fn a_page_is_asked_for_by_its_query() {
        let page = |before, limit| Request::GetMessages {
            channel: channel(),
            before: MessageId::new(before),
            limit,
        };
        let table = [
            ("7", "", Ok(page(0, 50))),
            ("7", "before=9&limit=100&x=y", Ok(page(9, 100))),
            ("7", "limit=0", Err("limit")),
            ("7", "limit=101", Err("limit")),
            ("7", "limit=", Err("limit")),
            ("7", "before=x", Err("before")),
            ("seven", "", Err("channelId")),
        ];
        for (path, query, expected) in table {
            match (page_of(path, query), expected) {
                (Err(text), Err(field)) => assert!(text.contains(field), "{query}: {text}"),
                (read, expected) => assert_eq!(read, expected, "{query}"),
            }
        }
    }

    #[test]
    fn a_stream_goes_on_from_the_header_or_else_the_query() {
        let (old, new) = ("0000000000000001.5", "0000000000000001.9");
        let join = |uri: &str, header: Option<&str>| {
            let mut request = TestRequest::with_uri(uri);
            if let Some(header) = header {
                request = request.insert_header((LAST_EVENT_ID, header));
            }
            join_of(&request.to_http_request(), channel()).unwrap()
        };
        let resumed = |text: &str| Request::Resume {
            channel: channel(),
            limit: None,
            after: Some(text.parse().unwrap()),
        };
        let fresh = Request::Join {
            channel: channel(),
            limit: None,
        };
        let with_query = format!("/?offset={old}");
        assert_eq!(join("/", None), fresh);
        assert_eq!(join("/", Some("of another server")), fresh);
        assert_eq!(join("/", Some(new)), resumed(new));
        assert_eq!(join(&with_query, None), resumed(old));
        assert_eq!(join(&with_query, Some(new)), resumed(new));
    }
}
