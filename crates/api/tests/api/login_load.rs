//! Many clients that log in at once: what it costs all other requests, and the process.

use std::time::Duration;

use berth_testkit::Cluster;
use berth_web::testing::{Client, Process, Response};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::auth::{PASSWORD, credentials};
use crate::lifecycle::ANY_PORT;
use crate::server::process;

const LOGINS: usize = 200;
const LOGIN: &str = "/api/v1/auth/login";
/// Requests by which the usual time is measured.
const USUAL: usize = 1000;
/// Measurements of which one must be good: other processes disturb one now and then.
const ATTEMPTS: usize = 3;
/// KiB of one hash: `auth.password_memory`.
const HASH: u64 = 19_456;

/// How long requests took, and how often a connection was held.
#[derive(Debug, Default)]
struct Measured {
    times: Vec<Duration>,
    looks: usize,
    /// Looks at the pool that found a login with an open transaction and no statement under way.
    held: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "compares times, which needs a quiet machine; `make verify` runs it"]
async fn many_logins_at_once_slow_no_other_request_down_and_hold_neither_connections_nor_memory() {
    let database = Cluster::shared().await.database().await;
    let url = database.url();
    let set = [
        ANY_PORT,
        ("DATABASE_URL", &*url),
        ("DB_POOL_SIZE", "2"),
        ("DB_MAX_OVERFLOW", "0"),
        ("LOG_LEVEL", "info,access=off"),
        ("APP__AUTH__HASHING_THREADS", "1"),
        ("APP__AUTH__ATTEMPTS_PER_ACCOUNT", "1000"),
        ("APP__AUTH__ATTEMPTS_PER_ADDRESS", "1000"),
    ];
    let mut service = process(&[], &set);
    let client = service.listening().await;
    service.discard_log();
    let new = json!({ "email": "ada@example.com", "password": PASSWORD, "name": "Ada" });
    client.post("/api/v1/auth/register", new).await.created();
    log_in(client.clone()).await;
    let memory = peak_memory(&service);

    let mut ratios = Vec::new();
    for _ in 0..ATTEMPTS {
        let usual = measure(&client, &mut JoinSet::new(), USUAL).await;
        let mut logins: JoinSet<()> = (0..LOGINS).map(|_| log_in(client.clone())).collect();
        let loaded = measure(&client, &mut logins, 0).await;
        assert!(
            loaded.held * 10 < loaded.looks,
            "connections are held while hashing: {loaded:?}"
        );
        ratios.push(p99(loaded.times).as_secs_f64() / p99(usual.times).as_secs_f64());
        if ratios.last() <= Some(&3.0) {
            break;
        }
    }
    println!("p99 of other requests during {LOGINS} logins, as a multiple of the usual: {ratios:?}");
    assert!(ratios.last() <= Some(&3.0), "{ratios:?}");
    let grown = peak_memory(&service) - memory;
    println!("the peak memory grew by {grown} KiB");
    assert!(grown < 8 * HASH, "{grown} KiB for one hash of {HASH} at a time");
}

/// Logs in, after as many refusals as it takes.
async fn log_in(client: Client) {
    loop {
        let answer = client.post(LOGIN, credentials("ada@example.com", PASSWORD)).await;
        match answer.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                let seconds = answer.header("retry-after").parse().unwrap();
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
            _ => return drop(answer.ok()),
        }
    }
}

/// Sends requests, one every few milliseconds, until the logins have ended and at least so many were answered.
async fn measure(client: &Client, logins: &mut JoinSet<()>, at_least: usize) -> Measured {
    let mut measured = Measured::default();
    let mut pace = tokio::time::interval(Duration::from_millis(4));
    while !logins.is_empty() || measured.times.len() < at_least {
        pace.tick().await;
        let begun = Instant::now();
        client.get("/api/v1/me").await.ok();
        measured.times.push(begun.elapsed());
        if measured.times.len().is_multiple_of(5) {
            measured.look(client).await;
        }
        while let Some(login) = logins.try_join_next() {
            login.unwrap();
        }
    }
    measured
}

impl Measured {
    async fn look(&mut self, client: &Client) {
        let request = client
            .request(Method::GET, "/debug/db-pool")
            .header("accept", "application/json");
        let pool = Response::to(request).await.ok();
        let holders = pool["holders"].as_array().unwrap();
        let holds = |holder: &Value| {
            holder["label"] == format!("POST {LOGIN}") && holder["state"] == "in_transaction"
        };
        self.looks += 1;
        self.held += usize::from(holders.iter().any(holds));
    }
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * 99 / 100]
}

/// The most memory that the process has had, in KiB.
fn peak_memory(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
