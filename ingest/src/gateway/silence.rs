//! Whether the gateway has gone silent: a connection whose heartbeats are answered and whose events are not sent.
//!
//! Of each kind of event the longest gap is learned, which later gaps wear away. A kind that came regularly and
//! stays away for a multiple of that is an alarm: the shard leaves and resumes, and what the RESUME brings says
//! whether events were withheld. Where they were not, that kind is given twice as long from then on, so that a
//! quiet night costs a few RESUMEs and no more. Pure: the time comes from outside.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// A silence shorter than this is none: Discord itself stutters for seconds.
const FLOOR: Duration = Duration::from_secs(10);
/// So many times its longest gap a kind may stay away. Of gaps that come by chance at a steady rate the longest
/// is several times the mean, and four times that does not occur.
const MULTIPLE: u32 = 4;
/// A kind that may stay away for longer than this is not watched, and no alarm is put off for longer.
const CAP: Duration = Duration::from_hours(1);
/// A kind is watched once it came in so many different seconds: what comes in one burst alone is not regular.
const REGULAR: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);
/// The longest gap is worn to a half by a quarter of the seconds that had an event so far, at the least and at the
/// most these, of which the most are many conversations and a few minutes of a busy guild. So one odd gap before a
/// kind became regular is soon forgotten, and a lull between two conversations is not.
const SEEN: (u32, u32) = (8, 512);
/// Kinds that are watched at the most; Discord has about 80.
const KINDS_MAX: usize = 128;
/// What comes only with a session or because it was asked for.
const UNWATCHED: [&str; 5] = [
    "READY",
    "RESUMED",
    "GUILD_CREATE",
    "GUILD_MEMBERS_CHUNK",
    "RATE_LIMITED",
];

/// What is known of each kind of event. It outlives connections.
#[derive(Debug)]
pub(super) struct Silence {
    kinds: HashMap<String, Kind>,
    /// Since when all that happens should come.
    since: Instant,
    is_off: bool,
}

#[derive(Debug)]
struct Kind {
    last: Instant,
    /// When its last counted second began.
    second: Instant,
    /// Seconds that had an event.
    seen: u32,
    longest: Duration,
    alarm: Alarm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alarm {
    None,
    /// The shard left because of it.
    Given,
    /// And then it came: it had been withheld.
    Withheld,
}

/// What a RESUME has shown of the silence that led to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Events had been withheld.
    Withheld,
    /// Nothing had happened.
    Quiet,
}

impl Kind {
    fn new(now: Instant) -> Self {
        Self {
            last: now,
            second: now,
            seen: 0,
            longest: Duration::ZERO,
            alarm: Alarm::None,
        }
    }

    /// How long it may stay away; none if nobody can say.
    fn patience(&self) -> Option<Duration> {
        let patience = self.longest * MULTIPLE;
        let is_watched = self.seen >= REGULAR && patience <= CAP;
        is_watched.then_some(patience.max(FLOOR))
    }

    fn on_event(&mut self, now: Instant) {
        let gap = now.duration_since(self.last);
        self.last = now;
        if now.duration_since(self.second) < SECOND {
            return;
        }
        self.second = now;
        self.seen = (self.seen + 1).min(SEEN.1);
        let worn = 0.5_f64.powf(4.0 / f64::from(self.seen.max(SEEN.0)));
        self.longest = self.longest.mul_f64(worn).max(gap.min(CAP));
    }
}

