//! Channels that stand still while messages are missing, through the whole publisher.

use proto::event::{Message, Reaction, ReactionsChanged};
use proto::{ChannelId, Identity, MessageId};

use super::*;

fn envelope(identity: Identity, event: Event) -> Box<Envelope> {
    Box::new(Envelope {
        identity,
        trace: None,
        guild: GuildId::new(1).unwrap(),
        channel: ChannelId::new(100),
        received_ms: 0,
        event,
    })
}

fn creation(id: u64, count: u32) -> Box<Envelope> {
    let message = Message {
        id,
        reactions: reactions(count),
        ..Message::default()
    };
    let identity = Identity::Create(MessageId::new(id).unwrap());
    envelope(identity, Event::MessageCreated(message))
}

fn reactions(count: u32) -> Vec<Reaction> {
    let reaction = Reaction {
        emoji: "x".into(),
        count,
        ..Reaction::default()
    };
    (count > 0).then_some(reaction).into_iter().collect()
}

impl Bench {
    /// A snapshot of guild 1, with channels and their last messages.
    fn snapshot(&mut self, lasts: &[(u64, u64)]) {
        let channel = |(id, last): &(u64, u64)| {
            json!({ "id": id.to_string(), "type": 0, "permission_overwrites": [],
                "last_message_id": last.to_string() })
        };
        let channels: Vec<_> = lasts.iter().map(channel).collect();
        let data = json!({ "id": "1", "channels": channels, "threads": [] });
        self.put("GUILD_CREATE", &data);
    }

    async fn repair(&self, repair: Repair) {
        self.repairs.send(repair).await.unwrap();
    }

    async fn publish(&self, hold: Hold, envelope: Box<Envelope>) -> u64 {
        let (reply, stored) = oneshot::channel();
        let publish = Repair::Publish(hold, envelope, Instant::now(), reply);
        self.repair(publish).await;
        timeout(PATIENCE, stored).await.unwrap().unwrap()
    }
}

async fn next(snapshots: &mut mpsc::UnboundedReceiver<Snapshot>) -> Snapshot {
    timeout(PATIENCE, snapshots.recv()).await.unwrap().unwrap()
}

/// The identities of the channels' events, in the stream's order.
fn told(stored: &[Stored]) -> Vec<&str> {
    let of_channel = |stored: &&Stored| matches!(stored.subject, Subject::Channel(_));
    let stored = stored.iter().filter(of_channel);
    stored.map(|stored| stored.identity.as_str()).collect()
}

#[tokio::test]
async fn what_was_missed_comes_before_what_is_live_and_other_channels_go_on() {
    let (mut bench, mut snapshots) = bench_with_gaps(&embedded().await, |_, _| Fault::None);
    bench.message(101, 5);
    bench.snapshot(&[(100, 30), (101, 5), (102, 9)]);
    bench.message(100, 31);
    bench.message(101, 32);
    let snapshot = next(&mut snapshots).await;
    let suspects: Vec<_> = snapshot
        .suspects
        .iter()
        .map(|suspect| (suspect.channel.get(), suspect.last, suspect.newest))
        .collect();
    assert_eq!(suspects, [(100, 30, None), (102, 9, None)]);
    let reached = bench.reached.clone();
    let first = snapshot.suspects[0].hold;
    bench.publish(first, creation(20, 0)).await;
    bench.publish(first, creation(30, 0)).await;
    let until = |sequence| {
        let mut reached = bench.reached.clone();
        async move {
            let is_it = |at: &Reached| reached_sequence(at) == Some(sequence);
            timeout(PATIENCE, reached.wait_for(is_it))
                .await
                .unwrap()
                .unwrap();
        }
    };
    until(1).await;
    let settled = reached_sequence(&reached.borrow());
    assert_eq!(settled, Some(1), "the snapshot waits for its repair");
    for suspect in &snapshot.suspects {
        bench.repair(Repair::Release(suspect.hold)).await;
    }
    bench.repair(Repair::Done(snapshot.number)).await;
    let stored = bench.finish().await;
    let told = told(&stored);
    let place = |identity| told.iter().position(|one| *one == identity).unwrap();
    assert_eq!(told.len(), 5, "{told:?}");
    assert!(place("create-20") < place("create-30"));
    assert!(place("create-30") < place("create-31"));
    assert!(place("create-32") < place("create-31"), "{told:?}");
}

