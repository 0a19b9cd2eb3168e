//! The cost of TLS: for a fresh connection, where sqlx's handshake waits for delayed acknowledgements and Berth's
//! relay avoids that, and for lookups over idle connections.

use std::time::{Duration, Instant};

use berth_database::Strategy;
use sqlx::Connection as _;

use crate::clients::{Berth, Client, SQL};
use crate::reads::{CALLERS, prepared, rate};
use crate::report::percentile;

const CONNECTIONS: usize = 100;
const ROUNDS: usize = 3;

pub(crate) async fn run() {
    let server = prepared().await;
    let url = |mode: &str| server.url_with(server.port(), &format!("sslmode={mode}"));
    let wires = [("without TLS", url("disable")), ("with TLS", url("require"))];
    println!("\ntls: one fresh connection and one lookup, {CONNECTIONS} times one after another, no limiter");
    for (wire, url) in &wires {
        report("sqlx", wire, &mut fresh_sqlx(url).await);
        report("Berth", wire, &mut fresh_berth(url).await);
    }
    println!("\ntls: lookups over idle connections, {CALLERS} callers, the best of {ROUNDS} rounds");
    for (wire, url) in &wires {
        let mut best = 0_f64;
        for _ in 0..ROUNDS {
            best = best.max(rate(Berth::new(url, |_| {})).await);
        }
        println!("  {wire:<12} Berth  {best:>6.0} req/s");
    }
}

fn report(name: &str, wire: &str, times: &mut [Duration]) {
    let (half, most) = (percentile(times, 0.5), percentile(times, 0.9));
    println!("  {wire:<12} {name:<6} p50 {half:>6.2} ms, p90 {most:>6.2} ms");
}

async fn fresh_sqlx(url: &str) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..CONNECTIONS {
        let begun = Instant::now();
        let mut connection = sqlx::PgConnection::connect(url).await.expect("it connects");
        let row = sqlx::query(SQL).bind(1).fetch_one(&mut connection).await;
        row.expect("a lookup works");
        times.push(begun.elapsed());
        connection.close().await.expect("it closes");
    }
    times
}

async fn fresh_berth(url: &str) -> Vec<Duration> {
    let berth = Berth::new(url, |settings| settings.strategy = Strategy::Fresh);
    let mut times = Vec::new();
    for _ in 0..CONNECTIONS {
        let begun = Instant::now();
        berth.find(1).await.expect("a lookup works");
        times.push(begun.elapsed());
    }
    times
}
