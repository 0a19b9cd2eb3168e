//! A migrated database of each kind, and a pool in front of it.

use std::time::Duration;

use berth_database::{Database, Instances, Outcome, Session, SessionOptions, Settings};
use berth_testkit::{Cluster, TestDatabase};
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
    _folder: Option<TempDir>,
    _server: Option<TestDatabase>,
}

impl Fixture {
    pub(crate) async fn postgres(share: u32) -> Self {
        let server = Cluster::shared().await.database().await;
        Self::new(&server.url(), share, None, Some(server)).await
    }

    pub(crate) async fn sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        let url = format!("sqlite://{}/jobs.sqlite?mode=rwc", folder.path().display());
        Self::new(&url, 1, Some(folder), None).await
    }

    async fn new(url: &str, share: u32, folder: Option<TempDir>, server: Option<TestDatabase>) -> Self {
        let settings = Settings {
            limit: share,
            reserve: 0,
            pool_size: share,
            max_overflow: 0,
            instances: Instances::Fixed(1),
            ..Settings::for_url(url).unwrap()
        };
        berth_migrate::apply(Migrator, &settings).await.unwrap();
        Self {
            database: Database::new(settings).unwrap(),
            _folder: folder,
            _server: server,
        }
    }

    pub(crate) fn session(&self) -> Session {
        self.database
            .session(SessionOptions::new("test").deadline(Duration::from_secs(20)))
    }

    /// Returns the first column of the rows that a query finds.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        let session = self.session();
        let statement = Statement::from_string(session.get_database_backend(), sql);
        let rows = session.query_all_raw(statement).await.unwrap();
        session.end(Outcome::Rollback).await.unwrap();
        rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect()
    }
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
