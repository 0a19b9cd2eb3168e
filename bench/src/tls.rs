//! What a fresh connection costs with TLS and without.

use std::time::{Duration, Instant};

use database::Strategy;
use testkit::{Cluster, TestDatabase};

use crate::contenders::{Berth, Contender};
use crate::reads::prepared;
use crate::report::percentile;

const CONNECTIONS: usize = 100;

pub(crate) async fn run() {
    println!("\ntls: one fresh connection and one lookup, {CONNECTIONS} times one after another, no limiter");
    let server = prepared().await;
    let _cluster = Cluster::shared().await;
    for (name, mode) in [("without TLS", "disable"), ("with TLS", "require")] {
        let mut times = fresh(&server, mode).await;
        println!(
            "  {name:<12} p50 {:>6.2} ms, p90 {:>6.2} ms",
            percentile(&mut times, 0.5),
            percentile(&mut times, 0.9)
        );
    }
}

async fn fresh(server: &TestDatabase, mode: &str) -> Vec<Duration> {
    let url = server.url_with(server.port(), &format!("sslmode={mode}"));
    let berth = Berth::new(&url, |settings| settings.strategy = Strategy::Fresh);
    let mut times = Vec::new();
    for _ in 0..CONNECTIONS {
        let begun = Instant::now();
        berth.find(1).await.expect("a lookup works");
        times.push(begun.elapsed());
    }
    times
}
