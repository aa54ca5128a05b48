//! Op 8, request guild members: chunks of a thousand, by id, by the beginning of a name, or all of them.
//! All members at once need the members intent, and are told once in 30 s a guild: a sooner request gets `RATE_LIMITED`.
//! <https://discord.com/developers/docs/events/gateway-events#request-guild-members>.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::inbound::{CloseReason, MemberRequest};
use super::session::Subscription;
use crate::event::Intents;
use crate::object::set;
use crate::snowflake::Snowflake;
use crate::world::World;

/// How many members a chunk holds.
const CHUNK: usize = 1_000;
/// The most that may be asked by id, and the most that a search gives.
const USER_IDS_MAX: usize = 100;
const FOUND_MAX: usize = 100;
/// The longest nonce that comes back; a longer one is left out, as Discord documents.
const NONCE_BYTES_MAX: usize = 32;
/// How long a guild's whole list is not told again.
const WHOLE_LIST_EVERY: Duration = Duration::from_secs(30);

/// When each guild's whole list of members was told last, to any session of the bot.
#[derive(Debug, Default)]
pub(crate) struct WholeLists {
    told: HashMap<Snowflake, Instant>,
}

impl WholeLists {
    /// Notes that a list is told now, or says how long it is not.
    fn tell(&mut self, guild_id: Snowflake, now: Instant) -> Result<(), Duration> {
        let next = self
            .told
            .get(&guild_id)
            .map(|told| *told + WHOLE_LIST_EVERY);
        match next {
            Some(next) if next > now => Err(next - now),
            _ => {
                self.told.insert(guild_id, now);
                Ok(())
            }
        }
    }
}

/// What was asked by op 8 since the start, answered or not.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    commands: u64,
    user_ids: u64,
}

impl Asked {
    /// A request came.
    pub(super) fn on_request(&mut self, request: &MemberRequest) {
        let ids = request.user_ids.as_ref().map_or(0, Vec::len);
        self.commands += 1;
        self.user_ids += ids as u64;
    }

    /// The `members` of `GET /sim/stats`.
    pub(crate) fn stats(&self) -> Value {
        json!({ "commands": self.commands, "userIds": self.user_ids })
    }
}

/// A dispatch that answers: its name and its body.
type Told = (&'static str, Value);

/// The dispatches that answer a request; none where Discord does not answer what it does not grant.
pub(super) fn answer(
    world: &World,
    lists: &mut WholeLists,
    mut request: MemberRequest,
    of: Subscription,
) -> Result<Vec<Told>, CloseReason> {
    request.nonce.take_if(|nonce| nonce.len() > NONCE_BYTES_MAX);
    let guild_id = request.guild_id;
    if world.guild(guild_id).is_err() || !of.has(guild_id) {
        return Ok(Vec::new());
    }
    let (mut found, mut not_found) = (Vec::new(), Vec::new());
    match request.user_ids.take() {
        Some(ids) if ids.len() > USER_IDS_MAX => return Err(CloseReason::DECODE),
        Some(ids) => {
            for id in ids {
                match world.member_json(guild_id, id) {
                    Ok(member) => found.push(member),
                    Err(_) => not_found.push(id),
                }
            }
        }
        None => {
            let query = request.query.take().unwrap_or_default();
            let wants_all = query.is_empty() && request.limit == 0;
            if wants_all && !of.intents.contains(Intents::MEMBERS) {
                return Ok(Vec::new());
            }
            if wants_all && let Err(wait) = lists.tell(guild_id, Instant::now()) {
                return Ok(vec![("RATE_LIMITED", limited(&request, wait))]);
            }
            let limit = if wants_all {
                usize::MAX
            } else {
                request.limit.clamp(1, FOUND_MAX)
            };
            found = world
                .search_members(guild_id, &query, limit)
                .unwrap_or_default();
        }
    }
    Ok(chunks(&request, &found, &not_found))
}

fn limited(request: &MemberRequest, wait: Duration) -> Value {
    let mut meta = json!({ "guild_id": request.guild_id });
    if let Some(nonce) = &request.nonce {
        set(&mut meta, "nonce", json!(nonce));
    }
    json!({ "opcode": 8, "retry_after": wait.as_secs_f64(), "meta": meta })
}

fn chunks(request: &MemberRequest, found: &[Value], not_found: &[Snowflake]) -> Vec<Told> {
    let count = found.len().div_ceil(CHUNK).max(1);
    let chunk = |index: usize| {
        let members: Vec<_> = found.iter().skip(index * CHUNK).take(CHUNK).collect();
        let mut chunk = json!({
            "guild_id": request.guild_id,
            "members": members,
            "chunk_index": index,
            "chunk_count": count,
        });
        if !not_found.is_empty() {
            set(&mut chunk, "not_found", json!(not_found));
        }
        if let Some(nonce) = &request.nonce {
            set(&mut chunk, "nonce", json!(nonce));
        }
        ("GUILD_MEMBERS_CHUNK", chunk)
    };
    (0..count).map(chunk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_list_is_told_once_in_thirty_seconds_a_guild() {
        let mut lists = WholeLists::default();
        let (one, other) = (Snowflake::at(0, 1), Snowflake::at(0, 2));
        let now = Instant::now();
        assert_eq!(lists.tell(one, now), Ok(()));
        assert_eq!(lists.tell(other, now), Ok(()));
        let later = now + Duration::from_secs(10);
        assert_eq!(lists.tell(one, later), Err(Duration::from_secs(20)));
        assert_eq!(lists.tell(one, now + WHOLE_LIST_EVERY), Ok(()));
    }
}