#[tokio::test]
async fn what_went_through_is_known_when_the_next_session_begins() {
    let (mut bench, mut snapshots) = bench_with_gaps(&embedded().await, |_, _| Fault::None);
    bench.snapshot(&[(100, 30)]);
    let first = next(&mut snapshots).await;
    bench.message(100, 31);
    bench.snapshot(&[(100, 40)]);
    let second = next(&mut snapshots).await;
    assert_eq!(
        second.suspects[0].newest,
        Some(31),
        "though it stands still"
    );
    bench.snapshot(&[(100, 40)]);
    let third = next(&mut snapshots).await;
    assert!(third.suspects.is_empty(), "that is asked already");
    bench.message(100, 41);
    // The later gap is read first.
    let (reply, late) = oneshot::channel();
    let hold = second.suspects[0].hold;
    bench
        .repair(Repair::Publish(
            hold,
            creation(40, 0),
            Instant::now(),
            reply,
        ))
        .await;
    settle(&bench.repairs, second).await;
    bench.publish(first.suspects[0].hold, creation(30, 0)).await;
    settle(&bench.repairs, first).await;
    settle(&bench.repairs, third).await;
    timeout(PATIENCE, late).await.unwrap().unwrap();
    let stored = bench.finish().await;
    assert_eq!(
        told(&stored),
        ["create-30", "create-31", "create-40", "create-41"]
    );
}

#[tokio::test]
async fn a_channel_is_said_to_stand_still_once_all_of_before_is_settled() {
    let slow = |_: u64, _: &Publication| Fault::Slow;
    let (mut bench, _snapshots) = bench_with_gaps(&embedded().await, slow);
    for id in 1..=5 {
        bench.message(100, id);
    }
    let mut reached = bench.reached.clone();
    timeout(PATIENCE, reached.changed()).await.unwrap().unwrap();
    let (reply, standing) = oneshot::channel();
    let (channel, guild) = (ChannelId::new(100).unwrap(), GuildId::new(1).unwrap());
    bench.repair(Repair::Hold(channel, guild, reply)).await;
    let standing = timeout(PATIENCE, standing).await.unwrap().unwrap();
    assert_eq!(standing.newest, Some(5));
    assert_eq!(reached_sequence(&bench.reached.borrow()), Some(5));
    bench.message(100, 6);
    let total = ReactionsChanged {
        message_id: 5,
        reactions: reactions(2),
        mark: None,
    };
    let identity = Identity::Backfill(7, MessageId::new(5).unwrap(), 1);
    let total = envelope(identity, Event::ReactionsChanged(total));
    bench.publish(standing.hold, total).await;
    bench.repair(Repair::Release(standing.hold)).await;
    // Nobody waits for this one any more: it holds nothing.
    let (reply, gone) = oneshot::channel();
    drop(gone);
    bench.repair(Repair::Hold(channel, guild, reply)).await;
    bench.message(100, 7);
    let stored = bench.finish().await;
    let told = told(&stored);
    assert_eq!(
        told[5..],
        [
            "b-0000000000000007-5-0000000000000001",
            "create-6",
            "create-7"
        ]
    );
}

#[tokio::test]
async fn what_a_hold_stops_at_the_end_is_left_to_the_next() {
    let home = embedded().await;
    let (mut bench, mut snapshots) = bench_with_gaps(&home, |_, _| Fault::None);
    bench.snapshot(&[(100, 30)]);
    bench.message(100, 31);
    bench.message(101, 32);
    next(&mut snapshots).await;
    let Bench {
        inner,
        outcomes,
        reached,
        buffer,
        submissions,
        repairs,
        running,
        ..
    } = bench;
    drop((buffer, submissions, repairs));
    timeout(PATIENCE, running).await.unwrap().unwrap();
    assert_eq!(
        reached_sequence(&reached.borrow()),
        None,
        "a RESUME brings all of it again"
    );
    assert_eq!(outcomes.json()["pending"], 2);
    let read = inner.read(1, None, 100, Freshness::Leader).await.unwrap();
    assert_eq!(told(&read.events), ["create-32"]);
}

#[tokio::test]
async fn reactions_are_counted_on_what_discord_said_of_a_missed_message() {
    let (mut bench, mut snapshots) = bench_with_gaps(&embedded().await, |_, _| Fault::None);
    bench.snapshot(&[(100, 2)]);
    let snapshot = next(&mut snapshots).await;
    let read_at = Instant::now() - Duration::from_mins(1);
    let (reply, stored) = oneshot::channel();
    let publish = Repair::Publish(snapshot.suspects[0].hold, creation(2, 8), read_at, reply);
    bench.repair(publish).await;
    timeout(PATIENCE, stored).await.unwrap().unwrap();
    settle(&bench.repairs, snapshot).await;
    let data = json!({ "channel_id": "100", "guild_id": "1", "message_id": "2", "user_id": "9",
        "emoji": { "id": null, "name": "x" } });
    bench.put("MESSAGE_REACTION_ADD", &data);
    let stored = bench.finish().await;
    let Event::ReactionsChanged(changed) = opened(stored.last().unwrap()).event else {
        panic!("a total");
    };
    assert_eq!(changed.reactions[0].count, 9);
}
