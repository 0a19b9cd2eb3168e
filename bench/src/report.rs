//! Figures as a table.

use std::time::Duration;

/// Requests a second of several rounds.
pub(crate) struct Rate {
    pub(crate) name: &'static str,
    pub(crate) rounds: Vec<f64>,
}

impl Rate {
    pub(crate) fn best(&self) -> f64 {
        self.rounds.iter().copied().fold(0.0, f64::max)
    }

    fn worst(&self) -> f64 {
        self.rounds.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

pub(crate) fn rates(title: &str, rates: &[Rate], reference: &str) {
    println!("\n{title}");
    let ceiling = rates
        .iter()
        .find(|rate| rate.name == reference)
        .map_or(f64::NAN, Rate::best);
    for rate in rates {
        println!(
            "  {:<28} {:>9.0} req/s   worst round {:>9.0}   {:>5.2} of {reference}",
            rate.name,
            rate.best(),
            rate.worst(),
            rate.best() / ceiling
        );
    }
}

/// The given part of the sorted durations, in milliseconds.
pub(crate) fn percentile(times: &mut [Duration], part: f64) -> f64 {
    times.sort_unstable();
    let at = ((times.len() as f64 - 1.0) * part).round() as usize;
    times.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
}
