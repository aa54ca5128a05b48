//! Requests and upgrades of another instance's sessions, against a stand-in for that instance behind its preface.

use std::future::Future;

use actix_web::body::to_bytes;
use actix_web::test::TestRequest;
use broker::{Embedded, EmbeddedSettings};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener as Listener;
use tokio::sync::oneshot;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);
const TERM: Duration = Duration::from_mins(1);

async fn soon<T>(what: &str, waiting: impl Future<Output = T>) -> T {
    let done = timeout(PATIENCE, waiting).await;
    done.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// Two instances as the broker knows them: the one that is asked, and one whose port the test plays.
struct Two {
    peers: Peers,
    other: InstanceId,
    port: Listener,
    broker: Arc<Embedded>,
    drain: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Two {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("events.db");
        let broker = Embedded::open(&file, EmbeddedSettings::default());
        let broker = broker.await.unwrap();
        let port = Listener::bind("127.0.0.1:0").await.unwrap();
        let other = InstanceId::from_bits(7);
        let address = port.local_addr().unwrap();
        broker.enroll(&other, address, TERM).await.unwrap();
        let drain = CancellationToken::new();
        let bounds = Bounds {
            poll: Duration::from_secs(85),
            drain: Duration::from_millis(50),
        };
        Self {
            peers: Peers::new(Some(broker.clone()), bounds, drain.clone()),
            other,
            port,
            broker,
            drain,
            _folder: folder,
        }
    }

    /// The next connection, its preface read.
    async fn accept(&self) -> (BufReader<TcpStream>, Option<SocketAddr>) {
        let (mut stream, _) = soon("a connection comes", self.port.accept())
            .await
            .unwrap();
        let client = preface::read(&mut stream).await.unwrap();
        (BufReader::new(stream), client)
    }

    async fn forward(&self, request: &HttpRequest) -> Result<HttpResponse, PeerError> {
        let arrived = Arrived::request(request);
        let forwarding = self
            .peers
            .forward(self.other.as_str(), arrived, Bytes::new());
        soon("it is answered", forwarding).await
    }

    fn counted(&self) -> Vec<(&'static str, u64)> {
        let counts = self.peers.counts().forwarded();
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

/// The lines of a request's head, sorted.
async fn head_of(stream: &mut BufReader<TcpStream>) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        soon("a line comes", stream.read_line(&mut line))
            .await
            .unwrap();
        if line.trim_end().is_empty() {
            lines.sort();
            return lines;
        }
        lines.push(line.trim_end().to_owned());
    }
}

fn poll() -> TestRequest {
    TestRequest::get()
        .uri("/socket.io/?EIO=4&transport=polling&sid=HAAAAAAAx")
        .peer_addr("203.0.113.9:4711".parse().unwrap())
}

#[tokio::test]
async fn a_request_is_answered_by_the_instance_that_it_is_for() {
    let two = Two::start().await;
    let request = TestRequest::post()
        .uri("/socket.io/?EIO=4&transport=polling&sid=HAAAAAAAx")
        .peer_addr("203.0.113.9:4711".parse().unwrap())
        .insert_header(("host", "stream.example"))
        .insert_header(("x-forwarded-for", "198.51.100.1"))
        .append_header(("cookie", "a=1"))
        .insert_header(("connection", "keep-alive"))
        .insert_header(("transfer-encoding", "chunked"))
        .insert_header(("expect", "100-continue"))
        .to_http_request();
    let (arrived, body) = (Arrived::request(&request), Bytes::from_static(b"2probe"));
    let forwarding = two.peers.forward(two.other.as_str(), arrived, body);
    let playing = async {
        let (mut stream, client) = two.accept().await;
        assert_eq!(client, Some("203.0.113.9:4711".parse().unwrap()));
        let wanted = [
            "POST /socket.io/?EIO=4&transport=polling&sid=HAAAAAAAx HTTP/1.1",
            "content-length: 6",
            "cookie: a=1",
            "host: stream.example",
            "x-forwarded-for: 198.51.100.1",
        ];
        assert_eq!(head_of(&mut stream).await, wanted);
        let mut body = [0; 6];
        stream.read_exact(&mut body).await.unwrap();
        assert_eq!(&body, b"2probe");
        let answer = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nSet-Cookie: a=1\r\n\
            Set-Cookie: b=2\r\nKeep-Alive: timeout=5\r\nVary: Origin\r\nContent-Length: 2\r\n\r\nok";
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream
    };
    let (answer, _open) = tokio::join!(soon("it is answered", forwarding), playing);
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 400);
    let names = answer.headers().iter().map(|(name, _)| name.as_str());
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    assert_eq!(names, ["content-type", "set-cookie", "set-cookie"]);
    assert_eq!(to_bytes(answer.into_body()).await.unwrap(), "ok");
    assert_eq!(two.counted(), [("answered", 1)]);
}

