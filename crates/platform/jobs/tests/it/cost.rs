//! What the queue costs: which rows a look reads, and for how many statements a request waits.

use std::time::Duration;

use berth_database::{Outcome, SessionOptions};
use berth_jobs::{Job, JobError, Registry, Work, Worker};
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};

use crate::fixture::{Fixture, eventually, quick};

#[derive(Debug, Deserialize, Serialize)]
struct Empty {}

impl Job for Empty {
    const NAME: &'static str = "empty";
    type State = ();

    async fn run(self, (): &(), _: &Work) -> Result<(), JobError> {
        Ok(())
    }
}

/// Rows of the table, in SQL: their state, and when they are available.
fn fill(count: usize, state: &str, available_at: &str) -> String {
    format!(
        "INSERT INTO jobs (id, name, queue, priority, payload, state, attempt, max_attempts, timeout_ms, again, \
         available_at, finished_at, created_at) SELECT gen_random_uuid(), 'empty', 'default', 1, '{{}}', '{state}', 0, 5, \
         60000, false, {available_at}, now(), now() FROM generate_series(1, {count})"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_reads_the_jobs_that_it_takes_and_no_others() {
    looks_read_few_rows(20_000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "fills a table with a million rows"]
async fn a_look_reads_few_rows_beside_a_million_done_jobs() {
    looks_read_few_rows(1_000_000).await;
}

async fn looks_read_few_rows(done: usize) {
    let fixture = Fixture::postgres(2).await;
    for _ in 0..done / 20_000 {
        fixture.execute(&fill(20_000, "done", "NULL")).await;
    }
    fixture
        .execute(&fill(10_000, "waiting", "now() + interval '1 hour'"))
        .await;
    fixture.execute(&fill(300, "waiting", "now()")).await;
    fixture.execute("ANALYZE jobs").await;
    let table = "SELECT seq_scan::text FROM pg_stat_user_tables WHERE relname = 'jobs'";
    let before = fixture.texts(table).await;
    let worker = fixture.worker(Registry::new().job::<Empty>(()));
    eventually(async || worker.stats().first().is_some_and(|(_, stats)| stats.done == 300)).await;
    worker.stop().await;
    let index = "SELECT (idx_tup_read / greatest(idx_scan, 1))::text FROM pg_stat_user_indexes \
        WHERE indexrelname = 'ix_jobs_priority_available_at' AND idx_tup_read >= 300";
    eventually(async || !fixture.texts(index).await.is_empty()).await;
    let rows_a_scan: i64 = fixture.texts(index).await[0].parse().unwrap();
    assert!(
        rows_a_scan < 1000,
        "{rows_a_scan} rows for each range of the index"
    );
    assert_eq!(
        fixture.texts(table).await,
        before,
        "the table is never read as a whole"
    );
}

/// On one thread, so that no statement ends between the look at the counters and the request's place in the queue.
#[tokio::test]
async fn at_a_share_of_one_a_request_waits_for_one_statement_of_the_queue_at_most() {
    let fixture = Fixture::postgres(1).await;
    fixture.execute(&fill(10_000, "waiting", "now()")).await;
    let busy = berth_jobs::Settings {
        workers: 20,
        ..quick()
    };
    let registry = Registry::new().job::<Empty>(());
    let worker = Worker::start(&fixture.database, &fixture.jobs, registry, busy);
    eventually(async || statements(&fixture) > 10).await;
    let first = statements(&fixture);
    for _ in 0..100 {
        let options = SessionOptions::new("request").autocommit_reads();
        let session = fixture
            .database
            .session(options.deadline(Duration::from_secs(20)));
        let before = statements(&fixture);
        session.query_one_raw(one()).await.unwrap();
        let waited_for = statements(&fixture) - before;
        assert!(
            waited_for <= 1,
            "{waited_for} statements of the queue were before the request"
        );
        session.end(Outcome::Commit).await.unwrap();
        tokio::task::yield_now().await;
    }
    eventually(async || statements(&fixture) > first + 10).await;
    worker.stop().await;
}

fn one() -> sea_orm::Statement {
    sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, "SELECT 1")
}

/// The statements on the table of jobs so far.
fn statements(fixture: &Fixture) -> u64 {
    let all = fixture.database.statements();
    let of_jobs = all.iter().filter(|one| one.operation != "SELECT");
    of_jobs.map(|one| one.timings.count()).sum()
}

#[test]
fn no_time_is_read_from_the_clock_of_the_instance() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![source];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for clock in ["Utc::now", "SystemTime", "Local::now"] {
                assert!(!text.contains(clock), "{}: {clock}", path.display());
            }
        }
    }
}
