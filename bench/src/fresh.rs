//! One connection for each request, within a limit of 15: failures, and the cost of connecting itself.

use std::sync::Arc;
use std::time::Instant;

use berth_database::Strategy;
use berth_testkit::{Limiter, LimiterOptions};
use tokio::sync::Semaphore;

use crate::clients::{Berth, Client};
use crate::reads::prepared;

const REQUESTS: usize = 1000;
const LIMIT: u32 = 15;

pub(crate) async fn run() {
    println!("\nfresh: {REQUESTS} requests, a new connection each, limit {LIMIT}");
    let server = prepared().await;
    for callers in [50, 200] {
        let limiter = Limiter::start(&server, LimiterOptions::limit(LIMIT as usize));
        let berth = Berth::new(&limiter.url(), |settings| {
            settings.strategy = Strategy::Fresh;
            (settings.limit, settings.pool_size) = (LIMIT, LIMIT);
        });
        let begun = Instant::now();
        let failed = load(&berth, callers).await;
        let rate = REQUESTS as f64 / begun.elapsed().as_secs_f64();
        let counts = limiter.counts();
        println!(
            "  Berth, {callers:>3} callers: {rate:>6.0} req/s, {failed} failed, peak {} of {LIMIT}, {} refused",
            counts.peak, counts.refused
        );
    }
    let limiter = Limiter::start(&server, LimiterOptions::limit(LIMIT as usize));
    println!(
        "  connecting alone, {LIMIT} at once: {:>6.0} req/s",
        connecting(&limiter.url()).await
    );
}

async fn load(berth: &Berth, callers: usize) -> usize {
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let berth = berth.clone();
            tokio::spawn(async move {
                let mut failed = 0;
                for _ in 0..REQUESTS / callers {
                    failed += usize::from(berth.find(1).await.is_err());
                }
                failed
            })
        })
        .collect();
    let mut failed = 0;
    for task in tasks {
        failed += task.await.expect("no caller panics");
    }
    failed
}

/// The lower bound: connect, one query, close, with as many at once as the limit admits.
async fn connecting(url: &str) -> f64 {
    use sqlx::Connection;
    let slots = Arc::new(Semaphore::new(LIMIT as usize - 3));
    let begun = Instant::now();
    let tasks: Vec<_> = (0..REQUESTS)
        .map(|_| {
            let (url, slots) = (url.to_owned(), slots.clone());
            tokio::spawn(async move {
                let _slot = slots.acquire().await.expect("it stays open");
                let mut connection = sqlx::PgConnection::connect(&url).await.expect("it connects");
                sqlx::query("SELECT id, body FROM rows WHERE id = $1")
                    .bind(1)
                    .fetch_one(&mut connection)
                    .await
                    .expect("a row");
                connection.close().await.expect("it closes");
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no connection fails");
    }
    REQUESTS as f64 / begun.elapsed().as_secs_f64()
}