#[tokio::test]
async fn a_long_answer_comes_whole_and_one_that_breaks_off_is_an_error() {
    const LONG: usize = 4 * 1024 * 1024;
    let two = Two::start().await;
    for sent in [LONG, LONG / 2] {
        let request = poll().to_http_request();
        let playing = async {
            let (mut stream, _) = two.accept().await;
            head_of(&mut stream).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LONG}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&vec![b'x'; sent]).await.unwrap();
        };
        let asking = async {
            let answer = two.forward(&request).await.unwrap();
            to_bytes(answer.into_body()).await
        };
        let both = Box::pin(async { tokio::join!(asking, playing) });
        let (body, ()) = soon("the body comes", both).await;
        assert_eq!(
            body.ok().map(|body| body.len()),
            (sent == LONG).then_some(LONG)
        );
    }
}

#[tokio::test]
async fn a_request_that_its_client_gives_up_is_given_up_there() {
    let two = Two::start().await;
    let request = poll().to_http_request();
    let (has_come, come) = oneshot::channel();
    let playing = async {
        let (mut stream, _) = two.accept().await;
        head_of(&mut stream).await;
        has_come.send(()).unwrap();
        let ended = soon("the connection ends", stream.read_u8()).await;
        assert!(ended.is_err(), "{ended:?}");
    };
    let given_up = async {
        tokio::select! {
            answer = two.forward(&request) => panic!("{answer:?}"),
            _ = come => {}
        }
    };
    tokio::join!(playing, given_up);
    assert_eq!(two.counted(), [("cancelled", 1)]);
}

#[tokio::test]
async fn an_instance_that_answers_nothing_is_given_up_after_any_polls_time() {
    let two = Two::start().await;
    let request = poll().to_http_request();
    let playing = async {
        let (mut stream, _) = two.accept().await;
        head_of(&mut stream).await;
        tokio::time::pause();
        stream
    };
    let began = tokio::time::Instant::now();
    let arrived = Arrived::request(&request);
    let forwarding = two.peers.forward(two.other.as_str(), arrived, Bytes::new());
    let (answer, _open) = tokio::join!(forwarding, playing);
    assert!(matches!(answer, Err(PeerError::Silent)), "{answer:?}");
    assert!(began.elapsed() >= Duration::from_secs(85));
    assert_eq!(two.counted(), [("unanswered", 1)]);
}

