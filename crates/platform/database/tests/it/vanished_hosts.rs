//! Hosts that vanish: packets are dropped, and no connection is closed or reset.
//!
//! `.ci/vanished-hosts` runs these in a network namespace of its own, which disappears with its rules.

use std::process::Command;
use std::time::Duration;

use berth_database::{Database, Session, SessionOptions, Settings};
use berth_testkit::{Cluster, Limiter, LimiterOptions, eventually_within};
use sea_orm::ConnectionTrait;
use tokio::time::timeout;

use crate::fixture::{number, settings};

/// The longest that a vanished host counts.
const NOTICED: Duration = Duration::from_secs(120);

/// A backend that runs the statement.
const RUNNING: &str = "query LIKE '%pg_sleep(600)%' AND state = 'active'";

fn session(database: &Database, label: &'static str) -> Session {
    database.session(SessionOptions::new(label))
}

/// Whether packets may be dropped here.
#[allow(clippy::print_stdout, reason = "a test that did not run says so")]
fn is_own_network() -> bool {
    let own = std::env::var_os("BERTH_TEST_OWN_NETWORK").is_some();
    if !own {
        println!("skipped: packets are dropped in a network namespace only: .ci/vanished-hosts");
    }
    own
}

/// Drops every packet from and to this port from now on.
fn vanish(port: u16) {
    for direction in ["--sport", "--dport"] {
        let port = port.to_string();
        let rule = ["-w", "-A", "INPUT", "-p", "tcp", direction, &port, "-j", "DROP"];
        let added = Command::new("iptables").args(rule).status();
        assert!(added.expect("the script has looked for iptables").success());
    }
}

fn patient(url: &str) -> Settings {
    Settings {
        // Statements are not what ends these connections.
        statement_timeout: Duration::from_secs(3600),
        idle_in_transaction_timeout: Duration::from_secs(3600),
        ..settings(url, 2)
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute, in a network of its own: `.ci/vanished-hosts` runs it"]
async fn a_client_that_vanishes_stops_counting_at_the_server() {
    if !is_own_network() {
        return;
    }
    let server = Cluster::shared().await.database().await;
    let database = Database::new(patient(&server.url())).unwrap();
    let (busy, idle) = (session(&database, "busy"), session(&database, "idle"));
    let mut ports = Vec::new();
    for session in [&busy, &idle] {
        let port = number(session, "SELECT inet_client_port()").await.unwrap();
        ports.push(u16::try_from(port).unwrap());
    }
    let running = tokio::spawn(async move { busy.execute_unprepared("SELECT pg_sleep(600)").await });
    eventually_within(NOTICED, async || server.count_backends(RUNNING).await == 1).await;
    assert_eq!(server.backends().await, 2);
    ports.into_iter().for_each(vanish);
    eventually_within(NOTICED, async || server.backends().await == 0).await;
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute, in a network of its own: `.ci/vanished-hosts` runs it"]
async fn a_server_that_vanishes_is_noticed_also_by_a_statement_without_a_limit() {
    if !is_own_network() {
        return;
    }
    let server = Cluster::shared().await.database().await;
    let limiter = Limiter::start(&server, LimiterOptions::limit(2));
    let database = Database::new(patient(&limiter.secure_url())).unwrap();
    let session = session(&database, "busy");
    assert_eq!(number(&session, "SELECT 7").await.unwrap(), 7);
    let vanishing = async {
        eventually_within(NOTICED, async || server.count_backends(RUNNING).await == 1).await;
        vanish(limiter.port());
    };
    let (answer, ()) = tokio::join!(
        timeout(NOTICED, session.execute_unprepared("SELECT pg_sleep(600)")),
        vanishing
    );
    let error = answer.expect("the relay's socket notices").unwrap_err();
    assert!(error.to_string().contains("lost"), "{error}");
    drop(session);
    eventually_within(NOTICED, async || {
        let slots = database.status().slots;
        slots.leased + slots.closing == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "in a network of its own: `.ci/vanished-hosts` runs it"]
async fn without_tls_the_limit_of_a_statement_bounds_the_wait_for_a_server_that_vanishes() {
    if !is_own_network() {
        return;
    }
    let server = Cluster::shared().await.database().await;
    let limiter = Limiter::start(&server, LimiterOptions::limit(2));
    let database = Database::new(Settings {
        statement_timeout: Duration::from_secs(5),
        pool_timeout: Duration::from_secs(5),
        ..settings(&limiter.url(), 2)
    })
    .unwrap();
    let session = session(&database, "busy");
    assert_eq!(number(&session, "SELECT 7").await.unwrap(), 7);
    vanish(limiter.port());
    let answer = timeout(Duration::from_secs(30), session.execute_unprepared("SELECT 1")).await;
    assert!(answer.expect("the statement's own limit ends the wait").is_err());
}
