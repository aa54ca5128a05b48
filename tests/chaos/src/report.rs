//! The table of a whole suite: one line a run, with what is wrong below it.

use crate::run::Run;

/// The heading of the table.
pub const HEADING: &str = "run                                                acts   seen lost twice reord wrong  cut recov  anew  live again, quiet";

/// Problems that are told of a run.
const PROBLEMS_MAX: usize = 12;

/// One run in one line, and what is wrong below it.
pub fn line(name: &str, run: &Run) -> String {
    let (breaches, returns) = (&run.breaches, run.returns);
    let lives: Vec<String> = run
        .live_again
        .iter()
        .map(|live| format!("{:.2} s", live.as_secs_f64()))
        .collect();
    let lives = lives.join(" ");
    let line = format!(
        "{name:48} {:6} {:6} {:4} {:5} {:5} {:5} {:4} {:5} {:5}  {lives} {} ms",
        run.acts,
        run.entries,
        breaches.lost,
        breaches.twice,
        breaches.reordered,
        breaches.wrong,
        returns.cut,
        returns.recovered,
        returns.anew,
        run.quiet.as_millis(),
    );
    let told = run
        .problems
        .iter()
        .take(PROBLEMS_MAX)
        .chain(&breaches.examples);
    let mut rows = vec![line];
    rows.extend(told.map(|text| format!("    {text}")));
    rows.join("\n")
}