#[tokio::test]
async fn an_instance_that_is_unknown_or_gone_or_breaks_off_is_an_error_at_once() {
    let two = Two::start().await;
    let request = poll().to_http_request();
    let arrived = Arrived::request(&request);
    for name in ["AAAAAAAA", "*", ">", "", "../etc/pa", "HAAAAAAAx"] {
        let answer = two.peers.forward(name, arrived, Bytes::new()).await;
        assert!(matches!(answer, Err(PeerError::Unknown)), "{name}");
        let splice = two.peers.reach(name, arrived).await;
        assert!(matches!(splice, Err(PeerError::Unknown)), "{name}");
    }
    let broken =
        async { tokio::join!(two.forward(&request), async { drop(two.accept().await) }).0 };
    assert!(matches!(broken.await, Err(PeerError::Broken(_))));
    let hop = Arrived {
        is_from_peer: true,
        ..arrived
    };
    let hopped = two
        .peers
        .forward(two.other.as_str(), hop, Bytes::new())
        .await;
    assert!(matches!(hopped, Err(PeerError::SecondHop)));
    let closed = Listener::bind("127.0.0.1:0").await.unwrap().local_addr();
    let gone = InstanceId::from_bits(8);
    two.broker
        .enroll(&gone, closed.unwrap(), TERM)
        .await
        .unwrap();
    let answer = two
        .peers
        .forward(gone.as_str(), arrived, Bytes::new())
        .await;
    assert!(matches!(answer, Err(PeerError::Unreachable(_))));
    // It came back elsewhere: what was known of it is forgotten once it is not there.
    let address = two.port.local_addr().unwrap();
    two.broker.enroll(&gone, address, TERM).await.unwrap();
    let found = tokio::join!(two.peers.reach(gone.as_str(), arrived), two.accept());
    assert!(found.0.is_ok());
    let wanted = [
        ("spliced", 1),
        ("unknown", 12),
        ("unreachable", 1),
        ("unanswered", 1),
        ("second_hop", 1),
    ];
    assert_eq!(two.counted(), wanted);
}

#[tokio::test]
async fn an_instance_that_is_slower_than_two_seconds_is_gone() {
    let two = Two::start().await;
    // A full backlog: the system drops what comes, as the network does on the way to a machine that is off.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    full.bind(&any.into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) =
        timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        waiting.push(stream);
    }
    let slow = InstanceId::from_bits(8);
    two.broker.enroll(&slow, address, TERM).await.unwrap();
    let request = poll().to_http_request();
    let began = std::time::Instant::now();
    let arrived = Arrived::request(&request);
    let answer = two
        .peers
        .forward(slow.as_str(), arrived, Bytes::new())
        .await;
    assert!(
        matches!(answer, Err(PeerError::Unreachable(_))),
        "{answer:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn an_instance_that_is_alone_knows_no_other() {
    let bounds = Bounds {
        poll: Duration::ZERO,
        drain: Duration::ZERO,
    };
    let alone = Peers::new(None, bounds, CancellationToken::new());
    let request = poll().to_http_request();
    let splice = alone.reach("AAAAAAAA", Arrived::request(&request)).await;
    assert!(matches!(splice, Err(PeerError::Unknown)));
    assert_eq!(alone.instance().len(), InstanceId::LENGTH);
    assert!(!format!("{alone:?}").contains("127.0.0.1"));
}

/// A splice with its two ends: the client's, and the instance's.
async fn spliced(two: &Two) -> (TcpStream, BufReader<TcpStream>, tokio::task::JoinHandle<()>) {
    let request = poll()
        .insert_header(("upgrade", "websocket"))
        .insert_header(("connection", "Upgrade"))
        .insert_header(("host", "stream.example"))
        .to_http_request();
    let reaching = two
        .peers
        .reach(two.other.as_str(), Arrived::request(&request));
    let (splice, (mut peer, client)) = tokio::join!(soon("it is reached", reaching), two.accept());
    assert_eq!(client, Some("203.0.113.9:4711".parse().unwrap()));
    let wanted = [
        "GET /socket.io/?EIO=4&transport=polling&sid=HAAAAAAAx HTTP/1.1",
        "connection: Upgrade",
        "host: stream.example",
        "upgrade: websocket",
    ];
    assert_eq!(head_of(&mut peer).await, wanted);
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (ours, _) = listener.accept().await.unwrap();
    let splice = splice.unwrap();
    let run = tokio::spawn(async move { splice.run(b"early ", ours).await });
    (client, peer, run)
}

