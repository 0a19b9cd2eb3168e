//! What is logged of connections and statements, and what is not.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use database::Outcome;
use sea_orm::ConnectionTrait;
use testkit::{LimiterOptions, eventually};
use tracing::Level;
use tracing::subscriber::DefaultGuard;

use crate::harbour::{harbour_with, number, settings, statement};

/// The lines of this thread: the tests here run on one.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(part)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn listen(level: Level) -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// The lines with all of these words.
    fn with(&self, words: &[&str]) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text
            .lines()
            .filter(|line| words.iter().all(|word| line.contains(word)));
        lines.map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn echo_tells_statements_with_their_time_and_parameters_only_when_asked() {
    for parameters in [false, true] {
        let (log, _listening) = Log::listen(Level::INFO);
        let harbour = harbour_with(1, |settings| {
            (settings.echo, settings.echo_parameters) = (true, parameters);
        })
        .await;
        let session = harbour.session("POST /notes");
        let insert = "INSERT INTO notes (id, body) VALUES ($1, $2)";
        session
            .execute_raw(statement(insert, [1.into(), "a secret".into()]))
            .await
            .unwrap();
        session.end(Outcome::Commit).await.unwrap();
        let told = log.with(&["POST /notes", insert, "took_us="]);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].contains("a secret"), parameters, "{told:?}");
    }
}

#[tokio::test]
async fn without_echo_no_statement_is_told() {
    let (log, _listening) = Log::listen(Level::INFO);
    let harbour = harbour_with(1, |_| {}).await;
    number(&harbour.reader(), "SELECT 42").await.unwrap();
    assert_eq!(log.with(&["SELECT"]), [""; 0]);
}

#[tokio::test]
async fn the_life_of_a_connection_is_told_at_debug_level() {
    let (log, _listening) = Log::listen(Level::DEBUG);
    let server = testkit::Cluster::shared().await.database().await;
    let limiter = testkit::Limiter::start(&server, LimiterOptions::limit(0));
    let database = database::Database::new(settings(&limiter.url(), 1)).unwrap();
    let options = database::SessionOptions::new("GET /tags").autocommit_reads();
    let reader = database.session(options);
    let freed = async {
        eventually(async || limiter.counts().refused > 0).await;
        limiter.set_limit(1);
    };
    let (row, ()) = tokio::join!(number(&reader, "SELECT 1"), freed);
    row.unwrap();
    database.close(Duration::from_secs(5)).await.unwrap();
    for words in [
        ["opening refused", "answer=", "MaxClientsInSessionMode"],
        ["connection opened", "db.slot=", "took_ms="],
        ["connection leased", "GET /tags", "wait_ms="],
        ["connection returned", "db.slot=", "held_ms="],
        ["connection closed", "db.slot=", "shutting down"],
    ] {
        assert!(!log.with(&words).is_empty(), "{words:?} is not told");
    }
}
