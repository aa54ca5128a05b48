//! Questions about members over the gateway: many in one command, few commands, each user once.
//!
//! A command (op 8) asks for up to 100 users of one guild; what is asked within some milliseconds goes together
//! (<https://docs.discord.com/developers/events/gateway-events#request-guild-members>). A question that can't go
//! or has no answer is dropped, and its owner asks elsewhere. Knows no REST.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proto::event::Member;
use proto::{GuildId, UserId};
use serde_json::json;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::decode::Chunk;
use crate::gateway::Commands;
use crate::roster::Key;
use crate::shard::ShardId;
use crate::status::Status;

/// Users of one command.
const USERS_MAX: usize = 100;
/// Commands a minute and shard: Discord closes a connection beyond 120, heartbeats included (decisions.md, members).
const COMMANDS_MAX: usize = 60;
const WINDOW: Duration = Duration::from_mins(1);
/// How long questions are collected while most commands of the minute are left, and afterwards.
const COLLECT: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));
/// Questions that wait for a command; one more is dropped.
const WAITING_MAX: usize = 10_000;
/// An answer that has not come by then will not be waited for.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// What Discord answers of one user: a member, or none.
type Reply = oneshot::Sender<Option<Member>>;

/// The questions. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Chunks(Arc<Desk>);

#[derive(Debug)]
struct Desk {
    /// Begins our nonces, so that another's answers are not taken for ours.
    name: u64,
    commands: Commands,
    status: Status,
    book: Mutex<Book>,
    asked: Notify,
}

#[derive(Debug, Default)]
struct Book {
    guilds: VecDeque<(GuildId, Vec<(UserId, Reply)>)>,
    waiting: usize,
    /// When commands were sent, by the number of the shard.
    sent: HashMap<u32, VecDeque<Instant>>,
    under_way: HashMap<String, UnderWay>,
    number: u64,
    paused_until: Option<Instant>,
}

#[derive(Debug)]
struct UnderWay {
    at: Instant,
    users: HashMap<u64, Reply>,
}

/// A command to be sent.
struct Command {
    guild: GuildId,
    nonce: String,
    users: Vec<(UserId, Reply)>,
}

impl Chunks {
    /// A desk of this name.
    pub(crate) fn new(name: u64, commands: Commands, status: Status) -> Self {
        Self(Arc::new(Desk {
            name,
            commands,
            status,
            book: Mutex::default(),
            asked: Notify::new(),
        }))
    }

    /// Asks. The receiver gets the answer, or nothing if there is none to be had here.
    pub(super) fn ask(&self, (guild, user): Key) -> oneshot::Receiver<Option<Member>> {
        let (reply, answer) = oneshot::channel();
        let book = &mut *self.0.book.lock();
        if book.waiting < WAITING_MAX {
            book.waiting += 1;
            match book.guilds.iter_mut().find(|(of, _)| *of == guild) {
                Some((_, users)) => users.push((user, reply)),
                None => book.guilds.push_back((guild, vec![(user, reply)])),
            }
            self.0.asked.notify_one();
        }
        answer
    }

    /// Sends what is asked, until told to stop.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.asked.notified() => {}
            }
            let collect = self.0.book.lock().collect(Instant::now());
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(collect) => {}
            }
            self.send(Instant::now());
        }
    }

    fn send(&self, now: Instant) {
        loop {
            let command = self.0.book.lock().next(self.0.name, now);
            let Some(Command {
                guild,
                nonce,
                users,
            }) = command
            else {
                return;
            };
            let ids: Vec<_> = users.iter().map(|(user, _)| user.to_string()).collect();
            let count = ids.len();
            let data = json!({ "guild_id": guild.to_string(), "user_ids": ids, "nonce": nonce });
            let command = json!({ "op": 8, "d": data }).to_string();
            let shard = self.0.commands.shard_of(guild);
            let book = &mut *self.0.book.lock();
            if book.may_send(shard, now) && self.0.commands.try_send(shard, command) {
                book.sent.entry(shard.number).or_default().push_back(now);
                let users = users
                    .into_iter()
                    .map(|(user, reply)| (user.get(), reply))
                    .collect();
                book.under_way.insert(nonce, UnderWay { at: now, users });
                self.0.status.on_members_asked(count);
            }
        }
    }

    /// A chunk came. True if it answers a question of ours.
    pub(crate) fn on_chunk(&self, chunk: &Chunk) -> bool {
        let Some(nonce) = &chunk.nonce else {
            return false;
        };
        let book = &mut *self.0.book.lock();
        let Some(under_way) = book.under_way.get_mut(nonce) else {
            return false;
        };
        let found = chunk.members.iter().filter_map(|member| {
            let user = member.user.as_ref()?.id;
            Some((user, Some(member.clone())))
        });
        let missing = chunk.not_found.iter().map(|user| (*user, None));
        for (user, answer) in found.chain(missing) {
            if let Some(reply) = under_way.users.remove(&user)
                && reply.send(answer).is_err()
            {
                tracing::debug!("an answer about a member came too late");
            }
        }
        if chunk.is_last {
            book.under_way.remove(nonce);
        }
        true
    }

    /// Discord will not answer this command, nor any other for so long.
    pub(crate) fn on_limited(&self, nonce: Option<&str>, wait: Duration) {
        let book = &mut *self.0.book.lock();
        book.paused_until = Some(Instant::now() + wait.min(WINDOW));
        if let Some(nonce) = nonce {
            book.under_way.remove(nonce);
        }
    }
}

