//! What ingest tells Prometheus, from the numbers that its parts keep (one table of names).

use runtime::metrics::{Scrape, level};

use crate::gateway::Level;
use crate::meters::Statuses;
use crate::rest::Counts;
use crate::status::{Facts, Status};

/// Writes all of it.
pub(crate) fn collect(status: &Status, rest: &Statuses, scrape: &mut Scrape<'_>) {
    asked(&status.facts(), status.calls(), scrape);
    gateway(status, scrape);
    events(status, scrape);
    publishing(status, scrape);
    gaps(status, scrape);
    let facts = status.facts();
    let lag = facts.acknowledged.saturating_sub(facts.archived);
    scrape.gauge(
        "discord_stream_archive_lag",
        "Acknowledged sequences that are not in SQL yet",
        level(lag),
    );
    scrape.counters(
        "discord_stream_archive_dropped_total",
        "Events that the archive passed over, by reason",
        ["reason"],
        [
            (["undecodable"], facts.undecodable),
            (["refused"], facts.refused_rows),
        ],
    );
    let answers = rest.counts();
    scrape.counters(
        "discord_stream_rest_requests_total",
        "Requests to Discord's API, by status",
        ["status"],
        answers
            .iter()
            .map(|(status, count)| ([status.as_str()], *count)),
    );
}

/// What is asked of Discord beside the gateway's events.
fn asked(facts: &Facts, calls: &Counts, scrape: &mut Scrape<'_>) {
    scrape.counters(
        "discord_stream_rest_calls_total",
        "Calls to Discord's API that were tried again, limited, refused or given up",
        ["what"],
        calls.each().map(|(what, count)| ([what], count)),
    );
    scrape.counter(
        "discord_stream_member_commands_total",
        "Commands that asked the gateway for members",
        facts.member_commands,
    );
    scrape.counters(
        "discord_stream_members_asked_total",
        "Members that Discord was asked for, by where",
        ["where"],
        [
            (["gateway"], facts.members_asked),
            (["api"], facts.members_read),
        ],
    );
    scrape.counter(
        "discord_stream_pruned_total",
        "Rows that were older than they may be kept",
        facts.pruned_rows,
    );
    scrape.counter(
        "discord_stream_swept_total",
        "Messages that went with their channel or server",
        facts.swept_rows,
    );
}

fn gateway(status: &Status, scrape: &mut Scrape<'_>) {
    let facts = status.facts();
    let state = match (facts.is_leader, facts.is_connected()) {
        (false, _) => "standby",
        (true, false) => "disconnected",
        (true, true) => "connected",
    };
    let all = ["standby", "disconnected", "connected"];
    scrape.gauges(
        "discord_stream_gateway_state",
        "1 for the gateway's present state",
        ["state"],
        all.map(|own| ([own], f64::from(u8::from(own == state)))),
    );
    scrape.gauge(
        "discord_stream_is_leader",
        "1 while this ingest holds the lease",
        f64::from(u8::from(facts.is_leader)),
    );
    scrape.counter(
        "discord_stream_resumes_total",
        "Gateway sessions that were resumed",
        facts.resumed,
    );
    scrape.counter(
        "discord_stream_identifies_total",
        "Gateway sessions that were begun",
        facts.identified,
    );
    starts(&facts, scrape);
    scrape.counters(
        "discord_stream_silences_total",
        "Times that a shard left the gateway because kinds of events stayed away, by what its RESUME showed",
        ["verdict"],
        [(["withheld"], facts.withheld), (["quiet"], facts.quiet)],
    );
}

/// The IDENTIFYs that are left; no number before Discord was asked.
fn starts(facts: &Facts, scrape: &mut Scrape<'_>) {
    let left = facts.starts.map(|starts| level(u64::from(starts.left)));
    scrape.gauge(
        "discord_stream_identifies_left",
        "IDENTIFYs that Discord allows until its limit is reset, as it said last",
        left.unwrap_or(f64::NAN),
    );
    let present = facts.starts.map(|starts| starts.level);
    scrape.gauges(
        "discord_stream_identify_budget",
        "1 for how the IDENTIFYs that are left are: good, low, or spent, when none is sent",
        ["level"],
        Level::ALL.map(|own| {
            let is_so = Some(own) == present;
            ([own.word()], f64::from(u8::from(is_so)))
        }),
    );
}

fn events(status: &Status, scrape: &mut Scrape<'_>) {
    let frames = status.meters.frames();
    scrape.counters(
        "discord_stream_frames_total",
        "Dispatches of the gateway, by event",
        ["event"],
        frames
            .iter()
            .map(|(event, count)| ([event.as_str()], *count)),
    );
    scrape.counter(
        "discord_stream_received_total",
        "Dispatches that came in; each ends in one outcome",
        status.outcomes.received(),
    );
    scrape.counters(
        "discord_stream_outcomes_total",
        "What became of the dispatches",
        ["outcome", "why"],
        status.outcomes.settled(),
    );
    scrape.counter(
        "discord_stream_trimmed_total",
        "Events that went without their raw JSON, being too large",
        status.outcomes.trimmed(),
    );
    scrape.counters(
        "discord_stream_placeholders_total",
        "Parts of messages that can't be shown and are labelled, by kind",
        ["kind"],
        status
            .outcomes
            .placeholders()
            .map(|(kind, count)| ([kind], count)),
    );
    scrape.counter(
        "discord_stream_untold_total",
        "Notices that the broker did not take",
        status.outcomes.untold(),
    );
    scrape.counter(
        "discord_stream_channels_left_out_total",
        "Channels that snapshots went without, because nobody could tell who may see them",
        status.outcomes.channels_left_out(),
    );
}

fn gaps(status: &Status, scrape: &mut Scrape<'_>) {
    let closed = status.gaps.closed();
    scrape.counters(
        "discord_stream_gaps_total",
        "Sessions that began behind a gap, by whether everything that was missed is there",
        ["repaired"],
        [(["true"], closed.repaired), (["false"], closed.unrepaired)],
    );
    scrape.counters(
        "discord_stream_backfilled_total",
        "Events of gaps that were found in Discord and published",
        ["what"],
        status.gaps.found().map(|(what, count)| ([what], count)),
    );
}

fn publishing(status: &Status, scrape: &mut Scrape<'_>) {
    let meters = &status.meters;
    scrape.counters(
        "discord_stream_publish_acks_total",
        "Publications that the stream acknowledged, by whether it had them",
        ["outcome"],
        meters
            .acknowledged()
            .map(|(outcome, count)| ([outcome], count)),
    );
    scrape.counter(
        "discord_stream_publish_retries_total",
        "Tries of publications beyond their first",
        meters.retries(),
    );
    scrape.histogram(
        "discord_stream_publish_seconds",
        "From a publication's first try to its acknowledgement",
        meters.publish(),
    );
    scrape.gauge(
        "discord_stream_publish_buffer_bytes",
        "Bytes of frames that wait for the stream",
        level(status.buffer_bytes() as u64),
    );
}
