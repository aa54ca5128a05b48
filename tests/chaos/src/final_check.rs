//! The end of a run: every page of every channel, SQL's rows and ingest's sums beside what Discord has.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

use crate::book::Book;
use crate::stage::Stage;

/// How long the archive and the publisher may take to be done.
const DONE: Duration = Duration::from_mins(1);

/// Problems that are told of one channel.
const TOLD_MAX: usize = 3;

/// A message as it ends: its text, how often it was reacted to.
type Last = (String, u64);

/// What is not as Discord has it.
pub(crate) async fn problems(stage: &Stage, book: &Book) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    let lift = serde_json::json!({ "globalLimit": 0, "bucketLimit": 0 });
    stage.discord.control("limits", lift).await?;
    let channels: Vec<String> = book.open().keys().cloned().collect();
    if let Err(why) = is_archived(stage).await {
        problems.push(why.to_string());
    }
    for channel in &channels {
        let right = of_discord(stage, channel).await?;
        let chronicle = book.open().get(channel).cloned().unwrap_or_default();
        let ids: Vec<u64> = chronicle.state(usize::MAX).into_keys().collect();
        anyhow::ensure!(right.keys().copied().eq(ids), "the book is not Discord's");
        for fanout in &stage.fanouts {
            let pages = of_pages(stage, &fanout.url(), channel).await;
            let shown = pages.with_context(|| format!("the pages of {channel}"))?;
            compare(
                &format!("the pages of {channel}"),
                &right,
                &shown,
                &mut problems,
            );
        }
        let rows = block_in_place(|| {
            stage.sql.ask(&format!(
                "SELECT id FROM messages WHERE channel_id = {channel} AND deleted = 0 ORDER BY id"
            ))
        });
        let rows: Vec<&str> = rows
            .lines()
            .map(str::trim)
            .filter(|row| !row.is_empty())
            .collect();
        let ids: Vec<String> = right.keys().map(u64::to_string).collect();
        if rows != ids {
            let missing = ids.iter().filter(|id| !rows.contains(&id.as_str())).count();
            let (has, wants) = (rows.len(), ids.len());
            problems.push(format!(
                "SQL has {has} messages of {channel}, Discord {wants}; {missing} are missing"
            ));
        }
    }
    Ok(problems)
}

fn compare(
    what: &str,
    right: &BTreeMap<u64, Last>,
    shown: &BTreeMap<u64, Last>,
    problems: &mut Vec<String>,
) {
    let mut told = 0;
    let ids = right
        .keys()
        .chain(shown.keys().filter(|id| !right.contains_key(id)));
    for id in ids {
        if right.get(id) == shown.get(id) {
            continue;
        }
        told += 1;
        if told <= TOLD_MAX {
            let short = |last: Option<&Last>| {
                last.map(|(text, count)| format!("{} with {count}", text.get(..12).unwrap_or(text)))
            };
            let (ours, discords) = (short(shown.get(id)), short(right.get(id)));
            problems.push(format!(
                "{what}: {id} is {ours:?}, Discord has {discords:?}"
            ));
        }
    }
    if told > TOLD_MAX {
        problems.push(format!(
            "{what}: {told} messages are not as Discord has them"
        ));
    }
}

/// What Discord has of a channel.
async fn of_discord(stage: &Stage, channel: &str) -> anyhow::Result<BTreeMap<u64, Last>> {
    let mut all = BTreeMap::new();
    let mut before = String::new();
    loop {
        let path = format!("/channels/{channel}/messages?limit=100{before}");
        let page = stage
            .discord
            .call(reqwest::Method::GET, &path, None)
            .await?;
        let page = page.as_array().context("a page is an array")?;
        for message in page {
            let count = &message["reactions"][0]["count"];
            let last = (
                text(&message["content"]),
                count.as_u64().unwrap_or_default(),
            );
            all.insert(text(&message["id"]).parse()?, last);
        }
        if page.len() < 100 {
            return Ok(all);
        }
        before = format!("&before={}", text(&page[page.len() - 1]["id"]));
    }
}

/// What the pages of an instance show of a channel.
async fn of_pages(stage: &Stage, url: &str, channel: &str) -> anyhow::Result<BTreeMap<u64, Last>> {
    let token = &stage.tokens[0];
    let mut all = BTreeMap::new();
    let mut before = String::new();
    loop {
        let url = format!("{url}/api/channels/{channel}/messages?limit=100{before}");
        let request = stage.discord.http.get(url).bearer_auth(token);
        let answer = request.send().await?.error_for_status()?;
        let page: Value = answer.json().await?;
        for message in page["messages"].as_array().context("a page has messages")? {
            let count = &message["reactions"][0]["count"];
            let last = (
                text(&message["content"]),
                count.as_u64().unwrap_or_default(),
            );
            let id = text(&message["id"]);
            let before = all.insert(id.parse()?, last);
            anyhow::ensure!(before.is_none(), "{channel}: {id} is on two pages");
        }
        let Some(next) = page["nextCursor"].as_str() else {
            return Ok(all);
        };
        before = format!("&before={next}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Waits until the leader has published and archived all that came in; and the sum of its outcomes is what came in.
async fn is_archived(stage: &Stage) -> anyhow::Result<()> {
    let until = Instant::now() + DONE;
    loop {
        let leader = stage.leader().await?;
        let status = stage.status(&stage.ingests[leader]).await?;
        let last = block_in_place(|| stage.nats.state())?["last_seq"].clone();
        let (outcomes, archive) = (&status["outcomes"], &status["archive"]);
        if outcomes["pending"] == 0 && archive["position"] == last {
            return sum(outcomes);
        }
        anyhow::ensure!(
            Instant::now() < until,
            "not archived in time: {outcomes} {archive}, the stream ends at {last}"
        );
        sleep(Duration::from_millis(200)).await;
    }
}

fn sum(outcomes: &Value) -> anyhow::Result<()> {
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    let counts = |value: &Value| -> u64 {
        let reasons = value.as_object().into_iter().flat_map(|all| all.values());
        reasons.map(count).sum()
    };
    let singles: u64 = ["published", "duplicate", "told"]
        .iter()
        .map(|name| count(&outcomes[*name]))
        .sum();
    let settled = singles + counts(&outcomes["skipped"]) + counts(&outcomes["refused"]);
    let received = count(&outcomes["received"]);
    anyhow::ensure!(
        received == settled,
        "{received} came in, {settled} have an outcome"
    );
    anyhow::ensure!(
        counts(&outcomes["refused"]) == 0,
        "some were refused: {outcomes}"
    );
    Ok(())
}
