//! Sequences of faults that nobody thought of, drawn from a seed: the same seed draws the same sequence.
//!
//! Up to three faults, each with its own beginning and end, so that they overlap: what is broken while something else
//! is being mended is what nobody writes a test for.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{Instant, sleep_until};

use crate::fault::{Broken, Fault, LINKS, Whose, Wire};
use crate::law::Law;
use crate::scene::Scene;
use crate::stage::Home;

/// Faults of one sequence, at the most.
const FAULTS_MAX: usize = 3;
/// A fault begins within this time.
const BEGINS_WITHIN_MS: u64 = 4_000;
/// And lasts so long.
const LASTS_MS: std::ops::Range<u64> = 200..7_000;

/// A sequence.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// What the services stand on.
    pub home: Home,
    /// When each begins, after the first moment, and what it is.
    faults: Vec<(Duration, Fault)>,
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.home)?;
        for (at, fault) in &self.faults {
            write!(f, ", {:.1} s {fault}", at.as_secs_f64())?;
        }
        Ok(())
    }
}

impl Sequence {
    /// What this seed draws.
    pub fn draw(seed: u64) -> Self {
        let mut chance = StdRng::seed_from_u64(seed);
        let home = match chance.random_range(0..10) {
            0..6 => Home::MariaDb,
            6..8 => Home::Postgres,
            _ => Home::Cluster,
        };
        let count = chance.random_range(1..=FAULTS_MAX);
        let mut faults: Vec<(Duration, Fault)> = (0..count)
            .map(|_| {
                let at = chance.random_range(0..BEGINS_WITHIN_MS);
                (Duration::from_millis(at), draw_one(&mut chance, home))
            })
            .collect();
        faults.sort_by_key(|(at, _)| *at);
        Self { home, faults }
    }

    /// What is to hold.
    pub fn law(&self) -> Law {
        Law::of(self.faults())
    }

    /// What goes wrong.
    pub(crate) fn faults(&self) -> impl Iterator<Item = Fault> {
        self.faults.iter().map(|(_, fault)| *fault)
    }

    /// Lets all of it happen; once everything is wrong that will be, [strangers](Scene::meet) come.
    pub(crate) async fn happen(&self, scene: &mut Scene) -> anyhow::Result<()> {
        let began = Instant::now();
        let mut broken: Vec<(Instant, Broken)> = Vec::new();
        let mut next = self.faults.iter().peekable();
        loop {
            let begins = next.peek().map(|(at, _)| began + *at);
            let soonest = (0..broken.len()).min_by_key(|place| broken[*place].0);
            let ends = soonest.map(|place| broken[place].0);
            match (begins, ends, soonest) {
                (Some(begins), ends, _) if ends.is_none_or(|ends| begins <= ends) => {
                    sleep_until(begins).await;
                    if let Some((_, fault)) = next.next() {
                        let struck = fault.strike(&mut scene.stage).await?;
                        broken.push((Instant::now() + fault.lasts(), struck));
                    }
                    if next.peek().is_none() {
                        scene.meet().await?;
                    }
                }
                (_, Some(ends), Some(place)) => {
                    sleep_until(ends).await;
                    let (_, struck) = broken.swap_remove(place);
                    struck.mend(&mut scene.stage).await?;
                }
                _ => return Ok(()),
            }
        }
    }
}

fn draw_one(chance: &mut StdRng, home: Home) -> Fault {
    let long = Duration::from_millis(chance.random_range(LASTS_MS));
    match chance.random_range(0..17) {
        0 | 1 => Fault::LeaderKilled(long),
        2 => Fault::LeaderRestarted,
        3 => Fault::LeaderHalted(long),
        4 | 5 => Fault::FanoutKilled(long),
        6 | 7 => Fault::NatsKilled(long),
        8 => Fault::RedisKilled(long),
        9 => Fault::SqlKilled(long),
        10 => Fault::Reconnect,
        11 => Fault::SessionInterrupted,
        12 => Fault::SessionGone(long.min(Duration::from_secs(3))),
        13 => Fault::Reset,
        14 if home == Home::Cluster => Fault::StepDowns(chance.random_range(1..6)),
        kind => {
            let (whose, wire) = draw_link(chance, home);
            if kind == 15 {
                Fault::Stalled(whose, wire, long)
            } else {
                Fault::Cut(whose, wire, long)
            }
        }
    }
}

fn draw_link(chance: &mut StdRng, home: Home) -> (Whose, Wire) {
    let count = if home == Home::Cluster {
        6
    } else {
        LINKS.len()
    };
    LINKS[chance.random_range(0..count)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_sequence_again_and_others_draw_others() {
        let told: Vec<String> = (0..50)
            .map(|seed| Sequence::draw(seed).to_string())
            .collect();
        let again: Vec<String> = (0..50)
            .map(|seed| Sequence::draw(seed).to_string())
            .collect();
        assert_eq!(told, again);
        let different: std::collections::BTreeSet<&String> = told.iter().collect();
        assert!(different.len() > 45);
    }
}
