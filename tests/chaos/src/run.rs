//! One run: what there is, what goes wrong, and what came of it.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{sleep, sleep_until};

use crate::fault::Fault;
use crate::law::{Breaches, Law};
use crate::posts::Pace;
use crate::scene::Scene;
use crate::simulation::Sequence;
use crate::stage::Home;
use crate::tape::Returns;

/// How much there is of everything.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the services stand on.
    pub home: Home,
    /// Fanouts.
    pub fanouts: usize,
    /// Viewers, spread over the fanouts and the ways to watch.
    pub viewers: usize,
    /// Channels in which people post all the time.
    pub busy: usize,
    /// Channels that are quiet but for one message.
    pub quiet: usize,
    /// What is posted.
    pub pace: Pace,
    /// Settings of the services, beside the usual ones.
    pub settings: Vec<(String, String)>,
    /// How long people post before the first fault, and after the last one.
    pub calm: Duration,
    /// Bounds of time are this many times what is promised: unoptimised programs beside other tests need more.
    pub patience: u32,
}

impl Plan {
    /// The whole suite's: 500 viewers on three fanouts, 20 channels, 200 acts a second.
    pub fn whole(home: Home) -> Self {
        Self {
            home,
            fanouts: 3,
            viewers: 500,
            busy: 20,
            quiet: 4,
            pace: Pace {
                rate: 200,
                bytes: 100,
                seed: 1,
            },
            settings: Vec::new(),
            calm: Duration::from_secs(5),
            patience: 1,
        }
    }

    /// What a seed's sequence happens to.
    pub fn drawn(home: Home) -> Self {
        Self {
            viewers: 60,
            calm: Duration::from_secs(2),
            pace: Pace {
                rate: 100,
                ..Self::whole(home).pace
            },
            ..Self::whole(home)
        }
    }

    /// A small one, of unoptimised programs beside other tests.
    pub fn small(home: Home) -> Self {
        Self {
            viewers: 30,
            busy: 5,
            quiet: 2,
            pace: Pace {
                rate: 40,
                ..Self::whole(home).pace
            },
            calm: Duration::from_secs(2),
            patience: 4,
            ..Self::whole(home)
        }
    }

    /// Runs it, while all these go wrong, one after the other.
    ///
    /// # Errors
    /// The run itself failed: something could not be started or asked.
    pub async fn run(&self, faults: &[Fault]) -> anyhow::Result<Run> {
        let law = Law::of(faults.iter().copied());
        let mut scene = Scene::begin(self, faults).await?;
        let (mut moments, mut unseen) = (Vec::new(), Vec::new());
        for fault in faults {
            sleep(fault.presupposes()).await;
            let before = scene.counted(*fault).await?;
            let moment = scene.suffer(*fault).await;
            let moment = moment.with_context(|| scene.stage.output())?;
            if let Some(moment) = moment {
                // Looking costs: nobody does while it is measured.
                sleep_until(moment.at + moment.within).await;
            }
            // What was broken is whole again before the next goes wrong.
            let settled = scene.stage.is_settled().await;
            settled.with_context(|| fault.to_string())?;
            scene.is_live().await?;
            moments.extend(moment);
            if before.is_some() && scene.counted(*fault).await? <= before {
                unseen.push(format!("{fault} did not happen, or nobody noticed"));
            }
        }
        let mut run = scene.end(law, &moments).await?;
        run.problems.extend(unseen);
        // Where programs are not optimised, a fanout may be late enough to close its rooms.
        if self.patience == 1 {
            run.on_cuts(faults);
        }
        Ok(run)
    }

    /// Runs it, while this sequence happens.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_sequence(&self, sequence: &Sequence) -> anyhow::Result<Run> {
        let faults: Vec<Fault> = sequence.faults().collect();
        let mut scene = Scene::begin(self, &faults).await?;
        let happened = sequence.happen(&mut scene).await;
        happened.with_context(|| scene.stage.output())?;
        scene.stage.is_settled().await?;
        scene.is_live().await?;
        scene.end(sequence.law(), &[]).await
    }
}

/// What came of a run.
#[derive(Debug)]
pub struct Run {
    /// The law that was to hold, and how it was broken.
    pub law: Law,
    /// How often.
    pub breaches: Breaches,
    /// What else is wrong.
    pub problems: Vec<String>,
    /// Acts that were done.
    pub acts: usize,
    /// Entries on all tapes.
    pub entries: usize,
    /// Of all viewers.
    pub returns: Returns,
    /// How long after each moment everybody was live again.
    pub live_again: Vec<Duration>,
    /// How late the messages of quiet channels were, at worst.
    pub quiet: Duration,
    /// What the services wrote.
    pub output: String,
}

impl Run {
    /// Viewers were to be cut off by these, or not.
    fn on_cuts(&mut self, faults: &[Fault]) {
        let Returns { cut, anew, .. } = self.returns;
        let is_all = |wanted| faults.iter().all(|fault| fault.cuts_viewers() == wanted);
        if is_all(Some(true)) && (cut == 0 || anew > 0) {
            self.problems
                .push(format!("{cut} viewers were cut off, {anew} began anew"));
        }
        if is_all(Some(false)) && cut > 0 {
            self.problems.push(format!("{cut} viewers were cut off"));
        }
    }

    /// Everything held.
    pub fn is_good(&self) -> bool {
        self.breaches.is_none() && self.problems.is_empty()
    }

    /// An error if something did not hold.
    ///
    /// # Errors
    /// Something did not hold.
    pub fn good(self) -> anyhow::Result<Self> {
        let Self {
            breaches, problems, ..
        } = &self;
        anyhow::ensure!(
            self.is_good(),
            "{breaches:#?}\n{problems:#?}\n{}",
            self.output
        );
        Ok(self)
    }
}
