//! What is logged of connections and statements, and what is not.

use std::io::{self, Write};
use std::sync::{Mutex, Once};
use std::time::Duration;

use berth_database::{Database, Outcome, SessionOptions};
use berth_testkit::{Cluster, Limiter, LimiterOptions, eventually};
use sea_orm::ConnectionTrait;

use crate::fixture::{number, settings, statement, test_pool_with};

/// All tests of this binary share it: look for what only one of them does.
static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct Lines;

impl Write for Lines {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        LINES.lock().unwrap().write(part)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Begins to listen; only the first call does something.
pub(crate) fn listen() {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .with_writer(|| Lines)
            .init();
    });
}

/// The lines so far that have all of these words.
pub(crate) fn told(words: &[&str]) -> Vec<String> {
    let lines = LINES.lock().unwrap();
    let text = String::from_utf8_lossy(&lines);
    let lines = text
        .lines()
        .filter(|line| words.iter().all(|word| line.contains(word)));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn echo_logs_statements_with_their_time_and_parameters_if_configured() {
    listen();
    for (label, parameters) in [("POST /echo", false), ("POST /echo-all", true)] {
        let fixture = test_pool_with(1, |settings| {
            (settings.echo, settings.echo_parameters) = (true, parameters);
        })
        .await;
        let session = fixture.session(label);
        let insert = "INSERT INTO notes (id, body) VALUES ($1, $2)";
        session
            .execute_raw(statement(insert, [1.into(), "a secret".into()]))
            .await
            .unwrap();
        session.end(Outcome::Commit).await.unwrap();
        let told = told(&["INFO", &format!("label={label} "), insert, "took_us="]);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].contains("a secret"), parameters, "{told:?}");
    }
}

#[tokio::test]
async fn without_echo_no_statement_is_logged() {
    listen();
    let fixture = test_pool_with(1, |_| {}).await;
    number(&fixture.reader(), "SELECT 424242").await.unwrap();
    assert_eq!(told(&["INFO", "SELECT 424242"]), [""; 0]);
}

#[tokio::test]
async fn connection_events_are_logged_at_debug_level() {
    listen();
    let server = Cluster::shared().await.database().await;
    let limiter = Limiter::start(&server, LimiterOptions::limit(0));
    let database = Database::new(settings(&limiter.url(), 1)).unwrap();
    let reader = database.session(SessionOptions::new("GET /life").autocommit_reads());
    let freed = async {
        eventually(async || limiter.counts().refused > 0).await;
        limiter.set_limit(1);
    };
    let (row, ()) = tokio::join!(number(&reader, "SELECT 1"), freed);
    row.unwrap();
    database.close(Duration::from_secs(5)).await.unwrap();
    for words in [
        ["DEBUG", "connection attempt refused", "MaxClientsInSessionMode"],
        ["DEBUG", "connection opened", "took_ms="],
        ["DEBUG", "connection leased", "GET /life"],
        ["DEBUG", "connection released", "held_ms="],
        ["DEBUG", "connection closed", "shutting down"],
    ] {
        assert!(!told(&words).is_empty(), "{words:?} is not told");
    }
}
