//! Both homes tell the same rule: the script of Redis, run at times that the test names, against the in-process
//! home under a paused clock, over drawn quotas and moments.

use std::time::Duration;

use deadpool_redis::redis::{Client, Connection, Script};
use proptest::prelude::*;
use registry::{Limiter as _, Quota, Verdict};

use super::home::{SLOT_TTL, in_process};
use super::redis_server::RedisServer;

/// Of the size of the present: numbers of this size must keep their microseconds.
const START: Duration = Duration::from_secs(1_763_900_000);

/// The script as it is, but for its clock, and for the end of its keys, which goes by the real one.
fn script() -> Script {
    let source = include_str!("../../src/redis/spend.lua");
    let steered = source.replace("redis.call('TIME')", "{ARGV[4], ARGV[5]}");
    assert_ne!(source, steered);
    let lasting = steered.replace("math.ceil(after / 1000)", "600000");
    assert_ne!(steered, lasting);
    Script::new(&lasting)
}

fn ask(
    connection: &mut Connection,
    script: &Script,
    key: &str,
    quota: Quota,
    now: Duration,
) -> Verdict {
    let microseconds = |time: Duration| u64::try_from(time.as_micros()).unwrap();
    let (is_allowed, _debt, wait): (bool, u64, u64) = script
        .key(key)
        .arg(microseconds(quota.interval()))
        .arg(microseconds(quota.burst()))
        .arg(0)
        .arg(now.as_secs())
        .arg(now.subsec_micros())
        .invoke(connection)
        .unwrap();
    if is_allowed {
        return Verdict::Allowed;
    }
    let retry_after = Duration::from_micros(wait);
    Verdict::Refused { retry_after }
}

/// How long until the next event is spent.
#[derive(Debug, Clone, Copy)]
enum Pause {
    /// In parts of an interval.
    Share(f64),
    /// Exactly as long as the last refusal said, or so many microseconds before.
    AsTold { early: u64 },
}

fn pause() -> impl Strategy<Value = Pause> {
    prop_oneof![
        3 => Just(Pause::Share(0.0)),
        3 => (0.0..3.0_f64).prop_map(Pause::Share),
        2 => Just(Pause::AsTold { early: 0 }),
        1 => Just(Pause::AsTold { early: 1 }),
    ]
}

#[test]
fn both_homes_give_the_same_verdicts_to_the_microsecond() {
    let server = RedisServer::start();
    let client = Client::open(server.url()).unwrap();
    let connection = parking_lot::Mutex::new(client.get_connection().unwrap());
    let script = script();
    let counter = std::sync::atomic::AtomicU64::new(0);
    let cases = (
        1_u32..60,
        1_u64..200_000_000,
        prop::collection::vec(pause(), 1..80),
    );
    proptest!(|((max, window, pauses) in cases)| {
        let quota = Quota::new(max, Duration::from_micros(window)).unwrap();
        let key = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let home = in_process(SLOT_TTL);
            let (mut now, mut told) = (START, Duration::ZERO);
            for pause in pauses {
                let pause = match pause {
                    Pause::Share(share) => quota.interval().mul_f64(share),
                    Pause::AsTold { early } => told.saturating_sub(Duration::from_micros(early)),
                };
                let pause = Duration::from_micros(u64::try_from(pause.as_micros()).unwrap());
                tokio::time::advance(pause).await;
                now += pause;
                let ours = home.spend(&key, quota).await.unwrap();
                let theirs = ask(&mut connection.lock(), &script, &key, quota, now);
                prop_assert_eq!(ours, theirs);
                told = match ours {
                    Verdict::Refused { retry_after } => retry_after,
                    Verdict::Allowed => Duration::ZERO,
                };
            }
            Ok(())
        })?;
    });
}
