//! What is measured of one publication, from its first try to its end.

use runtime::traces::Span;
use tokio::time::Instant;

use super::delivery::End;
use crate::meters::Meters;

/// The tries of a publication.
#[derive(Debug)]
pub(super) struct Tries {
    /// How often it was sent.
    pub(super) count: u32,
    /// Its span, which ends with this.
    pub(super) span: Span,
    meters: Meters,
    begun: Instant,
}

impl Tries {
    pub(super) fn begin(span: Span, meters: Meters) -> Self {
        Self {
            count: 0,
            span,
            meters,
            begun: Instant::now(),
        }
    }

    /// Its end is known.
    pub(super) fn on_end(mut self, end: &End) {
        let (is_new, sequence) = match end {
            End::Stored(sequence) => (true, sequence),
            End::Duplicate(sequence) => (false, sequence),
            End::Refused(_) => return self.span.fail("refused"),
        };
        let time = self.begun.elapsed();
        self.meters.on_acknowledged(is_new, time, self.count);
        self.span.set_number("discord_stream.sequence", *sequence);
        let retries = self.count.saturating_sub(1);
        self.span
            .set_number("discord_stream.retries", u64::from(retries));
    }
}
