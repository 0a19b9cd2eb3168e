//! A migrated database of each kind, a pool in front of it, and workers.

use std::time::Duration;

use berth_database::{Database, Instances, Outcome, Session, SessionOptions, Settings};
use berth_jobs::{Job, JobOptions, Jobs, Registry, Worker};
use berth_testkit::{Cluster, TestDatabase, eventually_within};
use sea_orm::{ConnectionTrait, Statement};
use sea_orm_migration::{MigrationTrait, MigratorTrait};
use tempfile::TempDir;

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        berth_jobs::migrations()
    }
}

pub(crate) struct Fixture {
    pub(crate) database: Database,
    pub(crate) settings: Settings,
    pub(crate) jobs: Jobs,
    _folder: Option<TempDir>,
    server: Option<TestDatabase>,
}

/// Settings with which failures and crashes show soon.
pub(crate) fn quick() -> berth_jobs::Settings {
    berth_jobs::Settings {
        workers: 4,
        poll_interval: Duration::from_millis(200),
        claim_timeout: Duration::from_secs(2),
        retry_min: Duration::from_millis(20),
        retry_max: Duration::from_millis(100),
        shutdown_timeout: Duration::from_secs(5),
        ..berth_jobs::Settings::default()
    }
}

impl Fixture {
    pub(crate) async fn postgres(share: u32) -> Self {
        let server = Cluster::shared().await.database().await;
        let url = server.url();
        Self::new(&url, share, None, Some(server)).await
    }

    pub(crate) async fn sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite://{}/jobs.sqlite?mode=rwc", folder.path().display());
        Self::new(&url, 1, Some(folder), None).await
    }

    async fn new(url: &str, share: u32, folder: Option<TempDir>, server: Option<TestDatabase>) -> Self {
        let settings = settings(url, share);
        berth_migrate::apply(Migrator, &settings).await.unwrap();
        let fixture = Self {
            database: Database::new(settings.clone()).unwrap(),
            settings,
            jobs: Jobs::new(),
            _folder: folder,
            server,
        };
        let notes = "CREATE TABLE notes (id text NOT NULL, note text NOT NULL)";
        fixture.execute(notes).await;
        fixture
    }

    /// The database on PostgreSQL.
    pub(crate) fn server(&self) -> &TestDatabase {
        self.server.as_ref().expect("the fixture is on PostgreSQL")
    }

    /// A pool of another instance on the same database.
    pub(crate) fn another_database(&self) -> Database {
        Database::new(self.settings.clone()).unwrap()
    }

    pub(crate) fn worker(&self, registry: Registry) -> Worker {
        Worker::start(&self.database, &self.jobs, registry, quick())
    }

    pub(crate) fn session(&self) -> Session {
        self.database
            .session(SessionOptions::new("test").deadline(Duration::from_secs(20)))
    }

    pub(crate) async fn enqueue<J: Job>(&self, job: J) {
        let options = job.options();
        self.enqueue_with(job, options).await;
    }

    pub(crate) async fn enqueue_with<J: Job>(&self, job: J, options: JobOptions) {
        let session = self.session();
        self.jobs.enqueue_with(&session, job, options).await.unwrap();
        session.end(Outcome::Commit).await.unwrap();
    }

    pub(crate) async fn execute(&self, sql: &str) {
        let session = self.session();
        session.execute_unprepared(sql).await.unwrap();
        session.end(Outcome::Commit).await.unwrap();
    }

    /// Returns the first column of the rows that a query finds.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        let session = self.session();
        let statement = Statement::from_string(session.get_database_backend(), sql);
        let rows = session.query_all_raw(statement).await.unwrap();
        session.end(Outcome::Rollback).await.unwrap();
        rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
    }

    /// Waits until a query finds these texts.
    pub(crate) async fn eventually(&self, sql: &str, expected: &[&str]) {
        eventually(async || self.texts(sql).await == expected).await;
    }
}

pub(crate) fn settings(url: &str, share: u32) -> Settings {
    Settings {
        limit: share,
        reserve: 0,
        pool_size: share,
        max_overflow: 0,
        instances: Instances::Fixed(1),
        ..Settings::for_url(url).unwrap()
    }
}

/// Waits for a condition, longer than other tests do: jobs wait for connections behind everything else.
pub(crate) async fn eventually(condition: impl AsyncFnMut() -> bool) {
    eventually_within(Duration::from_secs(60), condition).await;
}

/// Runs the same test on both kinds of database.
#[macro_export]
macro_rules! on_both_databases {
    ($($test:ident),* $(,)?) => {
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test($crate::fixture::Fixture::postgres(3).await).await;
            })*
        }
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test($crate::fixture::Fixture::sqlite().await).await;
            })*
        }
    };
}