impl Book {
    /// The next command, of the guild that waits longest.
    fn next(&mut self, name: u64, now: Instant) -> Option<Command> {
        self.under_way
            .retain(|_, one| now.duration_since(one.at) < FORGOTTEN);
        let (guild, users) = self.guilds.front_mut()?;
        let guild = *guild;
        let rest = users.split_off(users.len().min(USERS_MAX));
        let users = std::mem::replace(users, rest);
        if self.guilds.front().is_some_and(|(_, rest)| rest.is_empty()) {
            self.guilds.pop_front();
        }
        self.waiting = self.waiting.saturating_sub(users.len());
        self.number += 1;
        // 32 bytes at the most: 16, a dash, and a number that never gets there.
        let nonce = format!("{name:016x}-{}", self.number);
        Some(Command {
            guild,
            nonce,
            users,
        })
    }

    fn may_send(&mut self, shard: ShardId, now: Instant) -> bool {
        self.forget(now);
        let sent = self.sent.get(&shard.number).map_or(0, VecDeque::len);
        sent < COMMANDS_MAX && self.paused_until.is_none_or(|until| until <= now)
    }

    fn collect(&mut self, now: Instant) -> Duration {
        self.forget(now);
        let most = self.sent.values().map(VecDeque::len).max();
        if most.unwrap_or(0) < COMMANDS_MAX / 2 {
            return COLLECT.0;
        }
        COLLECT.1
    }

    fn forget(&mut self, now: Instant) {
        for sent in self.sent.values_mut() {
            sent.retain(|at| now.duration_since(*at) < WINDOW);
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::event::User;

    use super::*;

    fn guild(id: u64) -> GuildId {
        GuildId::new(id).unwrap()
    }

    fn user(id: u64) -> UserId {
        UserId::new(id).unwrap()
    }

    fn member(id: u64) -> Member {
        Member {
            user: Some(User {
                id,
                ..User::default()
            }),
            ..Member::default()
        }
    }

    fn book(questions: impl IntoIterator<Item = (u64, u64)>) -> Book {
        let chunks = Chunks::new(1, Commands::default(), Status::default());
        for (of, id) in questions {
            drop(chunks.ask((guild(of), user(id))));
        }
        std::mem::take(&mut *chunks.0.book.lock())
    }

    #[test]
    fn a_command_asks_for_a_hundred_of_one_guild_and_guilds_take_turns_by_age() {
        let now = Instant::now();
        let questions = (1..=250).map(|id| (7, id)).chain([(8, 1)]);
        let mut book = book(questions);
        let mut sizes = Vec::new();
        let mut nonces = Vec::new();
        while let Some(command) = book.next(1, now) {
            sizes.push((command.guild.get(), command.users.len()));
            nonces.push(command.nonce);
        }
        assert_eq!(sizes, [(7, 100), (7, 100), (7, 50), (8, 1)]);
        nonces.dedup();
        assert!(nonces.len() == 4 && nonces.iter().all(|nonce| nonce.len() <= 32));
        assert_eq!(book.waiting, 0);
    }

    #[test]
    fn no_minute_has_more_than_sixty_commands_and_the_last_half_is_spent_slowly() {
        let (mut book, begun) = (Book::default(), Instant::now());
        let shard = ShardId {
            number: 0,
            count: 2,
        };
        let mut sent = 0;
        for second in 0..59 {
            let now = begun + Duration::from_secs(second);
            for _ in 0..2 {
                let expected = if sent < 30 { COLLECT.0 } else { COLLECT.1 };
                assert_eq!(book.collect(now), expected);
                if book.may_send(shard, now) {
                    book.sent.entry(shard.number).or_default().push_back(now);
                    sent += 1;
                }
            }
        }
        assert_eq!(sent, 60);
        let other = ShardId {
            number: 1,
            count: 2,
        };
        let last = begun + Duration::from_secs(58);
        assert!(!book.may_send(shard, last) && book.may_send(other, last));
        assert!(book.may_send(shard, begun + WINDOW));
    }

    #[tokio::test]
    async fn an_answer_goes_to_whoever_asked_and_the_rest_is_left_to_others() {
        let chunks = Chunks::new(1, Commands::default(), Status::default());
        let (found, missing, unsaid) = (1, 2, 3);
        let asked = [found, missing, unsaid].map(|id| {
            let (reply, answer) = oneshot::channel();
            ((id, reply), answer)
        });
        let (replies, answers): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        let under_way = UnderWay {
            at: Instant::now(),
            users: replies.into_iter().collect(),
        };
        chunks.0.book.lock().under_way.insert("n".into(), under_way);
        let mut chunk = Chunk {
            nonce: Some("other".into()),
            members: vec![member(found)],
            not_found: vec![missing],
            is_last: true,
        };
        assert!(!chunks.on_chunk(&chunk), "another's question");
        chunk.nonce = Some("n".into());
        assert!(chunks.on_chunk(&chunk));
        let mut said = Vec::new();
        for answer in answers {
            said.push(answer.await.map(|member| member.is_some()).ok());
        }
        assert_eq!(said, [Some(true), Some(false), None]);
        assert!(!chunks.on_chunk(&chunk), "it is answered");
    }

    #[tokio::test]
    async fn without_a_gateway_nobody_waits() {
        let chunks = Chunks::new(1, Commands::default(), Status::default());
        let stop = CancellationToken::new();
        let running = tokio::spawn(chunks.clone().run(stop.clone()));
        let answer = chunks.ask((guild(7), user(1)));
        assert!(answer.await.is_err());
        stop.cancel();
        running.await.unwrap();
    }
}
