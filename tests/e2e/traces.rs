//! Where an event's time goes, told to an OTLP receiver: one trace from Discord's frame to each instance and SQL.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;
use tests::otlp::{Receiver, Span};
use tests::world::eventually;
use tests::{Client, Home, Plan, World, world::JWT_SECRET};

/// What nobody but the channel's viewers may read.
const WORDS: &str = "between you and me, the gates open at nine";

/// A header that a receiver may ask for.
const KEY: &str = "x-api-key=k3y-of-the-receiver";

/// Posts one message to two sockets on each fanout, and waits until they have it.
async fn post_one(world: &World) -> anyhow::Result<()> {
    let channel = world.public_channel()?.to_owned();
    let mut settings = crate::scenario::settings(world)?;
    settings["count"] = json!(1);
    let mut client = Client::start("recorder.mjs", &settings)?;
    client.ready().await?;
    let author = &world.guild()["members"][0]["id"];
    let message = json!({ "content": format!("n=1; {WORDS}"), "author_id": author });
    let path = format!("/api/v10/channels/{channel}/messages");
    world.sim(&path, message).await?;
    let seen = client.result().await?;
    let sockets = seen.as_array().map(Vec::as_slice).unwrap_or_default();
    assert_eq!(sockets.len(), 4);
    assert!(sockets.iter().all(|socket| socket["numbers"] == json!([1])));
    Ok(())
}

/// The spans of the trace that began with the message.
fn of_message(receiver: &Receiver) -> Vec<Span> {
    let spans = receiver.spans();
    let frame = spans.iter().find(|span| {
        span.name == "gateway.frame" && span.attribute("discord.event") == Some("MESSAGE_CREATE")
    });
    let trace = frame.map_or_else(String::new, |frame| frame.trace.clone());
    spans
        .into_iter()
        .filter(|span| span.trace == trace)
        .collect()
}

fn named<'a>(spans: &'a [Span], name: &'a str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

#[tokio::test]
async fn one_trace_leads_from_discords_frame_to_each_instance_and_the_archive() -> anyhow::Result<()>
{
    let receiver = Receiver::start()?;
    let world = Plan::new(Home::Distributed)
        .with_one_ingest()
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.endpoint)
        .with("OTEL_EXPORTER_OTLP_HEADERS", KEY)
        .with("OTEL_BSP_SCHEDULE_DELAY", "200")
        .start()
        .await?;
    post_one(&world).await?;
    eventually("the archive's span has come", async || {
        !named(&of_message(&receiver), "archive").is_empty()
    })
    .await?;
    let token = world.overview["token"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    // What is left in queues comes at the end.
    world.terminate().await?;
    let spans = of_message(&receiver);
    let mut names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["archive", "deliver", "deliver", "gateway.frame", "publish"]
    );
    check_relations(&spans);

    let everything = receiver.everything();
    assert!(
        everything.contains("k3y-of-the-receiver"),
        "the header came"
    );
    assert!(token.len() > 5, "the simulator has a token");
    let header = "eyJ";
    for secret in [WORDS, &token, JWT_SECRET, header] {
        assert!(!everything.contains(secret), "{secret} left the house");
    }
    Ok(())
}

fn check_relations(spans: &[Span]) {
    let (frame, publish) = (named(spans, "gateway.frame")[0], named(spans, "publish")[0]);
    assert_eq!(frame.parent, "");
    assert_eq!(publish.parent, frame.id);
    for span in [frame, publish, named(spans, "archive")[0]] {
        assert_eq!(span.attribute("service.name"), Some("ingest"));
    }
    assert_eq!(frame.attribute("discord.shard"), Some("0"));
    assert!(frame.attribute("discord.guild_id").is_some());
    let subject = publish.attribute("messaging.destination.name");
    assert!(subject.is_some_and(|subject| subject.starts_with("discord.v1.channel.")));
    assert_eq!(publish.attribute("discord_stream.retries"), Some("0"));
    let sequence = publish.attribute("discord_stream.sequence");
    assert!(sequence.is_some());

    let after = [named(spans, "deliver"), named(spans, "archive")].concat();
    for span in &after {
        assert_eq!(span.parent, publish.id, "{}", span.name);
        assert_eq!(span.attribute("discord_stream.sequence"), sequence);
        assert!(span.times.0 >= frame.times.0 && span.times.1 >= span.times.0);
    }
    let delivers = named(spans, "deliver");
    let instances: BTreeSet<_> = delivers
        .iter()
        .map(|span| span.attribute("service.instance.id"))
        .collect();
    assert_eq!(instances.len(), 2, "one on each instance");
    for deliver in delivers {
        assert_eq!(deliver.attribute("service.name"), Some("fanout"));
        assert_eq!(deliver.attribute("discord_stream.members"), Some("2"));
        assert!(deliver.attribute("discord_stream.delay_ms").is_some());
    }
}

#[tokio::test]
async fn what_the_root_does_not_sample_leaves_no_span_anywhere() -> anyhow::Result<()> {
    let receiver = Receiver::start()?;
    let world = Plan::new(Home::Distributed)
        .with_one_ingest()
        .with("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &receiver.endpoint)
        .with("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        .with("OTEL_TRACES_SAMPLER_ARG", "0")
        .start()
        .await?;
    post_one(&world).await?;
    world.terminate().await?;
    let names: Vec<_> = receiver.spans().into_iter().map(|span| span.name).collect();
    assert!(names.is_empty(), "{names:?}");
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_is_away_slows_and_fails_nothing() -> anyhow::Result<()> {
    const COUNT: u32 = 300;
    // Nobody listens on port 1.
    let mut world = Plan::new(Home::Distributed)
        .with_one_ingest()
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        .with("OTEL_BSP_SCHEDULE_DELAY", "100")
        .start()
        .await?;
    let mut settings = crate::scenario::settings(&world)?;
    settings["count"] = json!(COUNT);
    let mut client = Client::start("recorder.mjs", &settings)?;
    client.ready().await?;
    world.load(world.public_channel()?, 100, COUNT).await?;
    let seen = client.result().await?;
    let expected: Vec<u32> = (1..=COUNT).collect();
    for socket in seen.as_array().into_iter().flatten() {
        assert_eq!(socket["numbers"], json!(expected));
        assert_eq!(socket["disconnects"], 0);
    }
    let page = world.ingest_metrics().await?;
    eventually("the failures are counted", async || {
        let page = crate::metrics::scrape(&page).await;
        let failed = r#"discord_stream_spans_total{outcome="failed"}"#;
        page.is_ok_and(|page| page.value(failed) > Some(0.0))
    })
    .await?;
    for output in world.outputs() {
        let said = output.matches("traces can't be exported").count();
        assert_eq!(said, 1, "once a minute:\n{output}");
        assert!(!output.contains(WORDS));
    }
    let begun = Instant::now();
    world.terminate().await?;
    let took = begun.elapsed();
    println!("three services ended one after the other, their receiver away, in {took:?}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    Ok(())
}
