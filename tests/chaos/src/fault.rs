//! What goes wrong, as operations on the stage: each strikes, lasts as long as it says, and is mended.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::block_in_place;
use tokio::time::{Instant, sleep};

use crate::law::Law;
use crate::link::{Way, accepts};
use crate::sql::Sql;
use crate::stage::Stage;

/// A link of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// Ingest to Discord's gateway.
    Gateway,
    /// Ingest to Discord's API.
    Api,
    /// To NATS.
    Nats,
    /// To the database.
    Sql,
    /// To Redis.
    Redis,
    /// From viewers.
    Viewers,
}

/// Whose link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The ingest that leads.
    Leader,
    /// The first fanout.
    Fanout,
}

/// The links that there are. To a cluster there is none: clients know all its servers, and the last two are missing.
pub const LINKS: [(Whose, Wire); 8] = [
    (Whose::Leader, Wire::Gateway),
    (Whose::Leader, Wire::Api),
    (Whose::Leader, Wire::Sql),
    (Whose::Fanout, Wire::Sql),
    (Whose::Fanout, Wire::Redis),
    (Whose::Fanout, Wire::Viewers),
    (Whose::Leader, Wire::Nats),
    (Whose::Fanout, Wire::Nats),
];

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// The leading ingest is killed; the other takes over, and after so long it comes back to stand by.
    LeaderKilled(Duration),
    /// The leading ingest is told to end, as a deploy does, and is started again.
    LeaderRestarted,
    /// The leading ingest stands still (SIGSTOP) for so long, and goes on.
    LeaderHalted(Duration),
    /// A fanout is killed, and comes back after so long.
    FanoutKilled(Duration),
    /// NATS is killed (one of three on a cluster), and comes back after so long.
    NatsKilled(Duration),
    /// NATS is killed, and comes back after so long with nothing of what it held.
    NatsEmptied(Duration),
    /// Redis is killed, and comes back empty after so long.
    RedisKilled(Duration),
    /// The database is killed, and comes back after so long.
    SqlKilled(Duration),
    /// The stream's leader steps down while a follower lags, so many times, a second each.
    StepDowns(u32),
    /// Discord asks for a new connection (op 7).
    Reconnect,
    /// Discord says that the session is invalid (op 9), and that it may be resumed.
    SessionInterrupted,
    /// Discord says that the session is gone (op 9), and for so long nobody can connect.
    SessionGone(Duration),
    /// Discord's connections are reset.
    Reset,
    /// Discord dispatches nothing for so long, and brings it with the RESUME.
    Silence(Duration),
    /// Discord's connection is dead and nobody says so: it acknowledges no heartbeat and brings nothing for so long.
    Zombie(Duration),
    /// The next session names an address for its RESUME where nobody is; it begins now, and is reset after so long.
    DeadResumeUrl(Duration),
    /// A link carries nothing for so long.
    Stalled(Whose, Wire, Duration),
    /// A link is cut, and new connections too, for so long.
    Cut(Whose, Wire, Duration),
    /// The stream has reached its byte limit: for so long the oldest events go as new ones come.
    StreamFull(Duration),
    /// Nothing: what the others are compared with.
    Nothing(Duration),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{self:?}");
        f.write_str(&text)
    }
}

/// Bytes of a stream that is full: some seconds of what is posted.
const FULL: i64 = 1_000_000;

/// A dead leader's lease ends after 4 s; the other has the gateway 5 s after the kill (decisions.md, the lease).
const TAKEN_OVER: Duration = Duration::from_secs(5);

/// After a broker's restart everything is live within this time of its port accepting.
const LIVE_AGAIN: Duration = Duration::from_secs(2);

/// What a fault broke, and is to be mended.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Nothing, or Discord mends it by itself.
    Nothing,
    /// An ingest is dead.
    Ingest(usize),
    /// An ingest stands still.
    Halted(usize),
    /// A fanout is dead.
    Fanout(usize),
    /// A server of NATS is dead.
    Nats(usize),
    /// A server of NATS stands still.
    NatsHalted(usize),
    /// Redis is dead.
    Redis,
    /// The database is dead.
    Sql,
    /// A link of the ingest or fanout with this number.
    Link(Whose, usize, Wire),
    /// The stream's limit was this before.
    Limit(i64),
    /// The session's address for a RESUME is dead, which shows once its connection ends.
    ResumeUrl,
}

