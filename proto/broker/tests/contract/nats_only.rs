//! What only NATS has: a server that goes away, that is too old, and that an operator configures.

use std::time::{Duration, Instant};

use broker::{
    Broker as _, BrokerError, ConnectError, Erasure, Freshness, LiveItem, Nats, NatsSettings,
    PublishError, StreamSettings,
};
use proto::subject::{EPHEMERAL, FANOUT_BUCKET, REVOKED, RPC_MEMBER, STREAM, VIEWERS, ephemeral};
use proto::{ChannelId, InstanceId};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use super::FEED_BYTES_MAX;
use super::home::{Home, channel, eventually, publication, settings, soon};
use super::live::next_event;
use super::nats_server::NatsServer;

#[tokio::test]
async fn a_server_that_is_away_at_the_start_is_found_later() {
    let mut server = NatsServer::prepared();
    let broker = Nats::connect(NatsSettings::new(server.url(), "early"))
        .await
        .unwrap();
    let mut connected = broker.is_connected();
    assert!(!*connected.borrow());
    assert!(matches!(broker.state().await, Err(BrokerError::Away(_))));
    server.restart();
    soon(
        "the client connects",
        connected.wait_for(|connected| *connected),
    )
    .await
    .unwrap();
    broker.provision(&settings()).await.unwrap();
    assert_eq!(
        broker
            .publish(&publication(channel(1), "1"), 0)
            .await
            .unwrap(),
        1
    );
}

#[tokio::test]
async fn an_old_server_is_refused_with_a_sentence() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let old = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let info =
            r#"INFO {"server_id":"x","version":"2.10.29","headers":true,"max_payload":1048576}"#;
        write
            .write_all(format!("{info}\r\n").as_bytes())
            .await
            .unwrap();
        let mut lines = BufReader::new(read).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if line.starts_with("PING") && write.write_all(b"PONG\r\n").await.is_err() {
                break;
            }
        }
    });
    let refused = Nats::connect(NatsSettings::new(url, "new"))
        .await
        .unwrap_err();
    assert!(matches!(&refused, ConnectError::TooOld(version) if version == "2.10.29"));
    assert!(refused.to_string().contains("2.11 or newer"), "{refused}");
    old.abort();
}

