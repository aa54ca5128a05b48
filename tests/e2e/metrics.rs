//! `/metrics` (contract.md §3): on a port of its own, in a format that parses, and true.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde_json::json;
use tests::exposition::Page;
use tests::world::eventually;
use tests::{Client, Home, Plan};

/// Every name of a fanout.
const FANOUT: &[&str] = &[
    "discord_stream_catch_ups_total",
    "discord_stream_closed_total",
    "discord_stream_connections",
    "discord_stream_delivered_total",
    "discord_stream_dropped_total",
    "discord_stream_feed_delay_seconds",
    "discord_stream_feed_lag",
    "discord_stream_forwarded_total",
    "discord_stream_joins_total",
    "discord_stream_known_total",
    "discord_stream_lapsed_total",
    "discord_stream_limited_total",
    "discord_stream_list_delay_seconds",
    "discord_stream_loop_delay_seconds",
    "discord_stream_merged_total",
    "discord_stream_peer_connections_total",
    "discord_stream_polling",
    "discord_stream_recoveries_total",
    "discord_stream_redis_busy_total",
    "discord_stream_redis_failures_total",
    "discord_stream_redis_fallbacks_total",
    "discord_stream_redis_outages_total",
    "discord_stream_registry_evictions_total",
    "discord_stream_registry_refusals_total",
    "discord_stream_revocation_seconds",
    "discord_stream_rooms",
    "discord_stream_sockets",
    "discord_stream_splices",
    "discord_stream_typing_missed_total",
    "discord_stream_unenrolled_total",
];

/// Every name of an ingest.
const INGEST: &[&str] = &[
    "discord_stream_archive_dropped_total",
    "discord_stream_archive_lag",
    "discord_stream_backfilled_total",
    "discord_stream_channels_left_out_total",
    "discord_stream_frames_total",
    "discord_stream_gaps_total",
    "discord_stream_gateway_state",
    "discord_stream_identifies_left",
    "discord_stream_identifies_total",
    "discord_stream_identify_budget",
    "discord_stream_is_leader",
    "discord_stream_member_commands_total",
    "discord_stream_members_asked_total",
    "discord_stream_outcomes_total",
    "discord_stream_pruned_total",
    "discord_stream_swept_total",
    "discord_stream_publish_acks_total",
    "discord_stream_publish_buffer_bytes",
    "discord_stream_publish_retries_total",
    "discord_stream_publish_seconds",
    "discord_stream_received_total",
    "discord_stream_rest_calls_total",
    "discord_stream_rest_requests_total",
    "discord_stream_resumes_total",
    "discord_stream_silences_total",
    "discord_stream_trimmed_total",
    "discord_stream_placeholders_total",
    "discord_stream_untold_total",
];

/// Every name that any service has.
const SHARED: &[&str] = &[
    "discord_stream_build_info",
    "discord_stream_spans_total",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_threads",
];

/// Reads a page as Prometheus does.
pub(crate) async fn scrape(url: &str) -> anyhow::Result<Page> {
    let answer = reqwest::get(url).await?.error_for_status()?;
    let kind = answer.headers()["content-type"].to_str()?.to_owned();
    anyhow::ensure!(kind.starts_with("application/openmetrics-text;"), "{kind}");
    Page::parse(&answer.text().await?)
}

fn check_names(page: &Page, names: &[&str]) {
    for name in names.iter().chain(SHARED) {
        assert!(page.has_family(name), "{name} is missing");
    }
    for text in page.label_texts() {
        let is_id = text.len() > 9 && text.bytes().all(|byte| byte.is_ascii_digit());
        assert!(!is_id, "a label is an id: {text}");
    }
}

/// Waits until a sample has at least this value.
async fn reaches(url: &str, key: &str, value: f64) -> anyhow::Result<()> {
    eventually(&format!("{key} reaches {value}"), async || {
        let page = scrape(url).await;
        page.is_ok_and(|page| page.value(key) >= Some(value))
    })
    .await
}

/// Waits until a sample has this value.
async fn becomes(url: &str, key: &str, value: f64) -> anyhow::Result<()> {
    eventually(&format!("{key} becomes {value}"), async || {
        let page = scrape(url).await;
        page.is_ok_and(|page| {
            page.value(key)
                .is_some_and(|own| (own - value).abs() < 1e-9)
        })
    })
    .await
}

