//! Goodput under overload: requests of three reads, at the capacity of the connections and at twice that.
//!
//! A pool that queues each statement anew at the end of a full queue serves statements and hardly any request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use berth_database::SessionOptions;
use berth_testkit::{Limiter, LimiterOptions};
use sea_orm::EntityTrait;
use tokio::time::{MissedTickBehavior, interval};

use crate::clients::{Berth, CONNECTIONS, ROWS, row};
use crate::reads::prepared;

const READS: usize = 3;
const LATENCY: Duration = Duration::from_millis(5);
const TIME: Duration = Duration::from_secs(5);
const DEADLINE: Duration = Duration::from_secs(1);
const MAX_WAITING: u32 = 50;

pub(crate) async fn run() {
    println!(
        "\ngoodput: requests of {READS} reads, {CONNECTIONS} connections, deadline {DEADLINE:?}, at most {MAX_WAITING} waiting"
    );
    let server = prepared().await;
    let capacity = {
        let limiter = Limiter::start(
            &server,
            LimiterOptions::limit(CONNECTIONS as usize).latency(LATENCY),
        );
        closed_loop(&berth(&limiter.url())).await
    };
    let mut at_capacity = None;
    for load in [1.0, 2.0] {
        let limiter = Limiter::start(
            &server,
            LimiterOptions::limit(CONNECTIONS as usize).latency(LATENCY),
        );
        let (served, failed) = open_loop(&berth(&limiter.url()), capacity * load).await;
        let reference = *at_capacity.get_or_insert(served);
        println!(
            "  Berth, {load} of capacity: {served:>6.0} requests served a second, {failed:>6.0} failed, {:.2} of that at capacity",
            served / reference
        );
    }
}

fn berth(url: &str) -> Berth {
    Berth::new(url, |settings| settings.max_waiting = MAX_WAITING as _)
}

/// Executes one request: three reads in autocommit, in one session.
async fn request(berth: &Berth, id: i32) -> bool {
    let options = SessionOptions::new("bench").autocommit_reads().deadline(DEADLINE);
    let session = berth.0.session(options);
    for read in 0..READS {
        let id = (id + read as i32) % ROWS + 1;
        if row::Entity::find_by_id(id).one(&session).await.is_err() {
            return false;
        }
    }
    true
}

/// Measures the capacity in requests a second: twice as many callers as connections, one request after another.
async fn closed_loop(berth: &Berth) -> f64 {
    let begun = Instant::now();
    let callers = (0..2 * CONNECTIONS).map(|_| async {
        let mut served = 0_u32;
        while begun.elapsed() < TIME {
            served += u32::from(request(berth, 1).await);
        }
        served
    });
    let served: u32 = futures_util::future::join_all(callers).await.into_iter().sum();
    f64::from(served) / begun.elapsed().as_secs_f64()
}

/// Starts `rate` requests a second, whether or not earlier ones are finished; returns served and failed a second.
async fn open_loop(berth: &Berth, rate: f64) -> (f64, f64) {
    let (served, failed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut clock = interval(Duration::from_secs_f64(1.0 / rate));
    clock.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let begun = Instant::now();
    let mut requests = tokio::task::JoinSet::new();
    for id in 0.. {
        clock.tick().await;
        if begun.elapsed() >= TIME {
            break;
        }
        let (berth, served, failed) = (berth.clone(), served.clone(), failed.clone());
        requests.spawn(async move {
            let counter = if request(&berth, id).await { served } else { failed };
            counter.fetch_add(1, Ordering::Relaxed);
        });
    }
    requests.join_all().await;
    let time = begun.elapsed().as_secs_f64();
    let rate = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64 / time;
    (rate(&served), rate(&failed))
}
