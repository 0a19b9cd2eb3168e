//! Jobs behind a transaction pooler, and jobs that another process announces.

use std::time::{Duration, Instant};

use berth_database::{Database, Outcome, Settings};
use berth_jobs::{Job, JobError, Jobs, Registry, Work, Worker};
use berth_testkit::{Cluster, PgBouncer, PgBouncerOptions, PoolMode};
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};

use crate::fixture::{Fixture, eventually, quick, settings};

#[derive(Debug, Deserialize, Serialize)]
struct Write(String);

impl Job for Write {
    const NAME: &'static str = "write";
    type State = ();

    async fn run(self, (): &(), work: &Work) -> Result<(), JobError> {
        let insert = format!("INSERT INTO notes VALUES ('{}', '{}')", work.id(), self.0);
        work.session().execute_unprepared(&insert).await?;
        Ok(())
    }
}

fn registry() -> Registry {
    Registry::new().job::<Write>(())
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_run_behind_a_transaction_pooler() {
    let fixture = Fixture::postgres(2).await;
    let options = PgBouncerOptions::default()
        .pool_mode(PoolMode::Transaction)
        .pool_size(3);
    let pooler = PgBouncer::start(Cluster::shared().await, options).await;
    let settings = Settings {
        pooler: berth_database::Pooler::Transaction,
        ..settings(&pooler.url(fixture.server()), 3)
    };
    let database = Database::new(settings).unwrap();
    let worker = Worker::start(&database, &fixture.jobs, registry(), quick());
    for number in 0..20 {
        fixture.enqueue(Write(number.to_string())).await;
    }
    fixture
        .eventually("SELECT count(*)::text FROM jobs WHERE state = 'done'", &["20"])
        .await;
    assert_eq!(
        fixture.texts("SELECT count(DISTINCT id)::text FROM notes").await,
        ["20"]
    );
    worker.stop().await;
    database.close(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_listens_starts_the_jobs_of_another_process_at_once() {
    let fixture = Fixture::postgres(3).await;
    let seldom = berth_jobs::Settings {
        listen: true,
        poll_interval: Duration::from_secs(3600),
        ..quick()
    };
    let worker = Worker::start(&fixture.database, &Jobs::new(), registry(), seldom);
    eventually(async || listening(&fixture).await == 1).await;
    // After six looks that found nothing the next one is 6.4 s away.
    eventually(async || looks(&fixture) >= 6).await;
    let began = Instant::now();
    let other = Jobs::new();
    other.announce();
    let session = fixture.session();
    other
        .enqueue(&session, Write("announced".to_owned()))
        .await
        .unwrap();
    session.end(Outcome::Commit).await.unwrap();
    fixture.eventually("SELECT note FROM notes", &["announced"]).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    worker.stop().await;
}

/// The looks of the worker so far.
fn looks(fixture: &Fixture) -> u64 {
    let all = fixture.database.statements();
    let claims = all.iter().filter(|one| one.operation == "WITH");
    claims.map(|one| one.timings.count()).sum()
}

async fn listening(fixture: &Fixture) -> i64 {
    fixture.server().count_backends("query ILIKE 'LISTEN%'").await
}
