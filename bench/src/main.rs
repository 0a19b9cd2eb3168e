//! Compares connection pools in one run: the same five connections with different clients.
//!
//! Every client uses the same server through the same limiter. Rounds alternate, so that load by other processes
//! affects all of them; the best round of each counts, and the worst is shown.

mod clients;
mod fresh;
mod goodput;
mod overload;
mod reads;
mod refused;
mod report;
mod sample; // sample
mod tls;

use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    // sample begins
    if let Some(code) = sample::run_as_service() {
        return code;
    }
    // sample ends
    measure();
    ExitCode::SUCCESS
}

#[tokio::main]
async fn measure() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let runs = |names: &[&str]| wanted.is_empty() || wanted.iter().any(|word| names.contains(&word.as_str()));
    // `bench reads Berth pgbench` runs only these clients.
    if runs(&["reads"]) {
        for latency in [Duration::ZERO, Duration::from_millis(2)] {
            reads::run(latency, &wanted).await;
        }
    }
    if runs(&["fresh"]) {
        fresh::run().await;
    }
    if runs(&["refused"]) {
        refused::run().await;
    }
    sample::run(runs).await; // sample
    if runs(&["overload", "storm"]) {
        overload::run().await;
    }
    if runs(&["goodput", "overload"]) {
        goodput::run().await;
    }
    if runs(&["tls"]) {
        tls::run().await;
    }
}
