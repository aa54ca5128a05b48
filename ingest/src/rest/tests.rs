//! The client against an API that answers as each test says, on a real socket.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// One answer: its status, further header lines, its body, and how long it takes.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    status: u16,
    headers: &'static str,
    body: &'static str,
    delay: Duration,
}

fn said(status: u16, headers: &'static str, body: &'static str) -> Said {
    Said {
        status,
        headers,
        body,
        delay: Duration::ZERO,
    }
}

/// A client whose API answers everything so.
pub(crate) async fn answering(status: u16, body: &'static str) -> Rest {
    serving(vec![said(status, "", body)]).await.0
}

/// A client whose API answers one after the other, and the last for ever; and when it was asked.
async fn serving(answers: Vec<Said>) -> (Rest, Arc<Mutex<Vec<Instant>>>) {
    runtime::start::install_tls();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let of_server = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (asked, answers) = (Arc::clone(&of_server), answers.clone());
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let number = {
                    let mut asked = asked.lock();
                    asked.push(Instant::now());
                    asked.len() - 1
                };
                let said = answers.get(number).or(answers.last()).unwrap();
                sleep(said.delay).await;
                let (status, headers, body) = (said.status, said.headers, said.body);
                let length = body.len();
                let head = format!("HTTP/1.1 {status} So\r\n{headers}content-length: {length}");
                let answer = format!("{head}\r\nconnection: close\r\n\r\n{body}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    let rest = Rest::new(&base, &SecretString::from("t0ken")).unwrap();
    (rest, asked)
}

const GOOD: &str = r#"{"good":true}"#;
const LONG: Duration = Duration::from_secs(10);

async fn get(rest: &Rest, path: &str) -> Result<String, RestError> {
    rest.get_text(path, LONG).await
}

#[tokio::test]
async fn a_404_tells_discords_code_if_it_is_discords() {
    for (body, code) in [
        (r#"{"message":"Unknown Member","code":10007}"#, Some(10_007)),
        (r#"{"message":"404: Not Found","code":0}"#, Some(0)),
        ("<html>not found</html>", None),
    ] {
        let rest = answering(404, body).await;
        let error = get(&rest, "/x").await.unwrap_err();
        let is_it = matches!(&error, RestError::Missing(said) if *said == code);
        assert!(is_it, "{body}: {error:?}");
    }
}

#[tokio::test]
async fn a_429_of_any_kind_is_waited_for_and_then_tried_again() {
    for (headers, body) in [
        (
            "x-ratelimit-scope: user\r\nx-ratelimit-limit: 5\r\nx-ratelimit-remaining: 0\r\nx-ratelimit-reset-after: 0.3\r\n",
            r#"{"retry_after":0.3,"global":false}"#,
        ),
        ("x-ratelimit-scope: shared\r\n", r#"{"retry_after":0.3}"#),
        (
            "x-ratelimit-global: true\r\n",
            r#"{"retry_after":0.3,"global":true}"#,
        ),
        ("retry-after: 0.3\r\n", "<html>slow down</html>"),
    ] {
        let (rest, asked) = serving(vec![said(429, headers, body), said(200, "", GOOD)]).await;
        assert_eq!(get(&rest, "/guilds/1").await.unwrap(), GOOD, "{headers}");
        let asked = asked.lock().clone();
        let waited = asked[1] - asked[0];
        assert!(
            waited >= Duration::from_millis(290),
            "{headers}: {waited:?}"
        );
        assert_eq!(
            (asked.len(), rest.counts().json()["limited"].as_u64()),
            (2, Some(1))
        );
    }
}

#[tokio::test]
async fn a_429_that_asks_for_longer_than_the_call_has_is_an_error_at_once_and_is_kept() {
    let (rest, asked) = serving(vec![said(429, "retry-after: 600\r\n", "<html>")]).await;
    for _ in 0..20 {
        let error = get(&rest, "/guilds/1").await.unwrap_err();
        assert!(
            matches!(error, RestError::Limited(wait) if wait > LONG),
            "{error:?}"
        );
    }
    assert_eq!(asked.lock().len(), 1);
}

#[tokio::test]
async fn limits_of_a_good_answer_are_kept_without_a_scope() {
    let headers = "x-ratelimit-limit: 2\r\nx-ratelimit-remaining: 1\r\nx-ratelimit-reset-after: 0.4\r\nx-ratelimit-bucket: b\r\n";
    let used_up = "x-ratelimit-limit: 2\r\nx-ratelimit-remaining: 0\r\nx-ratelimit-reset-after: 0.4\r\nx-ratelimit-bucket: b\r\n";
    let (rest, asked) = serving(vec![said(200, headers, GOOD), said(200, used_up, GOOD)]).await;
    for _ in 0..3 {
        get(&rest, "/guilds/1").await.unwrap();
    }
    let asked = asked.lock().clone();
    assert!(asked[2] - asked[1] >= Duration::from_millis(390));
    assert_eq!(rest.counts().json()["limited"], 0);
}

#[tokio::test]
async fn a_failure_that_passes_is_tried_again_and_one_that_stays_is_given_up() {
    let (rest, _) = serving(vec![
        said(502, "", ""),
        said(503, "", ""),
        said(200, "", GOOD),
    ])
    .await;
    assert_eq!(get(&rest, "/x").await.unwrap(), GOOD);
    let (rest, asked) = serving(vec![said(500, "", "")]).await;
    let error = get(&rest, "/x").await.unwrap_err();
    assert!(matches!(error, RestError::Failing(_)), "{error:?}");
    assert_eq!(asked.lock().len(), TRIES_MAX as usize);
}

#[tokio::test]
async fn a_refused_token_is_asked_once_and_other_refusals_are_not_tried_again() {
    let (rest, asked) = serving(vec![said(401, "", "{}")]).await;
    for _ in 0..5 {
        let error = get(&rest, "/x").await.unwrap_err();
        assert!(matches!(error, RestError::Unauthorized), "{error:?}");
    }
    assert_eq!(asked.lock().len(), 1);
    let (rest, asked) = serving(vec![said(403, "", "{}")]).await;
    let error = get(&rest, "/x").await.unwrap_err();
    assert!(
        matches!(error, RestError::Refused(StatusCode::FORBIDDEN)),
        "{error:?}"
    );
    assert_eq!(asked.lock().len(), 1);
}

#[tokio::test]
async fn a_call_ends_by_its_deadline_and_holds_nobody_elses_up() {
    let mut slow = said(200, "", GOOD);
    slow.delay = Duration::from_mins(1);
    let (rest, _) = serving(vec![slow, said(200, "", GOOD)]).await;
    let patience = Duration::from_millis(500);
    let begun = Instant::now();
    let first = rest.get_text("/guilds/1", patience);
    let other = async {
        sleep(Duration::from_millis(100)).await;
        get(&rest, "/guilds/2").await
    };
    let (first, other) = tokio::join!(first, other);
    assert!(matches!(first, Err(RestError::Late)), "{first:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(other.unwrap(), GOOD);
}