/// A moment from which viewers were to be live again within some time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) at: Instant,
    pub(crate) within: Duration,
}

impl Fault {
    /// What is to hold while it happens.
    pub fn law(self) -> Law {
        match self {
            Self::SessionGone(_) | Self::DeadResumeUrl(_) | Self::NatsEmptied(_) => Law::Final,
            _ => Law::Exact,
        }
    }

    /// What the simulated Discord counts when it has happened and was noticed.
    pub(crate) fn counted(self) -> Option<&'static str> {
        match self {
            Self::LeaderKilled(_)
            | Self::LeaderRestarted
            | Self::LeaderHalted(_)
            | Self::Reconnect
            | Self::SessionInterrupted
            | Self::Reset
            | Self::Silence(_)
            | Self::Zombie(_) => Some("resumes"),
            Self::SessionGone(_) | Self::DeadResumeUrl(_) | Self::NatsEmptied(_) => {
                Some("identifies")
            }
            _ => None,
        }
    }

    /// Whether viewers are to be cut off by it, and to come back with all that they missed; or are not to notice at
    /// all. None where either may be.
    pub(crate) fn cuts_viewers(self) -> Option<bool> {
        match self {
            Self::FanoutKilled(_) => Some(true),
            _ if self.parts_viewers() => Some(true),
            Self::NatsEmptied(_) | Self::StepDowns(_) | Self::Stalled(..) | Self::Cut(..) => None,
            _ => Some(false),
        }
    }

    /// How long everything is to have gone well before: what comes regularly is known after ten seconds that had it, and
    /// only that can stay away.
    pub(crate) fn presupposes(self) -> Duration {
        match self {
            Self::Silence(_) => Duration::from_secs(12),
            _ => Duration::ZERO,
        }
    }

    /// Whether it befalls the link between viewers and a fanout.
    pub(crate) fn parts_viewers(self) -> bool {
        matches!(
            self,
            Self::Stalled(_, Wire::Viewers, _) | Self::Cut(_, Wire::Viewers, _)
        )
    }

    /// How long it lasts.
    pub fn lasts(self) -> Duration {
        match self {
            Self::LeaderKilled(long)
            | Self::LeaderHalted(long)
            | Self::FanoutKilled(long)
            | Self::NatsKilled(long)
            | Self::NatsEmptied(long)
            | Self::RedisKilled(long)
            | Self::SqlKilled(long)
            | Self::SessionGone(long)
            | Self::Silence(long)
            | Self::Zombie(long)
            | Self::DeadResumeUrl(long)
            | Self::Stalled(_, _, long)
            | Self::Cut(_, _, long)
            | Self::StreamFull(long)
            | Self::Nothing(long) => long,
            Self::LeaderRestarted
            | Self::StepDowns(_)
            | Self::Reconnect
            | Self::SessionInterrupted
            | Self::Reset => Duration::ZERO,
        }
    }

    /// The moment from which viewers were to be live again, where that is bounded: it began at `struck`, and a port
    /// accepted again at `mended`.
    pub(crate) fn moment(
        self,
        stage: &Stage,
        struck: Instant,
        mended: Option<Instant>,
    ) -> Option<Moment> {
        match self {
            Self::LeaderKilled(_) => Some(Moment {
                at: struck,
                within: TAKEN_OVER,
            }),
            // A cluster goes on without the one that died.
            Self::NatsKilled(_) if stage.nats.servers.len() == 1 => mended.map(|at| Moment {
                at,
                within: LIVE_AGAIN,
            }),
            _ => None,
        }
    }

    /// It begins. Where what it breaks is broken already, nothing happens.
    pub(crate) async fn strike(self, stage: &mut Stage) -> anyhow::Result<Broken> {
        match self {
            Self::LeaderKilled(_) => {
                let Some(leader) = stage.any_ingest().await else {
                    return Ok(Broken::Nothing);
                };
                stage.ingests[leader].kill().await?;
                return Ok(Broken::Ingest(leader));
            }
            Self::LeaderRestarted => {
                if let Some(leader) = stage.known_leader().await {
                    stage.ingests[leader].terminate().await?;
                    stage.start_ingest(leader)?;
                }
            }
            Self::LeaderHalted(_) => {
                let Some(leader) = stage.any_ingest().await else {
                    return Ok(Broken::Nothing);
                };
                stage.ingests[leader].signal("-STOP").await?;
                return Ok(Broken::Halted(leader));
            }
            Self::FanoutKilled(_) if stage.fanouts[0].runs() => {
                stage.fanouts[0].kill().await?;
                return Ok(Broken::Fanout(0));
            }
            Self::Stalled(whose, wire, _) => return broken(stage, whose, wire, Way::Stalled).await,
            Self::Cut(whose, wire, _) => return broken(stage, whose, wire, Way::Cut).await,
            Self::NatsKilled(_)
            | Self::NatsEmptied(_)
            | Self::RedisKilled(_)
            | Self::SqlKilled(_)
            | Self::StepDowns(_)
            | Self::StreamFull(_) => return self.strike_server(stage).await,
            Self::DeadResumeUrl(_) => {
                self.by_discord(stage).await?;
                return Ok(Broken::ResumeUrl);
            }
            discords => discords.by_discord(stage).await?,
        }
        Ok(Broken::Nothing)
    }

    /// Those that befall a server.
    async fn strike_server(self, stage: &mut Stage) -> anyhow::Result<Broken> {
        Ok(match self {
            Self::NatsKilled(_) => {
                block_in_place(|| stage.nats.servers[0].kill());
                Broken::Nats(0)
            }
            Self::NatsEmptied(_) => {
                block_in_place(|| {
                    stage.nats.servers[0].kill();
                    stage.nats.servers[0].empty();
                });
                Broken::Nats(0)
            }
            Self::RedisKilled(_) => {
                block_in_place(|| stage.redis.kill());
                Broken::Redis
            }
            Self::SqlKilled(_) => {
                block_in_place(|| match &mut stage.sql {
                    Sql::MariaDb(server) => server.kill(),
                    Sql::Postgres(server) => server.kill(),
                });
                Broken::Sql
            }
            Self::StepDowns(times) => step_downs(stage, times).await?,
            Self::StreamFull(_) => Broken::Limit(limit(stage, FULL)?),
            _ => Broken::Nothing,
        })
    }

    /// Those that Discord does.
    async fn by_discord(self, stage: &Stage) -> anyhow::Result<()> {
        let discord = &stage.discord;
        match self {
            Self::Reconnect => discord.fault(json!({ "kind": "reconnect" })).await,
            Self::SessionInterrupted => {
                let fault = json!({ "kind": "invalid_session", "resumable": true });
                discord.fault(fault).await
            }
            Self::SessionGone(long) => {
                let seconds = long.as_secs_f64();
                let refusal = json!({ "kind": "refuse", "seconds": seconds });
                discord.fault(refusal).await?;
                let fault = json!({ "kind": "invalid_session", "resumable": false });
                discord.fault(fault).await
            }
            Self::Reset => discord.fault(json!({ "kind": "drop" })).await,
            Self::Silence(long) => {
                let fault = json!({ "kind": "silence", "seconds": long.as_secs_f64() });
                discord.fault(fault).await
            }
            Self::Zombie(long) => {
                let fault = json!({ "kind": "zombie", "seconds": long.as_secs_f64() });
                discord.fault(fault).await?;
                // What still brings events is alive, whatever it acknowledges.
                let fault = json!({ "kind": "silence", "seconds": long.as_secs_f64() });
                discord.fault(fault).await
            }
            Self::DeadResumeUrl(_) => {
                let dead = json!({ "kind": "dead_resume_url", "count": 1 });
                discord.fault(dead).await?;
                let fault = json!({ "kind": "invalid_session", "resumable": false });
                discord.fault(fault).await
            }
            _ => Ok(()),
        }
    }
}

