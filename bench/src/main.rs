//! Side by side in one run: what the same five connections do in different hands.
//!
//! Every contender talks to the same server through the same limiter. Rounds alternate, so that a noisy
//! moment of the machine falls on all of them; the best round of each counts, and the spread is shown.

mod contenders;
mod fresh;
mod observe; // sample
mod reads;
mod refused;
mod report;
mod storm;
mod tls;

use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    // sample begins
    if observe::serves() {
        return api::command::run();
    }
    // sample ends
    measure();
    ExitCode::SUCCESS
}

#[tokio::main]
async fn measure() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let runs = |name: &str| wanted.is_empty() || wanted.iter().any(|word| word == name);
    // `bench reads Berth pgbench` runs these contenders alone.
    if runs("reads") {
        for latency in [Duration::ZERO, Duration::from_millis(2)] {
            reads::run(latency, &wanted).await;
        }
    }
    if runs("fresh") {
        fresh::run().await;
    }
    if runs("refused") {
        refused::run().await;
    }
    // sample begins
    if runs("observe") {
        observe::run().await;
    }
    // sample ends
    if runs("storm") {
        storm::run().await;
    }
    if runs("tls") {
        tls::run().await;
    }
}
