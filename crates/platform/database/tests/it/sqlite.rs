//! The same sessions over SQLite: many readers, one writer at a time.

use std::time::Duration;

use berth_database::{Database, Error, Outcome, SessionOptions, Settings};
use futures_util::StreamExt;
use futures_util::future::join_all;
use sea_orm::{
    AccessMode, ConnectionTrait, DbErr, SqliteTransactionMode, StreamTrait, TransactionOptions,
    TransactionTrait,
};
use tempfile::TempDir;

use crate::fixture::number;

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

fn mode(mode: SqliteTransactionMode) -> TransactionOptions {
    TransactionOptions {
        sqlite_transaction_mode: Some(mode),
        ..TransactionOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_only_read_run_beside_a_writer() {
    let (database, _folder) = sqlite().await;
    let writer = database.session(SessionOptions::new("write"));
    add(&writer, 1).await.unwrap();
    let count = "SELECT count(*) FROM notes";
    let read_only = database.session(SessionOptions::new("read").read_only());
    assert_eq!(number(&read_only, count).await.unwrap(), 0);
    add(&read_only, 2).await.unwrap_err();
    let reader = database.session(SessionOptions::new("read").autocommit_reads());
    let any_function = "SELECT count(*) + (julianday('now') > 0) FROM notes";
    assert_eq!(number(&reader, any_function).await.unwrap(), 1);
    let other = database.session(SessionOptions::new("other"));
    let deferred = other
        .begin_with_options(mode(SqliteTransactionMode::Deferred))
        .await
        .unwrap();
    assert_eq!(number(&deferred, count).await.unwrap(), 0);
    deferred.rollback().await.unwrap();
    other.rollback().await.unwrap();
    let reads = other
        .begin_with_config(None, Some(AccessMode::ReadOnly))
        .await
        .unwrap();
    assert_eq!(number(&reads, count).await.unwrap(), 0);
    add(&reads, 3).await.unwrap_err();
    reads.rollback().await.unwrap();
    writer.end(Outcome::Commit).await.unwrap();
    add(&other, 4)
        .await
        .expect("the access mode of one transaction does not reach the next");
    other.end(Outcome::Commit).await.unwrap();
    assert_eq!(notes(&database).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_transaction_mode_decides_who_takes_the_write_lock() {
    let (database, _folder) = sqlite().await;
    for (asked, locks) in [
        (SqliteTransactionMode::Deferred, false),
        (SqliteTransactionMode::Immediate, true),
        (SqliteTransactionMode::Exclusive, true),
    ] {
        let session = database.session(SessionOptions::new("mode"));
        let transaction = session.begin_with_options(mode(asked)).await.unwrap();
        let options = SessionOptions::new("writer").deadline(Duration::from_millis(300));
        let writer = database.session(options);
        assert_eq!(add(&writer, 1).await.is_err(), locks, "{asked:?}");
        writer.end(Outcome::Rollback).await.unwrap();
        transaction.rollback().await.unwrap();
        add(&session, 2).await.unwrap();
        session.end(Outcome::Rollback).await.unwrap();
    }
    assert_eq!(notes(&database).await, 0);
}

const TRIGGERS: &str = "
    CREATE TABLE log (id integer);
    CREATE TRIGGER counts AFTER INSERT ON notes BEGIN
        INSERT INTO log SELECT CASE WHEN NEW.id > 0 THEN NEW.id END; DELETE FROM log WHERE id = 0;
    END;
    CREATE TRIGGER refuses AFTER INSERT ON notes WHEN NEW.id = 13 BEGIN
        SELECT RAISE(ROLLBACK, 'no 13');
    END";

#[tokio::test(flavor = "multi_thread")]
async fn triggers_are_created_and_control_around_them_is_refused() {
    let (database, _folder) = sqlite().await;
    let session = database.session(SessionOptions::new("triggers"));
    session.execute_unprepared(TRIGGERS).await.unwrap();
    for control in ["COMMIT", "/* x */ END", "-- x\n ROLLBACK", "BEGIN", "RELEASE a"] {
        let refused: Error = session
            .execute_unprepared(&format!("{TRIGGERS}; {control}"))
            .await
            .unwrap_err()
            .into();
        assert!(matches!(refused, Error::Unsupported(_)), "{control}: {refused:?}");
    }
    add(&session, 1).await.unwrap();
    session.end(Outcome::Commit).await.unwrap();
    let reader = database.session(SessionOptions::new("read").autocommit_reads());
    assert_eq!(number(&reader, "SELECT count(*) FROM log").await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_or_is_stored_after_sqlite_has_ended_the_transaction_by_itself() {
    let (database, _folder) = sqlite().await;
    let session = database.session(SessionOptions::new("triggers"));
    session.execute_unprepared(TRIGGERS).await.unwrap();
    add(&session, 1).await.unwrap();
    session.end(Outcome::Commit).await.unwrap();
    let full = "CREATE TABLE big (x); PRAGMA max_page_count = 1; INSERT INTO big VALUES (randomblob(99999))";
    for sql in [
        "INSERT INTO notes VALUES (13)",
        "INSERT OR ROLLBACK INTO notes VALUES (1)",
        "INSERT OR ROLLBACK INTO notes VALUES (1) RETURNING id",
        full,
    ] {
        let session = database.session(SessionOptions::new("ended"));
        add(&session, 2).await.unwrap();
        let nested = session.begin().await.unwrap();
        add(&nested, 3).await.unwrap();
        let failed: Result<(), DbErr> = if sql.contains("RETURNING") {
            let statement = crate::fixture::statement(sql, []);
            match nested.stream_raw(statement).await.unwrap().next().await {
                Some(row) => row.map(drop),
                None => Ok(()),
            }
        } else {
            nested.execute_unprepared(sql).await.map(drop)
        };
        failed.expect_err(sql);
        let refused: Error = add(&nested, 4).await.expect_err(sql).into();
        assert!(matches!(refused, Error::TransactionFailed), "{sql}: {refused:?}");
        nested.rollback().await.unwrap_err();
        let refused: Error = add(&session, 5).await.unwrap_err().into();
        assert!(matches!(refused, Error::TransactionFailed), "{sql}: {refused:?}");
        let commit = session.commit().await;
        assert!(
            matches!(commit, Err(Error::TransactionFailed)),
            "{sql}: {commit:?}"
        );
        assert_eq!(notes(&database).await, 1, "{sql}: nothing was stored");
        add(&session, 6).await.expect("the session goes on");
        session.end(Outcome::Rollback).await.unwrap();
    }
    let session = database.session(SessionOptions::new("level"));
    add(&session, 2).await.unwrap();
    add(&session, 1).await.unwrap_err();
    assert!(matches!(
        session.end(Outcome::Commit).await,
        Err(Error::TransactionFailed)
    ));
    assert_eq!(notes(&database).await, 1, "a plain failure is noticed as before");
}

#[tokio::test(flavor = "multi_thread")]
async fn lone_statements_are_stored_at_once_and_vacuum_runs() {
    let (database, _folder) = sqlite().await;
    let read_only = database.session(SessionOptions::new("leaves the connection read only").read_only());
    number(&read_only, "SELECT count(*) FROM notes").await.unwrap();
    read_only.end(Outcome::Commit).await.unwrap();
    let session = database.session(SessionOptions::new("lone").autocommit());
    add(&session, 1).await.unwrap();
    add(&session, 1).await.unwrap_err();
    session.execute_unprepared("VACUUM").await.unwrap();
    session
        .execute_unprepared("CREATE TEMP TABLE mine (id integer)")
        .await
        .unwrap();
    session
        .execute_unprepared("INSERT INTO mine VALUES (1)")
        .await
        .unwrap_err();
    let transaction = session.begin().await.unwrap();
    add(&transaction, 2).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(notes(&database).await, 2);
    drop(session);
    berth_testkit::eventually(async || database.status().slots.leased == 0).await;
    database.close(Duration::from_secs(5)).await.unwrap();
}