impl Broken {
    /// Mends it. When a port accepted again, where that was waited for.
    pub(crate) async fn mend(self, stage: &mut Stage) -> anyhow::Result<Option<Instant>> {
        match self {
            Self::Nothing => {}
            Self::Ingest(number) => stage.start_ingest(number)?,
            Self::Halted(number) => {
                // Somebody may have killed it meanwhile.
                if stage.ingests[number].runs() {
                    stage.ingests[number].signal("-CONT").await?;
                }
            }
            Self::Fanout(number) => stage.start_fanout(number)?,
            Self::Nats(number) => {
                let port = stage.nats.port(number)?;
                // Who starts it waits with patience; what is measured begins when its port accepts.
                let accepted = tokio::spawn(accepts(port));
                block_in_place(|| stage.nats.servers[number].restart());
                return Ok(Some(accepted.await??));
            }
            Self::NatsHalted(number) => block_in_place(|| stage.nats.servers[number].go_on()),
            Self::Redis => block_in_place(|| stage.redis.restart()),
            Self::Sql => block_in_place(|| match &mut stage.sql {
                Sql::MariaDb(server) => server.restart(),
                Sql::Postgres(server) => server.restart(),
            }),
            Self::Link(whose, number, wire) => {
                let service = match whose {
                    Whose::Leader => &stage.ingests[number],
                    Whose::Fanout => &stage.fanouts[number],
                };
                service.set(wire, Way::Open)?;
            }
            Self::Limit(before) => {
                let told = block_in_place(|| stage.nats.state())?;
                let is_reached = told["first_seq"].as_u64() > Some(1);
                anyhow::ensure!(is_reached, "the limit was never reached: {told}");
                limit(stage, before)?;
            }
            Self::ResumeUrl => stage.discord.fault(json!({ "kind": "drop" })).await?,
        }
        Ok(None)
    }
}

