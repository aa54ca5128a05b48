//! How many commands a client sends: Discord closes a connection that sends more than it may.
//! <https://discord.com/developers/docs/events/gateway#rate-limiting>.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::inbound::CloseReason;

/// Discord's limit of commands: this many in this time.
const COMMANDS_MAX: usize = 120;
const WINDOW: Duration = Duration::from_mins(1);

/// The commands of one connection.
#[derive(Debug, Default)]
pub(super) struct Pace(VecDeque<Instant>);

impl Pace {
    /// One more came.
    pub(super) fn count(&mut self) -> Result<(), CloseReason> {
        let is_old = |sent: &Instant| sent.elapsed() > WINDOW;
        while self.0.front().is_some_and(is_old) {
            self.0.pop_front();
        }
        if self.0.len() >= COMMANDS_MAX {
            return Err(CloseReason::RATE_LIMITED);
        }
        self.0.push_back(Instant::now());
        Ok(())
    }
}