impl Silence {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            kinds: HashMap::new(),
            since: now,
            is_off: false,
        }
    }

    /// An event came, as it happened.
    pub(super) fn on_event(&mut self, kind: &str, now: Instant) {
        if let Some(kind) = self.kind(kind, now) {
            kind.on_event(now);
        }
    }

    /// An event came late, by a RESUME: its time says nothing.
    pub(super) fn on_replayed(&mut self, kind: &str, now: Instant) {
        if let Some(kind) = self.kind(kind, now) {
            kind.last = now;
            if kind.alarm == Alarm::Given {
                kind.alarm = Alarm::Withheld;
            }
        }
    }

    /// A RESUME has brought all that was missed. Says what that shows, if an alarm led to it.
    pub(super) fn on_resumed(&mut self, now: Instant) -> Option<Verdict> {
        self.since = now;
        self.is_off = false;
        let mut verdict = None;
        for kind in self.kinds.values_mut() {
            match std::mem::replace(&mut kind.alarm, Alarm::None) {
                Alarm::None => {}
                Alarm::Withheld => verdict = Some(Verdict::Withheld),
                Alarm::Given => {
                    verdict = verdict.or(Some(Verdict::Quiet));
                    let patience = kind.patience().unwrap_or(CAP);
                    kind.longest = (patience * 2).min(CAP) / MULTIPLE;
                }
            }
        }
        verdict
    }

    /// A new session began: what happened before it will not come.
    pub(super) fn on_anew(&mut self, now: Instant) {
        self.since = now;
        for kind in self.kinds.values_mut() {
            kind.last = now;
            kind.alarm = Alarm::None;
        }
    }

    /// A RESUME was refused. Where an alarm led to it, the next would cost an IDENTIFY too: there is none until
    /// a RESUME succeeds.
    pub(super) fn on_refused(&mut self) {
        let is_ours = |kind: &Kind| kind.alarm != Alarm::None;
        self.is_off |= self.kinds.values().any(is_ours);
    }

    /// The kind that has stayed away for too long, if one has. An alarm is given once.
    pub(super) fn look(&mut self, now: Instant) -> Option<String> {
        if self.is_off {
            return None;
        }
        let mut overdue = None;
        for (name, kind) in &mut self.kinds {
            let quiet = now.duration_since(kind.last.max(self.since));
            if kind.patience().is_some_and(|patience| quiet > patience) {
                kind.alarm = Alarm::Given;
                overdue = Some(name.clone());
            }
        }
        overdue
    }

    fn kind(&mut self, name: &str, now: Instant) -> Option<&mut Kind> {
        if UNWATCHED.contains(&name) {
            return None;
        }
        if !self.kinds.contains_key(name) {
            if self.kinds.len() >= KINDS_MAX {
                return None;
            }
            self.kinds.insert(name.to_owned(), Kind::new(now));
        }
        self.kinds.get_mut(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "MESSAGE_CREATE";
    const HOUR: f64 = 3_600.0;

    /// A world whose time is told in seconds.
    struct Watch {
        silence: Silence,
        begun: Instant,
        now: f64,
    }

    impl Watch {
        fn new() -> Self {
            let begun = Instant::now();
            Self {
                silence: Silence::new(begun),
                begun,
                now: 0.0,
            }
        }

        fn at(&self) -> Instant {
            self.begun + Duration::from_secs_f64(self.now)
        }

        /// So many events, so far apart.
        fn events(&mut self, kind: &str, count: u32, gap: f64) {
            for _ in 0..count {
                self.now += gap;
                let at = self.at();
                self.silence.on_event(kind, at);
            }
        }

        /// After how many quiet seconds an alarm comes, within so many.
        fn alarm(&mut self, within: f64) -> Option<f64> {
            let begun = self.now;
            while self.now < begun + within {
                self.now += 1.0;
                let at = self.at();
                if self.silence.look(at).is_some() {
                    return Some(self.now - begun);
                }
            }
            None
        }

        fn resumed(&mut self) -> Option<Verdict> {
            let at = self.at();
            self.silence.on_resumed(at)
        }
    }

    #[test]
    fn a_steady_kind_that_stops_is_noticed_within_fifteen_seconds() {
        let mut watch = Watch::new();
        // What came before it was steady does not count.
        watch.events(KIND, 1, 0.0);
        watch.now += 300.0;
        watch.events(KIND, 200, 0.1);
        let noticed = watch.alarm(60.0).unwrap();
        assert!((10.0..=15.0).contains(&noticed), "{noticed}");
    }

    #[test]
    fn withheld_events_leave_the_patience_as_it_was_and_a_quiet_one_doubles_it() {
        let mut watch = Watch::new();
        watch.events(KIND, 300, 0.1);
        assert!(watch.alarm(60.0).is_some());
        let at = watch.at();
        watch.silence.on_replayed(KIND, at);
        assert_eq!(watch.resumed(), Some(Verdict::Withheld));
        watch.events(KIND, 300, 0.1);
        assert_eq!(watch.alarm(60.0), Some(11.0));
        assert_eq!(watch.resumed(), Some(Verdict::Quiet));
        assert_eq!(watch.alarm(60.0), Some(21.0));
        assert_eq!(watch.resumed(), Some(Verdict::Quiet));
        assert_eq!(watch.alarm(60.0), Some(41.0));
        assert_eq!(watch.resumed(), Some(Verdict::Quiet));
        assert_eq!(watch.resumed(), None, "no alarm led to this one");
    }

    #[test]
    fn a_quiet_night_costs_a_few_alarms_and_then_one_an_hour() {
        let mut watch = Watch::new();
        watch.events(KIND, 3_000, 2.0);
        let mut alarms = Vec::new();
        let night = watch.now + 8.0 * HOUR;
        while let Some(after) = watch.alarm(night - watch.now) {
            alarms.push(after);
            watch.resumed();
        }
        assert!(alarms.len() <= 18, "{alarms:?}");
        assert!(alarms.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(alarms.last().is_some_and(|last| *last <= HOUR + 1.0));
        // In the morning the night is what may happen, until the day has worn it away.
        watch.events(KIND, 30, 2.0);
        assert_eq!(watch.alarm(600.0), None);
        watch.events(KIND, 2_000, 2.0);
        assert!(watch.alarm(60.0).is_some());
    }

    #[test]
    fn a_bursty_guild_is_learned_and_then_left_alone() {
        let mut watch = Watch::new();
        let mut alarms = Vec::new();
        for _ in 0..48 {
            watch.events(KIND, 40, 1.5);
            let end = watch.now + 600.0;
            let mut of_lull = 0;
            while watch.alarm(end - watch.now).is_some() {
                watch.resumed();
                of_lull += 1;
            }
            alarms.push(of_lull);
        }
        assert!(alarms[0] <= 6 && alarms[1] <= 2, "{alarms:?}");
        assert!(alarms[2..].iter().all(|count| *count == 0), "{alarms:?}");
    }

    #[test]
    fn chance_is_no_alarm() {
        // Gaps as they come by chance at a steady rate, from a fixed seed.
        let mut state: u64 = 2_015;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            f64::from(u32::try_from(state >> 32).unwrap_or(0)) / f64::from(u32::MAX)
        };
        for mean in [0.1, 3.0, 30.0] {
            let mut watch = Watch::new();
            let mut alarms = 0;
            for _ in 0..20_000 {
                let gap = -mean * random().max(1e-9).ln();
                alarms += u32::from(watch.alarm(gap.floor()).is_some());
                watch.resumed();
                watch.events(KIND, 1, gap.fract());
            }
            assert!(alarms <= 3, "{alarms} of mean {mean}");
        }
    }

    #[test]
    fn what_comes_in_one_burst_or_rarely_or_on_request_is_not_watched() {
        let mut watch = Watch::new();
        watch.events("GUILD_ROLE_UPDATE", 5_000, 0.001);
        watch.events("GUILD_CREATE", 100, 1.0);
        watch.events("GUILD_MEMBERS_CHUNK", 100, 1.0);
        watch.events("GUILD_UPDATE", 30, 1_200.0);
        assert_eq!(watch.alarm(10.0 * HOUR), None);
    }

    #[test]
    fn an_alarm_whose_resume_is_refused_is_the_last_and_a_new_session_begins_the_watch_anew() {
        let mut watch = Watch::new();
        watch.events(KIND, 300, 0.1);
        watch.now += 500.0;
        let at = watch.at();
        watch.silence.on_anew(at);
        assert_eq!(watch.alarm(60.0), Some(11.0), "counted from its beginning");
        let at = watch.at();
        watch.silence.on_anew(at);
        watch.events(KIND, 300, 0.1);
        watch.silence.on_refused();
        assert_eq!(watch.alarm(60.0), Some(11.0), "no alarm led to that one");
        watch.silence.on_refused();
        let at = watch.at();
        watch.silence.on_anew(at);
        watch.events(KIND, 300, 0.1);
        assert_eq!(watch.alarm(HOUR), None);
        watch.resumed();
        let at = watch.at();
        watch.silence.on_anew(at);
        watch.events(KIND, 300, 0.1);
        assert_eq!(watch.alarm(60.0), Some(11.0), "here a RESUME succeeds");
    }
}
