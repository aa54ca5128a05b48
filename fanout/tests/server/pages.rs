//! The page, what every answer carries, and who may ask from where.

use reqwest::{Method, Response};
use tokio_tungstenite::tungstenite::Error;

use crate::harness::{MEMBER, Node};

async fn get(node: &Node, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = node.http.get(node.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

fn header<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    answer
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn the_page_is_for_browsers_and_a_greeting_for_programs() {
    let node = Node::start().await;
    let page = get(&node, "/", &[("accept", "text/html,*/*")]).await;
    assert!(
        header(&page, "content-type")
            .unwrap()
            .starts_with("text/html")
    );
    assert_eq!(header(&page, "cache-control"), Some("no-cache"));
    let html = page.text().await.unwrap();
    let greeting = get(&node, "/", &[]).await;
    assert!(greeting.text().await.unwrap().contains("running"));
    let login = get(&node, "/login?error=oauth_failed", &[]).await;
    assert_eq!(login.text().await.unwrap(), html);
    let script = html.split("src=\"./").nth(1).unwrap();
    let path = format!("/{}", script.split('"').next().unwrap());
    let script = get(&node, &path, &[]).await;
    assert!(
        header(&script, "cache-control")
            .unwrap()
            .contains("immutable")
    );
    let tag = header(&script, "etag").unwrap().to_owned();
    let again = get(&node, &path, &[("if-none-match", &tag)]).await;
    assert_eq!(again.status(), 304);
    assert_eq!(get(&node, "/assets/none.js", &[]).await.status(), 404);
}

#[tokio::test]
async fn other_sites_frame_the_page_of_one_channel() {
    let node = Node::with(&[("EMBED_ORIGINS", "https://blog.example")]).await;
    let policy = |answer: &Response| {
        header(answer, "content-security-policy")
            .unwrap()
            .to_owned()
    };
    let page = get(&node, "/embed/300", &[]).await;
    assert_eq!(page.status(), 200);
    assert!(policy(&page).contains("frame-ancestors https://blog.example;"));
    assert_eq!(header(&page, "x-frame-options"), None);
    assert_eq!(header(&page, "referrer-policy"), Some("no-referrer"));
    let html = page.text().await.unwrap();
    let script = html.split("src=\"./").nth(1).unwrap();
    let script = script.split('"').next().unwrap();
    assert_eq!(
        get(&node, &format!("/embed/{script}"), &[]).await.status(),
        200
    );
    for path in [
        "/embed/",
        "/embed/x",
        "/embed/0",
        "/embed/-1",
        "/embed/1/2",
        "/embed/99999999999999999999",
    ] {
        assert_eq!(get(&node, path, &[]).await.status(), 404, "{path}");
    }
    for path in ["/", "/login", "/embed"] {
        let page = get(&node, path, &[("accept", "text/html")]).await;
        assert!(policy(&page).contains("frame-ancestors 'self';"), "{path}");
        assert_eq!(
            header(&page, "x-frame-options"),
            Some("SAMEORIGIN"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn every_answer_carries_the_headers() {
    let node = Node::with(&[("PUBLIC_URL", "https://stream.example")]).await;
    let refused = match node.try_ws("/elsewhere", &[]).await {
        Err(Error::Http(answer)) => answer,
        other => panic!("{:?}", other.map(|_| "upgraded")),
    };
    assert!(refused.headers().contains_key("content-security-policy"));
    let evil = [("origin", "https://evil.example")];
    for path in ["/socket.io/?EIO=4&transport=websocket", "/ws"] {
        match node.try_ws(path, &evil).await {
            Err(Error::Http(answer)) => {
                assert_eq!(answer.status(), 403);
                assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
            }
            other => panic!("{:?}", other.map(|_| "upgraded")),
        }
    }
    for (path, status) in [
        ("/", 200),
        ("/nothing", 404),
        ("/api/channels", 401),
        ("/socket.io/", 400),
        ("/api/live", 200),
    ] {
        let answer = get(&node, path, &[]).await;
        assert_eq!(answer.status(), status, "{path}");
        for (name, value) in [
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "SAMEORIGIN"),
            (
                "strict-transport-security",
                "max-age=31536000; includeSubDomains",
            ),
        ] {
            assert_eq!(header(&answer, name), Some(value), "{path} {name}");
        }
        let policy = header(&answer, "content-security-policy").unwrap();
        assert!(policy.contains("default-src 'self'") && !policy.contains("unsafe"));
    }
}

#[tokio::test]
async fn pages_of_ours_may_ask_and_those_of_others_may_not() {
    let node = Node::start().await;
    let front = ("origin", "https://front.example");
    let answer = get(&node, "/api/health", &[front]).await;
    assert_eq!(
        header(&answer, "access-control-allow-origin"),
        Some(front.1)
    );
    assert_eq!(
        header(&answer, "access-control-allow-credentials"),
        Some("true")
    );
    let vary: Vec<_> = answer.headers().get_all("vary").iter().collect();
    assert!(format!("{vary:?}").contains("Origin"), "{vary:?}");
    let own = node.url("");
    let answer = get(&node, "/api/health", &[("origin", &own)]).await;
    assert_eq!(answer.status(), 200);
    for origin in ["https://evil.example", "null"] {
        for path in [
            "/api/health",
            "/socket.io/?EIO=4&transport=polling",
            "/nothing",
        ] {
            let answer = get(&node, path, &[("origin", origin)]).await;
            assert_eq!(answer.status(), 403, "{origin} {path}");
            assert_eq!(header(&answer, "access-control-allow-origin"), None);
        }
    }
    let preflight = node
        .request(Method::OPTIONS, "/api/auth/refresh", MEMBER)
        .header(front.0, front.1)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,content-type",
        );
    let answer = preflight.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let methods = header(&answer, "access-control-allow-methods").unwrap();
    assert!(methods.contains("POST"), "{methods}");
}
