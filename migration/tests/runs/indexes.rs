//! Indexes that are built without a transaction, and the path of a SQLite file.

use std::time::Duration;

use berth_migrate::{Change, Command, invalid_indexes, run};
use berth_testkit::eventually;
use sea_orm::ConnectionTrait;
use sea_orm_migration::prelude::*;
use sea_orm_migration::{MigrationName, MigrationTrait, MigratorTraitSelf};

use crate::fixture::{Step, Steps, folder, look, postgres};

/// Builds an index of table `busy` without blocking its writers.
struct Concurrently;

impl MigratorTraitSelf for Concurrently {
    fn migrations(&self) -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(Concurrently)]
    }
}

impl MigrationName for Concurrently {
    fn name(&self) -> &'static str {
        "concurrently"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Concurrently {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "create index concurrently busy_id on busy (id)";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(false)
    }
}

#[tokio::test]
async fn an_index_built_concurrently_waits_for_an_older_transaction_past_the_lock_timeout() {
    let (database, mut settings) = postgres().await;
    let writer = look(&settings).await;
    writer
        .execute_unprepared("create table busy (id integer)")
        .await
        .unwrap();
    let older = sea_orm::TransactionTrait::begin(&writer).await.unwrap();
    older
        .execute_unprepared("insert into busy values (1)")
        .await
        .unwrap();
    settings.lock = Duration::from_millis(100);
    let run = tokio::spawn(async move { run(Concurrently, &settings, Command::Up(None)).await });
    let waits = "wait_event_type = 'Lock' and clock_timestamp() - state_change > interval '1 s'";
    eventually(async || database.count_backends(waits).await == 1 || run.is_finished()).await;
    assert!(!run.is_finished(), "it waits ten times as long as lock_timeout");
    older.commit().await.unwrap();
    let changes = run.await.unwrap().unwrap();
    assert_eq!(changes, [Change::Applied("concurrently".to_owned())]);
}

#[tokio::test]
async fn an_invalid_index_is_named() {
    let (_database, settings) = postgres().await;
    let connection = look(&settings).await;
    let sql = "create table busy (id integer); insert into busy values (1), (1)";
    connection.execute_unprepared(sql).await.unwrap();
    assert_eq!(invalid_indexes(&settings).await.unwrap(), Vec::<String>::new());
    let sql = "create unique index concurrently busy_once on busy (id)";
    connection.execute_unprepared(sql).await.unwrap_err();
    assert_eq!(invalid_indexes(&settings).await.unwrap(), ["busy_once"]);
}

#[tokio::test]
async fn a_path_with_a_percent_sign_is_the_file_of_that_name() {
    let folder = folder();
    let url = format!("sqlite://{}/a%20b.sqlite?mode=rwc", folder.path().display());
    let settings = crate::fixture::impatient(&url);
    run(Steps(vec![Step::table("first")]), &settings, Command::Up(None))
        .await
        .unwrap();
    assert!(
        folder.path().join("a%20b.sqlite").exists(),
        "the service's own path"
    );
}
