//! What hostile or careless use must not do: leave something on a connection, hold a slot for ever, be run twice.

use std::time::{Duration, Instant};

use berth_database::{Database, Error, Outcome, Session, SessionOptions, Settings};
use berth_testkit::{Action, Trigger, eventually};
use sea_orm::{ConnectionTrait, DbBackend, Statement, StreamTrait, TransactionTrait};

use crate::fixture::{TestPool, insert, number, statement, test_pool, test_pool_with};

const MINE: &str = "SELECT pg_advisory_lock(77)";
const LOCKS: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77 \
    AND pid = pg_backend_pid()";

async fn lock(session: &Session) {
    session
        .query_one_raw(statement(MINE, []))
        .await
        .unwrap()
        .expect("one row");
}

#[track_caller]
fn assert_none(left: i64) {
    assert_eq!(left, 0, "nothing of the last session's is left on the connection");
}

async fn locks(fixture: &TestPool) -> i64 {
    number(&fixture.reader(), LOCKS).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_survives_a_rollback_does_not_reach_the_next_session() {
    let fixture = test_pool(1).await;
    let rolled_back = fixture.session("rolled back");
    lock(&rolled_back).await;
    rolled_back.rollback().await.unwrap();
    assert_none(locks(&fixture).await);
    let dropped = fixture.session("dropped");
    lock(&dropped).await;
    drop(dropped);
    assert_none(locks(&fixture).await);
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_survives_a_failed_commit_does_not_reach_the_next_session() {
    let fixture = test_pool(1).await;
    let session = fixture.session("deferred");
    lock(&session).await;
    session
        .execute_unprepared("INSERT INTO children (id, parent) VALUES (1, 99)")
        .await
        .unwrap();
    session.end(Outcome::Commit).await.unwrap_err();
    assert_none(locks(&fixture).await);
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_taken_after_begin_was_sent_again_does_not_reach_the_next_session() {
    let fixture = test_pool(1).await;
    fixture.notes().await;
    fixture.server.terminate_all().await;
    let session = fixture.session("again");
    lock(&session).await;
    session.end(Outcome::Commit).await.unwrap();
    assert!(
        fixture.database.status().counters.retried >= 1,
        "BEGIN went again"
    );
    assert_none(locks(&fixture).await);
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_table_or_held_cursor_does_not_reach_the_next_session() {
    let fixture = test_pool(1).await;
    for (sql, left) in [
        (
            "SELECT 1 AS x INTO TEMP mine",
            "SELECT count(*) FROM pg_class WHERE relname = 'mine' AND relnamespace = pg_my_temp_schema()",
        ),
        (
            "DECLARE mine CURSOR WITH HOLD FOR SELECT 1",
            "SELECT count(*) FROM pg_cursors WHERE name = 'mine'",
        ),
    ] {
        let session = fixture.session("leaves");
        session.execute_unprepared(sql).await.unwrap();
        session.end(Outcome::Commit).await.unwrap();
        assert_none(number(&fixture.session("next"), left).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_with_too_many_parameters_is_the_callers_error_and_sent_once() {
    let fixture = test_pool(1).await;
    let marks: Vec<_> = (1..=70_000).map(|at| format!("${at}")).collect();
    let sql = format!("SELECT count(*) FROM notes WHERE id IN ({})", marks.join(","));
    let many =
        Statement::from_sql_and_values(DbBackend::Postgres, sql, vec![sea_orm::Value::from(1); 70_000]);
    let error: Error = fixture.reader().query_one_raw(many).await.unwrap_err().into();
    assert!(matches!(error, Error::Statement(_)), "{error:?}");
    assert_eq!(fixture.database.status().counters.retried, 0);
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copy_outside_raw_is_the_callers_error_and_sent_once() {
    let fixture = test_pool(1).await;
    let session = fixture.session("copies");
    let error: Error = session
        .execute_unprepared("COPY notes (id) FROM STDIN")
        .await
        .unwrap_err()
        .into();
    assert!(matches!(error, Error::Statement(_)), "{error:?}");
    assert_eq!(fixture.database.status().counters.retried, 0);
    assert!(session.end(Outcome::Commit).await.is_err());
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_during_a_statement_of_its_clone_releases_its_slot() {
    let fixture = test_pool(1).await;
    let session = fixture.session("ends");
    let clone = session.clone();
    let working = clone.execute_unprepared("INSERT INTO notes SELECT 1 FROM pg_sleep(0.3)");
    let active = "query LIKE '%pg_sleep(0.3)%' AND state = 'active'";
    let ending = async {
        eventually(async || fixture.server.count_backends(active).await == 1).await;
        session.end(Outcome::Rollback).await.unwrap();
    };
    let (done, ()) = tokio::join!(working, ending);
    done.unwrap();
    eventually(async || fixture.database.status().slots.leased == 0).await;
    assert_eq!(fixture.notes().await, 0);
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_cancelled_while_a_clones_statement_runs_is_a_rollback_though_the_clone_lives() {
    let fixture = test_pool(1).await;
    let session = fixture.session("leaves");
    let clone = session.clone();
    let working = clone.execute_unprepared("INSERT INTO notes SELECT 1 FROM pg_sleep(0.3)");
    let active = "query LIKE '%pg_sleep(0.3)%' AND state = 'active'";
    let leaving = async {
        eventually(async || fixture.server.count_backends(active).await == 1).await;
        let ending = session.end(Outcome::Commit);
        assert!(
            tokio::time::timeout(Duration::ZERO, ending).await.is_err(),
            "it waits for the clone"
        );
    };
    let (done, ()) = tokio::join!(working, leaving);
    done.unwrap();
    eventually(async || fixture.database.status().slots.leased == 0).await;
    assert_eq!(fixture.notes().await, 0);
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_first_polled_after_the_end_takes_no_connection() {
    use futures_util::TryStreamExt;
    let fixture = test_pool(1).await;
    let session = fixture.session("late");
    let mut rows = session.stream_raw(statement("SELECT 1", [])).await.unwrap();
    session.end(Outcome::Rollback).await.unwrap();
    let opened = fixture.database.status().counters.opened;
    let error: Error = rows.try_next().await.unwrap_err().into();
    assert!(matches!(error, Error::SessionClosed), "{error:?}");
    drop(rows);
    fixture.assert_whole().await;
    assert_eq!(fixture.database.status().counters.opened, opened);
}

#[tokio::test(flavor = "multi_thread")]
async fn very_long_deadlines_are_accepted() {
    let fixture = test_pool_with(1, |settings| {
        settings.statement_timeout = Duration::from_secs(86_400)
    })
    .await;
    for deadline in [Duration::from_secs(60 * 86_400), Duration::MAX] {
        let options = SessionOptions::new("patient").deadline(deadline);
        let session = fixture.database.session(options);
        insert(&session, 1).await.unwrap();
        session.end(Outcome::Rollback).await.unwrap();
    }
    fixture.database.ready(Duration::MAX).await.unwrap();
    let mut settings = Settings::for_url(&fixture.server.url()).unwrap();
    settings.pool_recycle = Duration::MAX;
    assert!(Database::new(settings.clone()).is_err());
    settings.pool_recycle = Duration::from_secs(1800);
    settings.statement_timeout = Duration::from_secs(86_400);
    let database = Database::new(settings).unwrap();
    database.ready(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_the_server_would_not_take_as_written_is_refused() {
    let fixture = test_pool(1).await;
    for role in ["none", "no\0ne", &"r".repeat(64)] {
        let options = SessionOptions::new("role").role(role, serde_json::json!({}));
        let session = fixture.database.session(options);
        let error = number(&session, "SELECT 1").await.unwrap_err();
        assert!(matches!(error, Error::RoleRefused(None)), "{error:?}");
    }
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_over_a_plan_that_a_migration_made_stale_goes_again() {
    use futures_util::TryStreamExt;
    let fixture = test_pool(2).await;
    let all = || statement("SELECT * FROM notes", []);
    let reader = fixture.reader();
    reader.query_all_raw(all()).await.unwrap();
    let mut admin = fixture.server.admin().await;
    sqlx::Executor::execute(&mut admin, "ALTER TABLE notes ALTER COLUMN body TYPE varchar(99)")
        .await
        .unwrap();
    let rows = reader.stream_raw(all()).await.unwrap();
    rows.try_collect::<Vec<_>>().await.unwrap();
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_fails_at_commit_releases_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/test.sqlite?mode=rwc", folder.path().display());
    let database = Database::new(Settings::for_url(&url).unwrap()).unwrap();
    let session = database.session(SessionOptions::new("undo"));
    session
        .execute_unprepared("CREATE TABLE notes (id integer PRIMARY KEY ON CONFLICT ROLLBACK)")
        .await
        .unwrap();
    session.commit().await.unwrap();
    let inner = session.begin().await.unwrap();
    let add = "INSERT INTO notes VALUES (1)";
    inner.execute_unprepared(add).await.unwrap();
    // SQLite rolls the whole transaction back, savepoints and all.
    inner.execute_unprepared(add).await.unwrap_err();
    drop(inner);
    session.commit().await.unwrap_err();
    eventually(async || database.status().slots.leased == 0).await;
    session.execute_unprepared(add).await.unwrap();
    session.end(Outcome::Commit).await.unwrap();
    database.close(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_session_writes_nothing_on_sqlite_either() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/test.sqlite?mode=rwc", folder.path().display());
    let mut settings = Settings::for_url(&url).unwrap();
    (settings.pool_size, settings.max_overflow) = (1, 0);
    let database = Database::new(settings).unwrap();
    let create = "CREATE TABLE IF NOT EXISTS notes (id integer PRIMARY KEY)";
    let writes = database.session(SessionOptions::new("writes"));
    writes.execute_unprepared(create).await.unwrap();
    writes.commit().await.unwrap();
    let reads = database.session(SessionOptions::new("reads").read_only());
    assert!(
        reads
            .execute_unprepared("INSERT INTO notes VALUES (1)")
            .await
            .is_err()
    );
    reads.end(Outcome::Rollback).await.unwrap();
    writes
        .execute_unprepared("INSERT INTO notes VALUES (2)")
        .await
        .unwrap();
    writes.end(Outcome::Commit).await.unwrap();
    database.close(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nested_handle_of_an_undone_level_cannot_touch_its_successor() {
    let fixture = test_pool(1).await;
    let session = fixture.session("stale");
    let outer = session.begin().await.unwrap();
    let stale = outer.begin().await.unwrap();
    drop(outer);
    let outer = session.begin().await.unwrap();
    let inner = outer.begin().await.unwrap();
    insert(&inner, 1).await.unwrap();
    assert!(insert(&stale, 2).await.is_err());
    drop(stale);
    insert(&inner, 3).await.unwrap();
    inner.commit().await.unwrap();
    outer.commit().await.unwrap();
    session.end(Outcome::Commit).await.unwrap();
    assert_eq!(fixture.notes().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_server_frees_the_slot_of_a_session_without_a_deadline() {
    let fixture = test_pool_with(1, |settings| {
        settings.statement_timeout = Duration::from_millis(300);
        settings.pool_timeout = Duration::from_millis(700);
    })
    .await;
    let fault = fixture
        .limiter
        .arm(Trigger::Statement("pg_sleep"), Action::Silence);
    let session = fixture.database.session(SessionOptions::new("job"));
    let waited = number(&session, "SELECT 1 FROM pg_sleep(0)");
    let error = tokio::time::timeout(Duration::from_secs(10), waited)
        .await
        .expect("an end")
        .unwrap_err();
    assert!(fault.has_fired());
    assert!(matches!(error, Error::ConnectionLost), "{error:?}");
    fixture.limiter.heal();
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_lifts_the_servers_limit_takes_its_time() {
    let fixture = test_pool_with(1, |settings| {
        settings.statement_timeout = Duration::from_millis(500);
        settings.pool_timeout = Duration::from_millis(1500);
    })
    .await;
    let session = fixture.database.session(SessionOptions::new("job"));
    session
        .execute_unprepared("SET LOCAL statement_timeout = 0")
        .await
        .unwrap();
    number(&session, "SELECT 1 FROM pg_sleep(3)").await.unwrap();
    session.end(Outcome::Commit).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlites_writer_stops_when_its_caller_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/test.sqlite?mode=rwc", folder.path().display());
    let database = Database::new(Settings::for_url(&url).unwrap()).unwrap();
    let writes = database.session(SessionOptions::new("endless"));
    let endless = writes.execute_unprepared(
        "CREATE TABLE numbers AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) \
         SELECT count(*) FROM n",
    );
    assert!(
        tokio::time::timeout(Duration::from_millis(200), endless)
            .await
            .is_err()
    );
    drop(writes);
    let begun = Instant::now();
    let next = database.session(SessionOptions::new("next"));
    next.execute_unprepared("CREATE TABLE notes (id integer)")
        .await
        .unwrap();
    next.end(Outcome::Commit).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    database.close(Duration::from_secs(4)).await.unwrap();
}
