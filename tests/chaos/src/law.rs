//! The law (decisions.md, "Order and loss"), checked: what a viewer saw beside what Discord said.
//!
//! After a page come exactly Discord's acts, once, in order. Only a replay may leave something out: what is about a
//! message that was deleted before the viewer was back. Who was not recovered has a page again, and older ones until
//! they meet what was there before; the union counts. Where Discord refused a RESUME, nobody can know each edit: then
//! every creation comes once and in order. In any case every message that is shown ends as it is in Discord, its
//! reactions too.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use tokio::time::Instant;

use crate::book::{Act, Chronicle, Kind};
use crate::fault::Fault;
use crate::tape::{Entry, Row, Tape};

/// What is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// Discord's events, once, in order.
    Exact,
    /// Creations once and in order, and the final states: Discord has refused a RESUME.
    Final,
}

impl Law {
    /// The law while all of these happen.
    pub(crate) fn of(faults: impl IntoIterator<Item = Fault>) -> Self {
        let mut laws = faults.into_iter().map(Fault::law);
        if laws.any(|law| law == Self::Final) {
            return Self::Final;
        }
        Self::Exact
    }
}

/// How often the law was broken, and the first examples.
#[derive(Clone, Debug, Default)]
pub struct Breaches {
    /// Acts that never came.
    pub lost: usize,
    /// Acts that came again.
    pub twice: usize,
    /// Acts that came after a later one.
    pub reordered: usize,
    /// What is not as Discord has it: a page, a text, an event that never was.
    pub wrong: usize,
    /// In words.
    pub examples: Vec<String>,
}

/// Examples that are kept.
const EXAMPLES_MAX: usize = 12;

impl Breaches {
    /// Nothing was broken.
    pub fn is_none(&self) -> bool {
        self.lost + self.twice + self.reordered + self.wrong == 0
    }

    /// The same for another viewer too.
    pub(crate) fn add(&mut self, who: &str, other: &Self) {
        self.lost += other.lost;
        self.twice += other.twice;
        self.reordered += other.reordered;
        self.wrong += other.wrong;
        let examples = other.examples.iter().map(|text| format!("{who}: {text}"));
        let room = EXAMPLES_MAX.saturating_sub(self.examples.len());
        self.examples.extend(examples.take(room));
    }

    fn say(&mut self, text: impl FnOnce() -> String) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(text());
        }
    }

    fn lost(&mut self, act: &Act) {
        self.lost += 1;
        self.say(|| format!("lost {:?} {} n={}", act.kind, act.message, act.number));
    }

    /// Something is not as it is in Discord.
    pub(crate) fn wrong(&mut self, text: impl FnOnce() -> String) {
        self.wrong += 1;
        self.say(text);
    }
}

/// Checks one viewer's tape of one channel.
pub(crate) fn check(law: Law, chronicle: &Chronicle, tape: &Tape) -> Breaches {
    let mut reader = Reader {
        law,
        chronicle,
        breaches: Breaches::default(),
        next: 0,
        seen: BTreeSet::new(),
        known: BTreeMap::new(),
        reactions: BTreeMap::new(),
        has_page: false,
        page_end: 0,
        floor: 0,
        gaps: Vec::new(),
        shown: BTreeSet::new(),
        paged_at: None,
    };
    let entries = tape.entries();
    for (index, (at, entry)) in entries.iter().enumerate() {
        let later = entries.get(index + 1..).unwrap_or_default();
        match entry {
            Entry::Page(rows, has_more) => {
                reader.on_page(rows, *has_more, later);
                reader.paged_at = Some(*at);
            }
            Entry::Older(rows) => {
                reader.on_older(rows);
                reader.paged_at = Some(*at);
            }
            Entry::Event(kind, message, number) => {
                let earlier = entries.get(..=index).unwrap_or_default();
                reader.on_event(*kind, *message, *number, earlier);
            }
            Entry::Reactions(message, count) => {
                reader.reactions.insert(*message, *count);
            }
            Entry::Recovered => {}
        }
    }
    reader.end(entries)
}

