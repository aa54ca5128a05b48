//! What a fanout tells Prometheus, from the numbers that its parts keep (one table of names).

use std::sync::atomic::Ordering::Relaxed;

use runtime::metrics::{Scrape, level};

use crate::feed::FeedHandle;
use crate::instance::Instance;

/// Writes all of it.
pub(crate) fn collect(instance: &Instance, feed: &FeedHandle, scrape: &mut Scrape<'_>) {
    links(instance, scrape);
    events(instance, scrape);
    following(feed, scrape);
    scrape.gauge(
        "discord_stream_loop_delay_seconds",
        "By how much the slowest worker was late at its last heartbeat",
        instance.loop_delay().as_secs_f64(),
    );
}

fn links(instance: &Instance, scrape: &mut Scrape<'_>) {
    let (connections, sockets) = instance.connections();
    scrape.gauges(
        "discord_stream_connections",
        "Open transports",
        ["transport"],
        [(["socketio"], level(connections))],
    );
    scrape.gauge(
        "discord_stream_sockets",
        "Authenticated sockets",
        level(sockets),
    );
    scrape.counters(
        "discord_stream_closed_total",
        "Transports that ended, by reason",
        ["reason"],
        instance
            .closes()
            .into_iter()
            .map(|(reason, count)| ([reason], count)),
    );
    let joins = instance.joins.counts();
    scrape.counters(
        "discord_stream_joins_total",
        "Answers to join_channel: success, or the code of the refusal",
        ["outcome"],
        joins
            .iter()
            .map(|(outcome, count)| ([outcome.as_str()], *count)),
    );
    scrape.gauge(
        "discord_stream_rooms",
        "Channels that somebody watches",
        level(instance.rooms().len() as u64),
    );
}

fn events(instance: &Instance, scrape: &mut Scrape<'_>) {
    scrape.counter(
        "discord_stream_delivered_total",
        "Events handed to members, times members",
        instance.delivered.load(Relaxed),
    );
    scrape.counter(
        "discord_stream_known_total",
        "Events that a room knew already",
        instance.known.load(Relaxed),
    );
    scrape.histogram(
        "discord_stream_feed_delay_seconds",
        "From Discord's frame in ingest to the members' queues, one observation a worker and event",
        &instance.feed_delay,
    );
}

fn following(feed: &FeedHandle, scrape: &mut Scrape<'_>) {
    scrape.counters(
        "discord_stream_dropped_total",
        "Events that nobody was told, by reason",
        ["reason"],
        [(["unreadable"], feed.unreadable())],
    );
    scrape.gauge(
        "discord_stream_feed_lag",
        "Sequences that the stream has and the feed has not delivered yet",
        level(feed.lag()),
    );
    scrape.counter(
        "discord_stream_catch_ups_total",
        "Holes of the live feed that were read from the stream",
        feed.catch_ups(),
    );
}
