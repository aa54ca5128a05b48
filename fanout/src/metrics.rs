//! What a fanout tells Prometheus, from the numbers that its parts keep (one table of names).

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use registry::{Registry, Stats};
use runtime::metrics::{Scrape, level};

use crate::feed::FeedHandle;
use crate::instance::Instance;
use crate::limit::{Limit, Limits};
use crate::peer::Peers;
use crate::recovery::Recovery;

/// Who holds the numbers.
#[derive(Debug)]
pub(crate) struct Parts {
    instance: Arc<Instance>,
    feed: FeedHandle,
    limits: Limits,
    recovery: Recovery,
    registry: Registry,
    peers: Peers,
}

impl Parts {
    /// These.
    pub(crate) fn new(
        instance: &Arc<Instance>,
        feed: &FeedHandle,
        limits: &Limits,
        recovery: &Recovery,
        registry: &Registry,
        peers: &Peers,
    ) -> Self {
        Self {
            instance: instance.clone(),
            feed: feed.clone(),
            limits: limits.clone(),
            recovery: recovery.clone(),
            registry: registry.clone(),
            peers: peers.clone(),
        }
    }

    /// Writes all of it.
    pub(crate) fn collect(&self, scrape: &mut Scrape<'_>) {
        links(&self.instance, scrape);
        events(&self.instance, scrape);
        accesses(&self.instance, scrape);
        states(&self.instance, scrape);
        following(&self.feed, scrape);
        limits(&self.limits, scrape);
        recoveries(&self.recovery, scrape);
        shared(self.registry.stats(), scrape);
        others(&self.peers, scrape);
        scrape.gauge(
            "discord_stream_loop_delay_seconds",
            "By how much the slowest worker was late at its last heartbeat",
            self.instance.loop_delay().as_secs_f64(),
        );
    }
}

fn links(instance: &Instance, scrape: &mut Scrape<'_>) {
    let (_, sockets) = instance.connections();
    scrape.gauges(
        "discord_stream_connections",
        "Open transports",
        ["transport"],
        instance
            .transports()
            .map(|(transport, count)| ([transport], level(count))),
    );
    scrape.gauge(
        "discord_stream_polling",
        "Socket.IO sessions that poll, of the open transports",
        level(instance.polling()),
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

/// Changes of access, one observation a socket.
fn accesses(instance: &Instance, scrape: &mut Scrape<'_>) {
    scrape.histogram(
        "discord_stream_revocation_seconds",
        "From Discord's frame in ingest until a socket is out of a channel and channel_left is in its queue",
        &instance.revocation,
    );
    scrape.histogram(
        "discord_stream_list_delay_seconds",
        "From Discord's frame in ingest to the changed channels_list in a socket's queue",
        &instance.list_delay,
    );
}

/// States: a later one takes the place of one that nobody was told.
fn states(instance: &Instance, scrape: &mut Scrape<'_>) {
    scrape.counter(
        "discord_stream_merged_total",
        "States that nobody was told, because a later one took their place",
        instance.merged.load(Relaxed),
    );
    scrape.counter(
        "discord_stream_typing_missed_total",
        "Notices of typing that a worker was too busy to hear",
        instance.typing_missed.load(Relaxed),
    );
    scrape.counter(
        "discord_stream_lapsed_total",
        "Members of whom nobody could say in time whether they are members still",
        instance.lapsed.load(Relaxed),
    );
}

fn limits(limits: &Limits, scrape: &mut Scrape<'_>) {
    scrape.counters(
        "discord_stream_limited_total",
        "Refusals, by limit",
        ["limit"],
        Limit::ALL.map(|limit| ([limit.label()], limits.refused(limit))),
    );
}

fn recoveries(recovery: &Recovery, scrape: &mut Scrape<'_>) {
    scrape.counters(
        "discord_stream_recoveries_total",
        "Clients that came back with a private id: recovered, or why not",
        ["outcome"],
        recovery
            .answers()
            .map(|(outcome, count)| ([outcome], count)),
    );
}

/// What the instances share: Redis, or this process in its place.
fn shared(stats: &Stats, scrape: &mut Scrape<'_>) {
    for (name, help, count) in [
        (
            "discord_stream_redis_failures_total",
            "Calls and probes that Redis did not answer in time, or answered with an error",
            &stats.redis_failures,
        ),
        (
            "discord_stream_redis_outages_total",
            "Times that Redis went away",
            &stats.redis_outages,
        ),
        (
            "discord_stream_redis_busy_total",
            "Calls that found too many others on their way to Redis",
            &stats.redis_busy,
        ),
        (
            "discord_stream_redis_fallbacks_total",
            "Verdicts given in process because Redis was away or busy",
            &stats.fallbacks,
        ),
        (
            "discord_stream_registry_evictions_total",
            "Entries kept in process that were dropped before their end, for want of room",
            &stats.evictions,
        ),
        (
            "discord_stream_registry_refusals_total",
            "Verdicts that refused, by Redis or in process",
            &stats.refusals,
        ),
    ] {
        scrape.counter(name, help, count.load(Relaxed));
    }
}

/// The other instances.
fn others(peers: &Peers, scrape: &mut Scrape<'_>) {
    let counts = peers.counts();
    scrape.counters(
        "discord_stream_forwarded_total",
        "Requests and upgrades whose session lives on another instance, by how they ended",
        ["outcome"],
        counts
            .forwarded()
            .map(|(outcome, count)| ([outcome], count)),
    );
    scrape.gauge(
        "discord_stream_splices",
        "WebSockets of other instances' sessions that go through this one",
        level(peers.splices() as u64),
    );
    scrape.counters(
        "discord_stream_peer_connections_total",
        "Connections to the port between instances: taken, or refused for want of a preface",
        ["outcome"],
        counts
            .connections()
            .map(|(outcome, count)| ([outcome], count)),
    );
    scrape.counter(
        "discord_stream_unenrolled_total",
        "Times that the broker did not take this instance's address",
        counts.unenrolled(),
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
