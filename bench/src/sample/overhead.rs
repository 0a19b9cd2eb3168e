//! The cost of observability: the real service with logs, metrics and the pool page on, against all of it off.
//!
//! Each variant is a process of its own, because logs belong to a process. All use one server, through a limiter
//! each, and the metrics and the pool page of each are read once a round.

use std::time::Duration;

use berth_testkit::{Cluster, Limiter, LimiterOptions};

use super::service::{Client, Kind, Round, Service, Setting, Writes, log_in, processor_time};

const CLIENTS: usize = 8;
const ROUNDS: usize = 240;
const ROUND: Duration = Duration::from_millis(250);

/// The last variant equals the first; their difference is the error of the measurement.
const VARIANTS: [(&str, &[Setting]); 4] = [
    ("all off", &[LOG_OFF, MONITOR_OFF, METRICS_OFF]),
    ("all on", &[]),
    ("and a line each", &[LOG_ALL]),
    ("all off again", &[LOG_OFF, MONITOR_OFF, METRICS_OFF]),
];
const LOG_OFF: Setting = ("LOG_LEVEL", "off");
/// A log line for each successful request, which production omits.
const LOG_ALL: Setting = ("LOG_LEVEL", "info");
const MONITOR_OFF: Setting = ("APP__MONITOR__ENABLED", "false");
const METRICS_OFF: Setting = ("APP__METRICS__ENABLED", "false");

pub(crate) async fn run() {
    let database = Cluster::shared().await.database().await;
    let mut services = Vec::new();
    for (name, settings) in VARIANTS {
        let limiter = Limiter::start(&database, LimiterOptions::limit(15));
        services.push((name, Service::start(Kind::Berth, limiter, settings).await));
    }
    log_in(&database).await;
    let conversation = Client::new(services[0].1.port).await.post().await;
    for (title, writes) in [
        ("GET of one conversation", Writes::None),
        ("four GETs and a POST", Writes::OneInFive),
    ] {
        let mut results = [const { Vec::new() }; VARIANTS.len()];
        for round in 0..ROUNDS {
            // Each variant is first in turn, because the first one runs on a machine that the others left busy.
            for offset in 0..services.len() {
                let at = (round + offset) % services.len();
                let service = &services[at].1;
                let round = service.round(&conversation, CLIENTS, ROUND, writes);
                let (round, ()) = tokio::join!(round, observe(service.port));
                results[at].push(round);
            }
        }
        println!("\noverhead: {title}, {CLIENTS} clients, {ROUNDS} rounds in turn");
        for ((name, _), rounds) in services.iter().zip(&results) {
            report(name, rounds, &results[0]);
        }
    }
}

/// Reads what is measured, as a scraper and an operator do.
async fn observe(port: u16) {
    let mut observer = Client::new(port).await;
    observer.get("/metrics").await;
    observer.get("/debug/db-pool").await;
}

/// Prints the mean of all rounds, and the median of the ratios to the reference's round of the same number: load by
/// other processes affects both.
fn report(name: &str, rounds: &[Round], reference: &[Round]) {
    let rates = |rounds: &[Round]| rounds.iter().map(Round::rate).collect::<Vec<_>>();
    let mean = |rounds| rates(rounds).iter().sum::<f64>() / ROUNDS as f64;
    let pairs = rounds.iter().zip(reference);
    let ratio = median(pairs.map(|(ours, theirs)| ours.rate() / theirs.rate()).collect());
    println!(
        "  {name:<27} mean {:>6.0} req/s ({:.3}), median {:>6.0} ({ratio:.3}), {:>4.0} µs of processor time a request",
        mean(rounds),
        mean(rounds) / mean(reference),
        median(rates(rounds)),
        processor_time(rounds),
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
