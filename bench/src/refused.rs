//! The cost of a refusal: latency with a share of five and three connections admitted, against latency with a share
//! of three.

use std::time::{Duration, Instant};

use berth_testkit::{Limiter, LimiterOptions};

use crate::clients::{Berth, Client};
use crate::reads::prepared;
use crate::report::percentile;

const CALLERS: usize = 16;
const TIME: Duration = Duration::from_secs(4);

pub(crate) async fn run() {
    println!("\nrefused: {CALLERS} callers, 2 ms each way, three connections admitted");
    let server = prepared().await;
    for round in 1..=2 {
        for (name, share) in [
            ("a share of three, never refused", 3),
            ("a share of five, two refused", 5),
        ] {
            let limiter = Limiter::start(
                &server,
                LimiterOptions::limit(3).latency(Duration::from_millis(2)),
            );
            let berth = Berth::new(&limiter.url(), |settings| {
                (settings.limit, settings.pool_size) = (share, share)
            });
            let mut times = latencies(&berth).await;
            let refused = limiter.counts().refused;
            println!(
                "  round {round}, {name:<32} p50 {:>6.2} ms, p99 {:>6.2} ms, {refused} refused",
                percentile(&mut times, 0.5),
                percentile(&mut times, 0.99)
            );
        }
    }
}

async fn latencies(berth: &Berth) -> Vec<Duration> {
    let stop = Instant::now() + TIME;
    let tasks: Vec<_> = (0..CALLERS)
        .map(|_| {
            let berth = berth.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                while Instant::now() < stop {
                    let begun = Instant::now();
                    berth.find(1).await.expect("no request fails");
                    times.push(begun.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("no caller panics"));
    }
    times
}
