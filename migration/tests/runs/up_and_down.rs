use std::time::Duration;

use berth_database::{Database, SessionOptions};
use berth_migrate::{Change, Command, Settings, pending, run, status};
use migration::Migrator;
use sea_orm::ConnectionTrait;

use crate::fixture::{folder, has_table, look, postgres, sqlite};

#[tokio::test]
async fn postgres_goes_up_down_and_up_again() {
    let (_database, settings) = postgres().await;
    goes_up_down_and_up_again(&settings).await;
}

#[tokio::test]
async fn sqlite_goes_up_down_and_up_again() {
    let folder = folder();
    goes_up_down_and_up_again(&sqlite(&folder)).await;
}

async fn goes_up_down_and_up_again(settings: &Settings) {
    let names = names(settings).await;
    let (first, others) = names.split_at(names.len().min(1));
    let (before, last) = names.split_at(names.len().saturating_sub(1));
    assert_eq!(
        run(Migrator, settings, Command::Up(None)).await.unwrap(),
        applied(&names)
    );
    assert_eq!(
        run(Migrator, settings, Command::Up(None)).await.unwrap(),
        [],
        "a second run finds nothing to do"
    );
    assert_eq!(
        run(Migrator, settings, Command::Down(1)).await.unwrap(),
        reverted(last)
    );
    assert_eq!(
        run(Migrator, settings, Command::Reset).await.unwrap(),
        reverted(before)
    );
    assert!(!has_table(settings, "users").await);
    assert_eq!(
        run(Migrator, settings, Command::Up(Some(1))).await.unwrap(),
        applied(first)
    );
    assert_eq!(
        run(Migrator, settings, Command::Up(None)).await.unwrap(),
        applied(others)
    );
    let again = [reverted(&names), applied(&names)].concat();
    assert_eq!(run(Migrator, settings, Command::Refresh).await.unwrap(), again);
    assert_eq!(
        run(Migrator, settings, Command::Fresh).await.unwrap(),
        applied(&names)
    );
    assert!(has_table(settings, "users").await);
}

#[tokio::test]
async fn status_lists_what_is_applied_and_changes_nothing() {
    let (_database, settings) = postgres().await;
    assert!(
        status(Migrator, &settings)
            .await
            .unwrap()
            .iter()
            .all(|entry| !entry.applied)
    );
    assert!(
        !has_table(&settings, "seaql_migrations").await,
        "looking must not create anything"
    );
    run(Migrator, &settings, Command::Up(Some(1))).await.unwrap();
    let entries = status(Migrator, &settings).await.unwrap();
    for (place, entry) in entries.iter().enumerate() {
        assert_eq!(entry.applied, place == 0, "{entries:?}");
    }
}

#[tokio::test]
async fn an_older_release_finds_nothing_pending_while_a_newer_one_is_deployed() {
    let (_database, settings) = postgres().await;
    let connection = look(&settings).await;
    let database = Database::new(settings.database.clone()).unwrap();
    let session = database.session(SessionOptions::new("pending").autocommit());
    assert_eq!(pending(Migrator, &session).await.unwrap(), names(&settings).await);
    run(Migrator, &settings, Command::Up(None)).await.unwrap();
    connection
        .execute_unprepared("insert into seaql_migrations values ('m20990101_000001_of_the_newer', 0)")
        .await
        .unwrap();
    assert_eq!(pending(Migrator, &session).await.unwrap(), Vec::<String>::new());
    drop(session);
    database.close(Duration::from_secs(5)).await.unwrap();
    connection.close().await.unwrap();
}

/// All migrations, in the order in which they are applied.
pub(crate) async fn names(settings: &Settings) -> Vec<String> {
    status(Migrator, settings)
        .await
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect()
}

pub(crate) fn applied(names: &[String]) -> Vec<Change> {
    names.iter().cloned().map(Change::Applied).collect()
}

pub(crate) fn reverted(names: &[String]) -> Vec<Change> {
    names.iter().rev().cloned().map(Change::Reverted).collect()
}