/// Every second another leader; a follower stands still for half of each, so that it answers late.
async fn step_downs(stage: &mut Stage, times: u32) -> anyhow::Result<Broken> {
    let mut steps = 0;
    for time in 1..=times {
        // Where an election is under way nobody knows who follows: then there is one step less.
        let Ok(follower) = block_in_place(|| stage.nats.follower()) else {
            sleep(Duration::from_secs(1)).await;
            continue;
        };
        block_in_place(|| stage.nats.servers[follower].stall());
        let has_stepped = block_in_place(|| stage.nats.step_down()).is_ok();
        steps += u32::from(has_stepped);
        sleep(Duration::from_millis(500)).await;
        if time == times && has_stepped {
            return Ok(Broken::NatsHalted(follower));
        }
        block_in_place(|| stage.nats.servers[follower].go_on());
        sleep(Duration::from_millis(500)).await;
    }
    anyhow::ensure!(steps > 0, "no leader stepped down");
    Ok(Broken::Nothing)
}

async fn broken(stage: &Stage, whose: Whose, wire: Wire, way: Way) -> anyhow::Result<Broken> {
    let number = match whose {
        Whose::Leader => stage.any_ingest().await.unwrap_or_default(),
        Whose::Fanout => 0,
    };
    match whose {
        Whose::Leader => stage.ingests[number].set(wire, way)?,
        Whose::Fanout => stage.fanouts[number].set(wire, way)?,
    }
    Ok(Broken::Link(whose, number, wire))
}

/// Sets the stream's limit of bytes, as an operator may; the one before.
fn limit(stage: &Stage, bytes: i64) -> anyhow::Result<i64> {
    block_in_place(|| {
        let info = stage.nats.ask("STREAM.INFO.DISCORD", &Value::Null)?;
        stage
            .nats
            .edit("DISCORD", |config| config["max_bytes"] = json!(bytes))?;
        Ok(info["config"]["max_bytes"].as_i64().unwrap_or(-1))
    })
}