#[tokio::test]
async fn each_number_is_there_and_moves_when_it_should() -> anyhow::Result<()> {
    const COUNT: u32 = 20;
    let plan = Plan::new(Home::Distributed).with_one_ingest();
    let mut world = plan.start().await?;
    let ingest = world.ingest_metrics().await?;
    let channel = world.public_channel()?.to_owned();
    let mut settings = crate::scenario::settings(&world)?;
    settings["count"] = json!(COUNT);
    let created = r#"discord_stream_frames_total{event="MESSAGE_CREATE"}"#;
    let before = scrape(&ingest).await?;
    check_names(&before, INGEST);
    assert_eq!(before.value(created), None, "nothing was posted yet");

    let mut client = Client::start("recorder.mjs", &settings)?;
    client.ready().await?;
    for url in &world.metrics {
        becomes(url, "discord_stream_sockets", 2.0).await?;
        let page = scrape(url).await?;
        check_names(&page, FANOUT);
        let open = r#"discord_stream_connections{transport="socketio"}"#;
        assert_eq!(page.value(open), Some(2.0));
        for other in ["websocket", "sse"] {
            let open = format!("discord_stream_connections{{transport=\"{other}\"}}");
            assert_eq!(page.value(&open), Some(0.0));
        }
        assert_eq!(page.sum("discord_stream_limited_total"), Some(0.0));
        let joined = r#"discord_stream_joins_total{outcome="success"}"#;
        assert_eq!(page.value(joined), Some(2.0));
    }
    world.load(&channel, 20, COUNT).await?;
    client.result().await?;
    for url in &world.metrics {
        let delivered = f64::from(COUNT * 2);
        // And how many watch, which those who watch are told too.
        reaches(url, "discord_stream_delivered_total", delivered).await?;
        becomes(url, "discord_stream_sockets", 0.0).await?;
        becomes(url, "discord_stream_feed_lag", 0.0).await?;
        let page = scrape(url).await?;
        assert!(page.value("discord_stream_feed_delay_seconds_count") >= Some(f64::from(COUNT)));
        assert_eq!(page.sum("discord_stream_closed_total"), Some(2.0));
        assert_eq!(page.sum("discord_stream_dropped_total"), Some(0.0));
    }
    becomes(&ingest, "discord_stream_archive_lag", 0.0).await?;
    becomes(&ingest, "discord_stream_publish_buffer_bytes", 0.0).await?;
    check_ingest(&before, &scrape(&ingest).await?, f64::from(COUNT));
    Ok(())
}

fn check_ingest(before: &Page, after: &Page, count: f64) {
    let grown = |name: &str| after.sum(name).unwrap_or(0.0) - before.sum(name).unwrap_or(0.0);
    let created = r#"discord_stream_frames_total{event="MESSAGE_CREATE"}"#;
    assert_eq!(after.value(created), Some(count));
    for name in [
        "discord_stream_publish_acks_total",
        "discord_stream_publish_seconds_count",
        "discord_stream_received_total",
        "discord_stream_outcomes_total",
    ] {
        assert!(grown(name) >= count, "{name} grew by {}", grown(name));
    }
    // Conservation: what came in has ended, each in one outcome.
    let received = after.sum("discord_stream_received_total");
    assert_eq!(received, after.sum("discord_stream_outcomes_total"));
    for (key, value) in [
        (
            r#"discord_stream_gateway_state{state="connected"}"#.to_owned(),
            1.0,
        ),
        (
            r#"discord_stream_gateway_state{state="standby"}"#.to_owned(),
            0.0,
        ),
        ("discord_stream_is_leader".to_owned(), 1.0),
        ("discord_stream_identifies_total".to_owned(), 1.0),
        ("discord_stream_identifies_left".to_owned(), 1_000.0),
        (
            r#"discord_stream_identify_budget{level="good"}"#.to_owned(),
            1.0,
        ),
    ] {
        assert_eq!(after.value(&key), Some(value), "{key}");
    }
    let answered = r#"discord_stream_rest_requests_total{status="200"}"#;
    assert!(after.value(answered) >= Some(1.0));
}

#[tokio::test]
async fn the_metrics_are_not_on_the_public_port_and_nothing_else_is_on_theirs() -> anyhow::Result<()>
{
    let world = Plan::new(Home::Standalone).start().await?;
    let status = async |url: String| anyhow::Ok(reqwest::get(url).await?.status().as_u16());
    let (public, metrics) = (&world.urls[0], &world.metrics[0]);
    assert_eq!(status(format!("{public}/metrics")).await?, 404);
    let base = metrics.strip_suffix("/metrics").context("its path")?;
    let mut answers = BTreeMap::new();
    for path in ["/metrics", "/", "/api/health", "/api/status", "/socket.io/"] {
        answers.insert(path, status(format!("{base}{path}")).await?);
    }
    let served: Vec<_> = answers.iter().filter(|(_, code)| **code == 200).collect();
    assert_eq!(served, [(&"/metrics", &200)], "{answers:?}");
    // One process, one page: ingest and fanout tell of themselves beside each other.
    let page = scrape(metrics).await?;
    check_names(&page, &[FANOUT, INGEST].concat());
    Ok(())
}