struct Reader<'a> {
    law: Law,
    chronicle: &'a Chronicle,
    breaches: Breaches,
    /// The act that is to come next.
    next: usize,
    /// The acts that came since the page.
    seen: BTreeSet<usize>,
    /// What the viewer shows, as far as it was told.
    known: BTreeMap<u64, u32>,
    /// How often what it shows was reacted to, unless never.
    reactions: BTreeMap<u64, u64>,
    has_page: bool,
    /// The act that the page was taken before.
    page_end: usize,
    /// From this message on everything is shown, as of the page; 0 where there is nothing older.
    floor: u64,
    /// The acts between where a viewer had been when it lost everything, and the page that it began anew with: pages have
    /// to show what was posted.
    gaps: Vec<Range<usize>>,
    /// All messages that were ever shown.
    shown: BTreeSet<u64>,
    /// When the last page came.
    paged_at: Option<Instant>,
}

impl Reader<'_> {
    fn on_page(&mut self, rows: &[Row], has_more: bool, later: &[(Instant, Entry)]) {
        let acts = self.chronicle.acts();
        // The page was taken somewhere before the first event that came after it.
        let until = later.iter().find_map(|(_, entry)| match entry {
            Entry::Event(kind, message, number) => self.chronicle.place(*kind, *message, *number),
            _ => None,
        });
        let until = until.unwrap_or(acts.len());
        let place = match self.law {
            // A page of a later moment means that what comes after it comes twice.
            Law::Exact => page_place(self.chronicle, rows, has_more, until)
                .or_else(|| page_place(self.chronicle, rows, has_more, acts.len())),
            // Edits of the gap may still be on their way.
            Law::Final => Some(self.after_newest(rows)),
        };
        if let Some(place) = place {
            if self.has_page {
                self.gaps.push(self.next.min(place)..place);
            }
            (self.next, self.page_end) = (place, place);
        } else {
            let count = rows.len();
            self.breaches
                .wrong(|| format!("a page of {count} is of no moment before act {until}"));
            (self.next, self.page_end) = (until, until);
        }
        self.has_page = true;
        self.seen.clear();
        self.known = rows.iter().copied().collect();
        self.reactions.clear();
        self.shown.extend(self.known.keys());
        let oldest = rows.first().map_or(0, |(id, _)| *id);
        self.floor = if has_more { oldest } else { 0 };
    }

    /// An older page goes on where the one before it began.
    fn on_older(&mut self, rows: &[Row]) {
        let ids = rows.iter().map(|(id, _)| *id);
        let is_in_order = ids
            .clone()
            .chain([self.floor])
            .is_sorted_by(|one, next| one < next);
        if !is_in_order {
            let floor = self.floor;
            self.breaches
                .wrong(|| format!("an older page of {rows:?} follows {floor}"));
        }
        for (id, number) in rows {
            let was = |kind| self.chronicle.place(kind, *id, *number).is_some();
            if !was(Kind::Create) && !was(Kind::Update) {
                self.breaches
                    .wrong(|| format!("an older page shows {id} n={number}, which never was"));
            }
            // What came live meanwhile is at least as new.
            self.known.entry(*id).or_insert(*number);
        }
        self.floor = ids.clone().next().unwrap_or_default();
        self.shown.extend(ids);
    }

    /// The act after the creation of a page's newest message.
    fn after_newest(&self, rows: &[Row]) -> usize {
        let acts = self.chronicle.acts().iter();
        let newest = rows.iter().map(|(id, _)| *id).max();
        let mut creations = acts.enumerate().filter(|(_, act)| act.kind == Kind::Create);
        let found = creations.find(|(_, act)| Some(act.message) == newest);
        found.map_or(0, |(place, _)| place + 1)
    }

    /// Everything that was posted while the viewer was away was shown by a page, unless it was gone by then.
    fn check_gaps(&mut self) {
        for acts in std::mem::take(&mut self.gaps) {
            for act in self.chronicle.acts().get(acts).unwrap_or_default() {
                let is_shown = self.shown.contains(&act.message);
                let was_gone = self.was_gone(act, self.paged_at);
                if act.kind == Kind::Create && !is_shown && !was_gone {
                    self.breaches.lost(act);
                }
            }
        }
    }

    /// Whether an act's message was being deleted by then.
    fn was_gone(&self, act: &Act, by: Option<Instant>) -> bool {
        let deletion = self.chronicle.deletion(act.message);
        let deletion = deletion.and_then(|place| self.chronicle.acts().get(place));
        let gone = deletion.zip(by);
        gone.is_some_and(|(deletion, by)| deletion.asked <= by)
    }

    fn on_event(&mut self, kind: Kind, message: u64, number: u32, earlier: &[(Instant, Entry)]) {
        if !self.has_page {
            self.breaches
                .wrong(|| "an event before any page".to_owned());
            return;
        }
        let place = match (self.law, kind) {
            // A creation of the gap has the text that the message had when it was read.
            (Law::Final, Kind::Create) => self.chronicle.creation(message),
            _ => self.chronicle.place(kind, message, number),
        };
        let Some(place) = place else {
            self.breaches
                .wrong(|| format!("{kind:?} {message} n={number} never was"));
            return;
        };
        match self.law {
            Law::Exact => self.on_exact(place, earlier),
            Law::Final => self.on_final(place, earlier),
        }
        self.reactions.remove(&message);
        if kind == Kind::Delete {
            self.known.remove(&message);
        } else {
            self.known.insert(message, number);
            self.shown.insert(message);
        }
    }

    fn on_exact(&mut self, place: usize, earlier: &[(Instant, Entry)]) {
        let Some(act) = self.chronicle.acts().get(place) else {
            return;
        };
        if place < self.next {
            if place < self.page_end || self.seen.contains(&place) {
                self.breaches.twice += 1;
                self.breaches
                    .say(|| format!("twice {:?} {} n={}", act.kind, act.message, act.number));
            } else {
                self.breaches.reordered += 1;
                self.breaches
                    .say(|| format!("late {:?} {} n={}", act.kind, act.message, act.number));
                // It was counted as lost when it was passed over.
                self.breaches.lost = self.breaches.lost.saturating_sub(1);
                self.seen.insert(place);
            }
            return;
        }
        self.pass(self.next..place, earlier);
        self.seen.insert(place);
        self.next = place + 1;
    }

    /// Acts that did not come: lost, unless a replay may leave them out.
    fn pass(&mut self, acts: Range<usize>, earlier: &[(Instant, Entry)]) {
        let all = self.chronicle.acts();
        let back = earlier.iter().rev().find_map(|(at, entry)| match entry {
            Entry::Recovered => Some(*at),
            _ => None,
        });
        for (place, act) in all.iter().enumerate().take(acts.end).skip(acts.start) {
            if !self.may_be_left_out(place, act, back) {
                self.breaches.lost(act);
            }
        }
    }

    /// Whether a replay for a viewer that was back at `back` may leave this out: its message was deleted before the
    /// viewer was back (a moment is allowed for the replay itself), and the viewer never had it, or it is no deletion.
    fn may_be_left_out(&self, place: usize, act: &Act, back: Option<Instant>) -> bool {
        let (Some(back), Some(gone)) = (back, self.chronicle.deletion(act.message)) else {
            return false;
        };
        let deletion = self.chronicle.acts().get(gone);
        let was_gone = deletion.is_some_and(|deletion| deletion.asked <= back + REPLAY);
        let is_deletion = place == gone;
        was_gone
            && act.asked <= back + REPLAY
            && !(is_deletion && self.known.contains_key(&act.message))
    }

    fn on_final(&mut self, place: usize, earlier: &[(Instant, Entry)]) {
        let acts = self.chronicle.acts();
        let Some(act) = acts.get(place).filter(|act| act.kind == Kind::Create) else {
            return;
        };
        if self.seen.contains(&place) || place < self.page_end {
            self.breaches.twice += 1;
            self.breaches
                .say(|| format!("twice Create {} n={}", act.message, act.number));
            return;
        }
        if place < self.next {
            self.breaches.reordered += 1;
            self.breaches
                .say(|| format!("late Create {} n={}", act.message, act.number));
            self.breaches.lost = self.breaches.lost.saturating_sub(1);
        } else {
            self.pass_creations(self.next..place, earlier);
            self.next = place + 1;
        }
        self.seen.insert(place);
    }

    /// Creations that did not come: lost, unless Discord had deleted them before anybody could ask, which was before the
    /// next one came.
    fn pass_creations(&mut self, acts: Range<usize>, earlier: &[(Instant, Entry)]) {
        let by = earlier.last().map(|(at, _)| *at);
        for act in self.chronicle.acts().get(acts).unwrap_or_default() {
            if act.kind == Kind::Create && !self.was_gone(act, by) {
                self.breaches.lost(act);
            }
        }
    }

    fn end(mut self, entries: &[(Instant, Entry)]) -> Breaches {
        self.check_gaps();
        let all = self.chronicle.acts().len();
        match self.law {
            Law::Exact => self.pass(self.next..all, entries),
            Law::Final => self.pass_creations(self.next..all, entries),
        }
        // Where something is missing, what it would have led to is too.
        if self.breaches.is_none() {
            self.check_states();
        }
        self.breaches
    }

    /// What the viewer shows is as Discord has it, and all of it.
    fn check_states(&mut self) {
        let state = self.chronicle.state(usize::MAX);
        let to_be_shown = state.range(self.floor..).map(|(id, _)| id);
        let all: BTreeSet<u64> = self.known.keys().chain(to_be_shown).copied().collect();
        for message in all {
            let (ours, right) = (self.known.get(&message), state.get(&message));
            if ours != right {
                self.breaches
                    .wrong(|| format!("{message} shows {ours:?}, Discord has {right:?}"));
            }
            let ours = self.reactions.get(&message).copied().unwrap_or_default();
            let right = self.chronicle.reactions(message);
            if ours != right {
                self.breaches
                    .wrong(|| format!("{message} shows {ours} reactions, Discord has {right}"));
            }
        }
    }
}

