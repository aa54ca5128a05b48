//! The stream, event by event, as an erasure reads it.

use std::time::Duration;

use broker::{Broker, BrokerError, Freshness};
use proto::Subject;
use proto::envelope::Opened;
use tokio::time::sleep;

use crate::leader::bounded;

/// Events a read.
const READ_EVENTS: usize = 500;
/// How long one call on the broker may take.
pub(super) const CALL: Duration = Duration::from_secs(5);
/// Between two reads that brought nothing, and how many of them there may be: longer than an election of the stream's.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSES_MAX: u32 = 100;

/// Shows what can be decoded from one sequence to another, of one subject or of all, in order.
pub(super) async fn each(
    broker: &dyn Broker,
    subject: Option<Subject>,
    (from, to): (u64, u64),
    mut show: impl FnMut(u64, Opened),
) -> Result<(), BrokerError> {
    let (mut next, mut pauses) = (from, 0);
    while next <= to {
        // A replica may be behind for ever; the leader is not.
        let freshness = if pauses == 0 {
            Freshness::Any
        } else {
            Freshness::Leader
        };
        let read = broker.read(next, subject, READ_EVENTS, freshness);
        let read = match bounded(CALL, read).await {
            Ok(read) if read.complete_to >= next => read,
            Err(error) if pauses >= PAUSES_MAX => return Err(error),
            Ok(_) if pauses >= PAUSES_MAX => {
                return Err(BrokerError::Away("the stream can't be read on".to_owned()));
            }
            Ok(_) | Err(_) => {
                pauses += 1;
                sleep(PAUSE).await;
                continue;
            }
        };
        pauses = 0;
        next = read.complete_to + 1;
        let events = read.events.into_iter();
        for stored in events.take_while(|stored| stored.sequence <= to) {
            if let Ok(opened) = Opened::decode(stored.payload) {
                show(stored.sequence, opened);
            }
        }
    }
    Ok(())
}