async fn exact(stream: &mut (impl tokio::io::AsyncRead + Unpin), wanted: &[u8]) {
    let mut read = vec![0; wanted.len()];
    soon("bytes come", stream.read_exact(&mut read))
        .await
        .unwrap();
    assert!(read == wanted);
}

#[tokio::test]
async fn a_splice_carries_both_ways_until_the_instance_ends() {
    let two = Two::start().await;
    let (mut client, mut peer, run) = spliced(&two).await;
    assert_eq!(two.peers.splices(), 1);
    client.write_all(b"from the client").await.unwrap();
    exact(&mut peer, b"early from the client").await;
    let long: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let (written, ()) = tokio::join!(peer.write_all(&long), exact(&mut client, &long));
    written.unwrap();
    peer.write_all(b"bye").await.unwrap();
    drop(peer);
    let mut rest = Vec::new();
    soon("the client is left", client.read_to_end(&mut rest))
        .await
        .unwrap();
    assert_eq!(rest, b"bye");
    soon("it ends", run).await.unwrap();
    assert_eq!(two.peers.splices(), 0);
}

#[tokio::test]
async fn a_client_that_has_said_all_still_hears_the_instances_last() {
    let two = Two::start().await;
    let (mut client, mut peer, run) = spliced(&two).await;
    client.write_all(b"close").await.unwrap();
    client.shutdown().await.unwrap();
    let mut read = Vec::new();
    soon("the end is passed on", peer.read_to_end(&mut read))
        .await
        .unwrap();
    assert_eq!(read, b"early close");
    peer.write_all(b"closed").await.unwrap();
    drop(peer);
    exact(&mut client, b"closed").await;
    soon("it ends", run).await.unwrap();
}

#[tokio::test]
async fn splices_end_when_the_instance_drains() {
    let two = Two::start().await;
    let (mut client, mut peer, run) = spliced(&two).await;
    exact(&mut peer, b"early ").await;
    two.drain.cancel();
    soon("it ends", run).await.unwrap();
    let left = soon("the client is left", client.read_u8()).await;
    assert!(left.is_err());
    let left = soon("the peer is left", peer.read_u8()).await;
    assert!(left.is_err());
    assert_eq!(two.peers.splices(), 0);
}

#[tokio::test]
async fn splices_are_bounded() {
    let two = Two::start().await;
    let all = u32::try_from(SPLICES_MAX).unwrap();
    let taken = two
        .peers
        .0
        .splices
        .clone()
        .try_acquire_many_owned(all)
        .unwrap();
    let request = poll().to_http_request();
    let arrived = Arrived::request(&request);
    let crowded = two.peers.reach(two.other.as_str(), arrived).await;
    assert!(matches!(crowded, Err(PeerError::Crowded)));
    drop(taken);
    let reaching = two.peers.reach(two.other.as_str(), arrived);
    let (reached, _) = tokio::join!(reaching, two.accept());
    assert!(reached.is_ok());
    assert_eq!(two.counted(), [("spliced", 1), ("crowded", 1)]);
}

#[tokio::test]
async fn an_instance_is_found_while_it_lives_and_not_after() {
    let two = Two::start().await;
    let (listener, stop) = (
        TcpListener::bind("127.0.0.1:0").unwrap(),
        CancellationToken::new(),
    );
    let address = listener.local_addr().unwrap();
    let settings = PeerSettings {
        port: 0,
        brokers: Vec::new(),
    };
    let joined = two.peers.join(listener, &settings, &stop).unwrap();
    let running = tokio::spawn(joined.unwrap().1.run());
    let own = &two.peers.0.instance;
    soon("it is enrolled", async {
        while two.broker.address_of(own).await.unwrap() != Some(address) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    stop.cancel();
    soon("it has withdrawn", running).await.unwrap();
    assert_eq!(two.broker.address_of(own).await.unwrap(), None);
}