/// A replay is made within this time after the viewer is back.
const REPLAY: std::time::Duration = std::time::Duration::from_secs(5);

/// After how many acts the channel looked like this page; the latest of the possible moments that is not after `until`.
fn page_place(chronicle: &Chronicle, rows: &[Row], has_more: bool, until: usize) -> Option<usize> {
    let mut state = BTreeMap::new();
    let mut found = None;
    let shows = |state: &BTreeMap<u64, u32>| {
        let newest = state.iter().rev().take(rows.len());
        let is_same = newest.eq(rows.iter().rev().map(|(id, number)| (id, number)));
        is_same && (has_more || state.len() == rows.len())
    };
    let acts = chronicle.acts();
    for place in 0..=until.min(acts.len()) {
        if shows(&state) {
            found = Some(place);
        }
        if let Some(act) = acts.get(place) {
            act.apply(&mut state);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Acts a second apart: (kind, message), numbered from 1.
    fn chronicle(began: Instant, acts: &[(Kind, u64)]) -> Chronicle {
        let mut chronicle = Chronicle::default();
        for ((kind, message), number) in acts.iter().zip(1..) {
            let at = began + Duration::from_secs(number.into());
            chronicle.push(Act {
                kind: *kind,
                message: *message,
                number,
                asked: at,
                done: at,
            });
        }
        chronicle
    }

    use Kind::{Create, Delete, Update};

    /// Six acts on three messages, of which the second goes.
    const ACTS: [(Kind, u64); 6] = [
        (Create, 10),
        (Create, 20),
        (Update, 10),
        (Delete, 20),
        (Create, 30),
        (Update, 30),
    ];

    fn event(number: usize) -> Entry {
        let (kind, message) = ACTS[number - 1];
        let number = if kind == Delete {
            0
        } else {
            u32::try_from(number).unwrap()
        };
        Entry::Event(kind, message, number)
    }

    /// What came of a tape whose entries came so many seconds after the beginning: lost, twice, reordered, wrong.
    fn checked(law: Law, entries: Vec<(u64, Entry)>) -> [usize; 4] {
        checked_with(law, entries, &[])
    }

    /// The same where messages have so many reactions in the end.
    fn checked_with(law: Law, entries: Vec<(u64, Entry)>, reactions: &[(u64, u64)]) -> [usize; 4] {
        let began = Instant::now();
        let entries = entries.into_iter();
        let entries = entries.map(|(at, entry)| (began + Duration::from_secs(at), entry));
        let tape = Tape::of(entries.collect());
        let mut chronicle = chronicle(began, &ACTS);
        for (message, count) in reactions {
            chronicle.react(*message, *count);
        }
        let breaches = check(law, &chronicle, &tape);
        [
            breaches.lost,
            breaches.twice,
            breaches.reordered,
            breaches.wrong,
        ]
    }

    fn page(rows: &[Row]) -> (u64, Entry) {
        (0, Entry::Page(rows.to_vec(), false))
    }

    fn live(numbers: &[usize]) -> Vec<(u64, Entry)> {
        numbers.iter().map(|number| (7, event(*number))).collect()
    }

    fn tape(first: (u64, Entry), numbers: &[usize]) -> Vec<(u64, Entry)> {
        let mut entries = vec![first];
        entries.extend(live(numbers));
        entries
    }

    #[test]
    fn what_comes_once_and_in_order_after_a_page_is_right() {
        let table = [
            tape(page(&[]), &[1, 2, 3, 4, 5, 6]),
            tape(page(&[(10, 1), (20, 2)]), &[3, 4, 5, 6]),
            tape(page(&[(10, 3), (30, 6)]), &[]),
        ];
        for entries in table {
            assert_eq!(checked(Law::Exact, entries.clone()), [0; 4], "{entries:?}");
        }
    }

    #[test]
    fn each_breach_is_found() {
        let begun = || page(&[(10, 1)]);
        let table = [
            (tape(begun(), &[3, 4, 5, 6]), [1, 0, 0, 0]),
            (tape(begun(), &[2, 3, 4, 5]), [1, 0, 0, 0]),
            (tape(begun(), &[2, 3, 3, 4, 5, 6]), [0, 1, 0, 0]),
            (tape(begun(), &[1, 2, 3, 4, 5, 6]), [0, 1, 0, 0]),
            (tape(begun(), &[2, 4, 3, 5, 6]), [0, 0, 1, 0]),
            (tape(page(&[(10, 2)]), &[2, 3, 4, 5, 6]), [0, 0, 0, 1]),
            (tape(page(&[(20, 2)]), &[3, 4, 5, 6]), [0, 0, 0, 1]),
        ];
        for (entries, breaches) in table {
            assert_eq!(
                checked(Law::Exact, entries.clone()),
                breaches,
                "{entries:?}"
            );
        }
        let mut strange = tape(begun(), &[2, 3, 4, 5, 6]);
        strange.push((8, Entry::Event(Create, 77, 9)));
        assert_eq!(checked(Law::Exact, strange), [0, 0, 0, 1]);
    }

    #[test]
    fn only_a_replay_may_leave_out_what_was_deleted_before_it() {
        let begun = page(&[(10, 1)]);
        // Back after the deletion (the fourth second): the message that came and went need not be told.
        let mut entries = vec![begun.clone(), (5, Entry::Recovered)];
        entries.extend(live(&[3, 5, 6]));
        assert_eq!(checked(Law::Exact, entries), [0; 4]);
        // Who had it is to be told that it is gone.
        let mut entries = vec![page(&[(10, 1), (20, 2)]), (5, Entry::Recovered)];
        entries.extend(live(&[3, 5, 6]));
        assert_eq!(checked(Law::Exact, entries), [1, 0, 0, 0]);
        // What was not deleted is to be told in any case.
        let mut entries = vec![begun, (9, Entry::Recovered)];
        entries.extend(live(&[3, 6]));
        assert_eq!(checked(Law::Exact, entries), [1, 0, 0, 0]);
    }

    #[test]
    fn who_begins_anew_pages_back_to_what_was_there() {
        let first = page(&[(10, 1)]);
        let second = |rows: &[Row]| (7, Entry::Page(rows.to_vec(), true));
        let whole = vec![first.clone(), second(&[(10, 3), (30, 6)])];
        assert_eq!(checked(Law::Exact, whole), [0; 4]);
        let paged = [
            first.clone(),
            second(&[(30, 6)]),
            (7, Entry::Older(vec![(10, 3)])),
        ];
        assert_eq!(checked(Law::Exact, paged.to_vec()), [0; 4]);
        // Nothing of the first page is missed: it was there before.
        let short = vec![first, second(&[(30, 6)])];
        assert_eq!(checked(Law::Exact, short), [0; 4]);
        let lost = vec![page(&[]), second(&[(30, 6)])];
        assert_eq!(checked(Law::Exact, lost), [1, 0, 0, 0]);
        let older = |rows: &[Row]| (7, Entry::Older(rows.to_vec()));
        let table = [
            // Another text than was ever there; one that is out of date; one that the page has already; none at all.
            older(&[(10, 2)]),
            older(&[(10, 1)]),
            older(&[(10, 3), (30, 6)]),
            older(&[]),
        ];
        for (place, older) in table.into_iter().enumerate() {
            let entries = vec![page(&[(10, 1)]), second(&[(30, 6)]), older];
            let [lost, twice, reordered, wrong] = checked(Law::Exact, entries);
            assert_eq!([lost, twice, reordered], [0; 3], "{place}");
            assert!(wrong > 0, "{place}");
        }
    }

    #[test]
    fn reactions_end_as_they_are_in_discord() {
        let react = |count| (8, Entry::Reactions(10, count));
        let whole = || tape(page(&[(10, 1)]), &[2, 3, 4, 5, 6]);
        let with = |more: &[(u64, Entry)]| [whole(), more.to_vec()].concat();
        assert_eq!(checked_with(Law::Exact, whole(), &[(10, 1)]), [0, 0, 0, 1]);
        let table = [
            (with(&[react(1)]), 1, 0),
            (with(&[react(1), react(0)]), 0, 0),
            (with(&[react(1)]), 0, 1),
            (with(&[react(1), react(0)]), 1, 1),
        ];
        for (entries, right, wrong) in table {
            let found = checked_with(Law::Exact, entries.clone(), &[(10, right)]);
            assert_eq!(found, [0, 0, 0, wrong], "{entries:?}");
        }
    }

    #[test]
    fn after_a_refused_resume_creations_and_final_states_count() {
        let table = [
            // The edit of the gap came as one with its final text; what came and went was never seen.
            (tape(page(&[(10, 1)]), &[3, 5, 6]), [0; 4]),
            (tape(page(&[(10, 1)]), &[3, 6]), [1, 0, 0, 0]),
            (tape(page(&[(10, 1)]), &[5, 6]), [0, 0, 0, 1]),
            (tape(page(&[(10, 1)]), &[3, 5, 5, 6]), [0, 1, 0, 0]),
            // The message of the gap comes as it was when it was read.
            (
                vec![
                    page(&[(10, 1)]),
                    live(&[3])[0].clone(),
                    (7, Entry::Event(Create, 30, 6)),
                ],
                [0; 4],
            ),
            // A message is missing from the middle of a page.
            (tape(page(&[(20, 2)]), &[4, 5, 6]), [0, 0, 0, 1]),
            // It was deleted long after the next one had come.
            (
                vec![
                    page(&[(10, 1)]),
                    live(&[3])[0].clone(),
                    (3, Entry::Event(Create, 30, 6)),
                ],
                [1, 0, 0, 0],
            ),
            // A deletion that is not told leaves what is gone.
            (tape(page(&[(10, 1), (20, 2)]), &[3, 5, 6]), [0, 0, 0, 1]),
        ];
        for (entries, breaches) in table {
            assert_eq!(
                checked(Law::Final, entries.clone()),
                breaches,
                "{entries:?}"
            );
        }
    }
}
