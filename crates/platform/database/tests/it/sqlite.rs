//! The same sessions over SQLite: many readers, one writer at a time.

use std::time::Duration;

use berth_database::{Database, Error, Outcome, SessionOptions, Settings};
use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, DbErr, TransactionSession, TransactionTrait};
use tempfile::TempDir;

async fn sqlite() -> (Database, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/deep/test.sqlite?mode=rwc", folder.path().display());
    let database = Database::new(Settings::for_url(&url).unwrap()).unwrap();
    let session = database.session(SessionOptions::new("tables"));
    session
        .execute_unprepared("CREATE TABLE notes (id integer PRIMARY KEY)")
        .await
        .unwrap();
    session
        .execute_unprepared("CREATE TABLE others (note integer REFERENCES notes (id))")
        .await
        .unwrap();
    session.end(Outcome::Commit).await.unwrap();
    (database, folder)
}

async fn add<C: ConnectionTrait>(connection: &C, id: i64) -> Result<(), DbErr> {
    connection
        .execute_unprepared(&format!("INSERT INTO notes VALUES ({id})"))
        .await
        .map(drop)
}

async fn notes(database: &Database) -> i64 {
    let session = database.session(SessionOptions::new("read").autocommit_reads());
    crate::fixture::number(&session, "SELECT count(*) FROM notes")
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_writers_queue_in_the_scheduler_and_none_meets_a_locked_database() {
    let (database, _folder) = sqlite().await;
    join_all((0..50).map(|id| {
        let database = database.clone();
        async move {
            let session = database.session(SessionOptions::new("write"));
            add(&session, id).await.unwrap();
            tokio::task::yield_now().await;
            notes(&database).await;
            session.end(Outcome::Commit).await.unwrap();
        }
    }))
    .await;
    assert_eq!(notes(&database).await, 50);
    database.close(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_rollbacks_savepoints_and_failed_levels_are_as_on_postgresql() {
    let (database, _folder) = sqlite().await;
    let session = database.session(SessionOptions::new("write"));
    add(&session, 1).await.unwrap();
    let inner = session.begin().await.unwrap();
    add(&inner, 2).await.unwrap();
    inner.rollback().await.unwrap();
    session.commit().await.unwrap();
    add(&session, 3).await.unwrap();
    let error: Error = add(&session, 3).await.unwrap_err().into();
    assert!(matches!(error, Error::UniqueViolation { .. }), "{error:?}");
    assert!(matches!(
        session.end(Outcome::Commit).await,
        Err(Error::TransactionFailed)
    ));
    assert_eq!(notes(&database).await, 1);
    let session = database.session(SessionOptions::new("write"));
    let error: Error = session
        .execute_unprepared("INSERT INTO others VALUES (99)")
        .await
        .unwrap_err()
        .into();
    assert!(
        matches!(error, Error::ForeignKeyViolation { .. }),
        "foreign keys are on: {error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_dropped_half_way_leaves_the_database_to_the_next() {
    let (database, _folder) = sqlite().await;
    for round in 0..10 {
        let session = database.session(SessionOptions::new("write"));
        add(&session, 1).await.unwrap();
        let slow = session.execute_unprepared(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 300000) SELECT count(*) FROM n",
        );
        let limit = Duration::from_millis(round % 5);
        assert!(tokio::time::timeout(limit, slow).await.is_err());
        drop(session);
    }
    assert_eq!(notes(&database).await, 0);
    let session = database.session(SessionOptions::new("write"));
    add(&session, 1).await.unwrap();
    session.end(Outcome::Commit).await.unwrap();
    berth_testkit::eventually(async || database.status().slots.leased == 0).await;
    database.close(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_file_and_a_missing_one_are_plain_errors() {
    let (database, folder) = sqlite().await;
    database.close(Duration::from_secs(5)).await.unwrap();
    let missing = format!("sqlite://{}/none.sqlite", folder.path().display());
    let mut settings = Settings::for_url(&missing).unwrap();
    settings.unreachable_grace = Duration::from_millis(50);
    let error = Database::new(settings)
        .unwrap()
        .ready(Duration::from_millis(200))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Unreachable { .. } | Error::Permanent { .. }),
        "{error:?}"
    );
    let read_only = format!("sqlite://{}/deep/test.sqlite?mode=ro", folder.path().display());
    let database = Database::new(Settings::for_url(&read_only).unwrap()).unwrap();
    assert_eq!(notes(&database).await, 0);
    assert!(
        add(&database.session(SessionOptions::new("write").read_only()), 1)
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_opened_fails_at_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "not a folder").unwrap();
    for path in ["file/deep/test.sqlite", ""] {
        let url = format!("sqlite://{}/{path}?mode=rwc", folder.path().display());
        let database = Database::new(Settings::for_url(&url).unwrap()).unwrap();
        let error = database.ready(Duration::from_secs(20)).await.unwrap_err();
        assert!(
            matches!(
                error,
                Error::Permanent {
                    reason: berth_database::Reason::Settings
                }
            ),
            "{error:?}"
        );
    }
}