#[tokio::test]
async fn a_publication_without_a_server_is_unknown_within_its_bound() {
    let home = Home::nats(FEED_BYTES_MAX).await;
    home.server().lock().kill();
    let began = Instant::now();
    let outcome = home
        .broker()
        .publish(&publication(channel(1), "1"), 0)
        .await;
    assert!(
        matches!(outcome, Err(PublishError::Unknown(_))),
        "{outcome:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(6));
}

#[tokio::test]
async fn a_publication_to_a_server_that_hangs_is_unknown_within_its_bound_and_stored_once() {
    let home = Home::nats(FEED_BYTES_MAX).await;
    let broker = home.broker();
    home.server().lock().stall();
    let began = Instant::now();
    let outcome = broker.publish(&publication(channel(1), "1"), 0).await;
    assert!(
        matches!(outcome, Err(PublishError::Unknown(_))),
        "{outcome:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(6));
    home.server().lock().go_on();
    eventually("the server answers again", async || {
        let again = broker.publish(&publication(channel(1), "1"), 0).await;
        // The first try is stored by now: it is known again, or the expectation is stale.
        matches!(again, Ok(_) | Err(PublishError::Expectation)).then_some(())
    })
    .await;
    assert_eq!(broker.state().await.unwrap().last, 1);
}

#[tokio::test]
async fn a_server_that_has_lost_everything_is_another_stream_once_it_is_provisioned() {
    let home = Home::nats(FEED_BYTES_MAX).await;
    let broker = home.broker();
    broker
        .publish(&publication(channel(1), "1"), 0)
        .await
        .unwrap();
    let before = broker.state().await.unwrap();
    {
        let mut server = home.server().lock();
        server.kill();
        server.empty();
        server.restart();
    }
    eventually("the loss is known", async || {
        let state = broker.state().await;
        let renewed = broker.lease_acquire("me").await;
        let is_known = |error| matches!(error, Some(BrokerError::Missing));
        (is_known(state.err()) && is_known(renewed.err())).then_some(())
    })
    .await;
    eventually("it is provisioned anew", async || {
        broker.provision(&settings()).await.ok()
    })
    .await;
    let after = broker.state().await.unwrap();
    assert_ne!(after.generation, before.generation);
    assert_eq!(after.last, 0);
}

#[tokio::test]
async fn a_feed_says_that_the_connection_was_lost_and_goes_on() {
    let home = Home::nats(FEED_BYTES_MAX).await;
    let broker = home.broker();
    let mut feed = broker.live().await.unwrap();
    broker
        .publish(&publication(channel(1), "1"), 0)
        .await
        .unwrap();
    assert_eq!(next_event(&mut feed).await.sequence, 1);
    home.restart().await;
    let disturbed = soon("the disturbance comes", feed.next()).await;
    assert!(
        matches!(disturbed, Some(LiveItem::Disturbed(_))),
        "{disturbed:?}"
    );
    broker
        .publish(&publication(channel(1), "2"), 1)
        .await
        .unwrap();
    assert_eq!(next_event(&mut feed).await.sequence, 2);
}

#[tokio::test]
async fn what_is_overwritten_is_not_on_the_disk() {
    let home = Home::nats(FEED_BYTES_MAX).await;
    let broker = home.broker();
    for (number, identity) in ["a text that goes", "a text that stays"].iter().enumerate() {
        let event = publication(channel(number as u64 + 1), identity);
        broker.publish(&event, 0).await.unwrap();
    }
    assert!(broker.remove(1, Erasure::Overwrite).await.unwrap());
    let files = home.server().lock().files();
    let holds = |text: &[u8]| files.windows(text.len()).any(|found| found == text);
    assert!(holds(b"a text that stays") && !holds(b"a text that goes"));
}

#[tokio::test]
async fn the_feed_of_a_closed_broker_ends() {
    let server = NatsServer::start();
    let broker = Nats::connect(NatsSettings::new(server.url(), "closed"))
        .await
        .unwrap();
    broker.provision(&settings()).await.unwrap();
    let mut feed = broker.live().await.unwrap();
    let mut requests = broker.serve("rpc.ingest.member").await.unwrap();
    broker.close().await;
    soon("the feed ends", async {
        while feed.next().await.is_some() {}
    })
    .await;
    assert!(soon("the requests end", requests.next()).await.is_none());
}

#[tokio::test]
async fn changed_settings_are_applied_and_an_operators_own_are_kept() {
    let home = Home::nats(FEED_BYTES_MAX).await;
    let jetstream = home.jetstream().await;
    let mut config = jetstream
        .get_stream(STREAM)
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    assert_eq!(config.max_age, settings().age_max);
    config.description = Some("the operator's".to_owned());
    jetstream.update_stream(config).await.unwrap();
    let changed = StreamSettings {
        age_max: Duration::from_mins(1),
        bytes_max: 1024 * 1024,
        ..settings()
    };
    home.broker().provision(&changed).await.unwrap();
    let config = jetstream
        .get_stream(STREAM)
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    assert_eq!(config.max_age, changed.age_max);
    assert_eq!(config.max_bytes, 1024 * 1024);
    assert_eq!(config.duplicate_window, changed.age_max);
    assert_eq!(config.description.as_deref(), Some("the operator's"));
}

#[tokio::test]
async fn a_new_leader_of_the_stream_disturbs_the_feed() {
    let home = Home::nats(FEED_BYTES_MAX).await;
    let mut feed = home.broker().live().await.unwrap();
    // What a cluster's server says after an election.
    let advisory = format!("$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.{STREAM}");
    let client = home.jetstream().await.client();
    client.publish(advisory, "{}".into()).await.unwrap();
    client.flush().await.unwrap();
    let disturbed = soon("the disturbance comes", feed.next()).await;
    assert!(
        matches!(disturbed, Some(LiveItem::Disturbed(_))),
        "{disturbed:?}"
    );
}

#[tokio::test]
async fn a_feed_that_begins_after_a_reconnection_is_not_disturbed_by_it() {
    let home = Home::nats(FEED_BYTES_MAX).await;
    home.restart().await;
    let broker = home.broker();
    let mut feed = broker.live().await.unwrap();
    broker
        .publish(&publication(channel(1), "1"), 0)
        .await
        .unwrap();
    let first = soon("the event comes", feed.next()).await;
    assert!(matches!(first, Some(LiveItem::Event(_))), "{first:?}");
}

#[tokio::test]
async fn a_foreign_event_in_the_stream_is_passed_over() {
    let home = Home::nats(FEED_BYTES_MAX).await;
    let broker = home.broker();
    let jetstream = home.jetstream().await;
    let stored = jetstream
        .publish("discord.v1.other", "x".into())
        .await
        .unwrap();
    assert_eq!(stored.await.unwrap().sequence, 1);
    broker
        .publish(&publication(channel(1), "1"), 0)
        .await
        .unwrap();
    for freshness in [Freshness::Any, Freshness::Leader] {
        let read = broker.read(1, None, 10, freshness).await.unwrap();
        let sequences: Vec<u64> = read.events.iter().map(|event| event.sequence).collect();
        assert_eq!((sequences, read.complete_to), (vec![2], 2));
    }
}

#[tokio::test]
async fn of_instances_that_are_gone_nothing_stays_behind() {
    let home = Home::nats(FEED_BYTES_MAX).await;
    let broker = home.broker();
    let term = Duration::from_secs(1);
    let here = "10.0.0.1:3003".parse().unwrap();
    let (died, withdrew) = (InstanceId::from_bits(1), InstanceId::from_bits(2));
    for instance in [&died, &withdrew] {
        broker.enroll(instance, here, term).await.unwrap();
    }
    broker.withdraw(&withdrew).await.unwrap();
    let jetstream = home.jetstream().await;
    eventually("the bucket is empty", async || {
        let mut bucket = jetstream
            .get_stream(format!("KV_{FANOUT_BUCKET}"))
            .await
            .ok()?;
        (bucket.info().await.ok()?.state.messages == 0).then_some(())
    })
    .await;
}

/// The configuration that ships, with the rights of each service.
fn shipped() -> NatsServer {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/nats.conf");
    let text = std::fs::read_to_string(file).unwrap();
    let passwords = [("INGEST_PASSWORD", "first"), ("FANOUT_PASSWORD", "second")];
    NatsServer::configured(&text, &passwords)
}

async fn user(server: &NatsServer, name: &str, password: &str) -> std::sync::Arc<Nats> {
    let url = server.url_of(name, password);
    let nats = Nats::connect(NatsSettings::new(url, name)).await.unwrap();
    let mut connected = nats.is_connected();
    soon(
        "the user is let in",
        connected.wait_for(|connected| *connected),
    )
    .await
    .unwrap();
    nats
}

#[tokio::test]
async fn the_rights_that_ship_are_enough_for_each_service() {
    let server = shipped();
    let ingest = user(&server, "ingest", "first").await;
    let fanout = user(&server, "fanout", "second").await;
    let state = ingest.provision(&settings()).await.unwrap();
    let mut live = fanout.live().await.unwrap();
    let one = publication(channel(1), "one");
    assert_eq!(ingest.publish(&one, 0).await.unwrap(), 1);
    assert_eq!(next_event(&mut live).await.sequence, 1);
    ingest.announce_head(state.generation, 1).await.unwrap();
    for nats in [&ingest, &fanout] {
        assert_eq!(nats.state().await.unwrap().last, 1);
        assert_eq!(nats.last_of(channel(1)).await.unwrap().unwrap().sequence, 1);
        for freshness in [Freshness::Any, Freshness::Leader] {
            let page = nats.read(1, None, 10, freshness).await.unwrap();
            assert_eq!(page.events.len(), 1);
        }
    }
    let lease = ingest.lease_acquire("me").await.unwrap().unwrap();
    let lease = ingest.lease_renew("me", lease).await.unwrap().unwrap();
    ingest.lease_release(lease).await.unwrap();
    ingest.set_value("session", "s".into()).await.unwrap();
    assert_eq!(ingest.value("session").await.unwrap().unwrap(), "s");
    let (instance, here) = (InstanceId::from_bits(1), "10.0.0.1:3003".parse().unwrap());
    let term = Duration::from_secs(30);
    fanout.enroll(&instance, here, term).await.unwrap();
    let found = fanout.address_of(&instance).await.unwrap();
    assert_eq!(found, Some(here));
    fanout.withdraw(&instance).await.unwrap();
    assert_eq!(fanout.address_of(&instance).await.unwrap(), None);
    let mut questions = ingest.serve(RPC_MEMBER).await.unwrap();
    let asked = fanout.request(RPC_MEMBER, "who?".into(), Duration::from_secs(5));
    let answering = async {
        let question = questions.next().await.unwrap();
        question.reply.send("me".into()).unwrap();
    };
    let (answer, ()) = tokio::join!(asked, answering);
    assert_eq!(answer.unwrap(), "me");
    let typing = ephemeral(ChannelId::new(1).unwrap());
    for (from, subject, heard_as) in [
        (&ingest, typing.as_str(), EPHEMERAL),
        (&fanout, VIEWERS, VIEWERS),
        (&fanout, REVOKED, REVOKED),
    ] {
        let mut heard = fanout.notices(heard_as).await.unwrap();
        from.notify(subject, "said".into()).await.unwrap();
        let notice = soon("the notice comes", heard.next()).await.unwrap();
        assert_eq!(notice.subject, subject);
    }
}

#[tokio::test]
async fn a_fanout_may_not_write_the_stream_nor_take_the_lease() {
    let server = shipped();
    let ingest = user(&server, "ingest", "first").await;
    let fanout = user(&server, "fanout", "second").await;
    ingest.provision(&settings()).await.unwrap();
    let forged = fanout.publish(&publication(channel(1), "forged"), 0).await;
    assert!(
        matches!(forged, Err(PublishError::Unknown(_))),
        "{forged:?}"
    );
    assert!(fanout.lease_acquire("a fanout").await.is_err());
    assert!(fanout.set_value("session", "stolen".into()).await.is_err());
    let typing = ephemeral(ChannelId::new(1).unwrap());
    let mut heard = fanout.notices(EPHEMERAL).await.unwrap();
    fanout.notify(&typing, "forged".into()).await.unwrap();
    ingest.notify(&typing, "true".into()).await.unwrap();
    let notice = soon("the notice comes", heard.next()).await.unwrap();
    assert_eq!(notice.payload, "true", "what was forged came nowhere");
    assert_eq!(ingest.state().await.unwrap().last, 0);
}
