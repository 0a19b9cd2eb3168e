//! Invariant 4: no state of one session reaches the next, whatever made it, and the connection is kept.

use berth_database::{Outcome, Session, SessionOptions};
use sea_orm::ConnectionTrait;

use crate::fixture::{TestPool, number, test_pool, text};

const FUNCTIONS: &str = "
    CREATE TABLE audited (id int);
    CREATE FUNCTION keep_tenant() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM set_config('app.tenant', 'alice', false); RETURN NEW; END $$;
    CREATE TRIGGER keeps AFTER INSERT ON audited FOR EACH ROW EXECUTE FUNCTION keep_tenant();
    CREATE CONSTRAINT TRIGGER keeps_late AFTER UPDATE ON audited DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION keep_tenant();
    CREATE FUNCTION keep_by_function() RETURNS text LANGUAGE sql AS
        $$ SELECT set_config('app.tenant', 'alice', false) $$;
    CREATE PROCEDURE keep_by_procedure() LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_catalog.set_config('app.tenant', 'alice', false); END $$;
    CREATE FUNCTION keep_statement() RETURNS void LANGUAGE plpgsql AS
        $$ BEGIN EXECUTE 'PREPARE kept AS SELECT 1'; END $$;
    CREATE FUNCTION drop_statements() RETURNS void LANGUAGE plpgsql AS
        $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$;
    CREATE FUNCTION keep_lock() RETURNS void LANGUAGE sql AS $$ SELECT pg_advisory_lock(7) $$;
    INSERT INTO notes (id) VALUES (1);
    INSERT INTO audited VALUES (0)";

/// Statements that leave state on their connection, and each by another way.
const LEAVING: &[&str] = &[
    "SET app.tenant = 'alice'",
    "SET SESSION app.tenant TO 'alice'",
    "SELECT set_config('app.tenant', 'alice', false)",
    r#"SELECT "set_config"('app.tenant', 'alice', false)"#,
    "SELECT pg_catalog.set_config('app.tenant', 'alice', false)",
    "DO $$ BEGIN PERFORM set_config('app.tenant', 'alice', false); END $$",
    "DO $$ BEGIN EXECUTE 'SET app.tenant = ' || quote_literal('alice'); END $$",
    "SELECT keep_by_function()",
    "CALL keep_by_procedure()",
    "INSERT INTO audited VALUES (1)",
    "UPDATE audited SET id = id + 1",
    "SET statement_timeout = 77",
    "SET search_path = pg_catalog",
    "SET TimeZone = 'Asia/Tokyo'",
    "SET DateStyle = 'German'",
    "SET default_transaction_read_only = on",
    "SET SESSION AUTHORIZATION DEFAULT; SET application_name = 'stranger'",
    "CREATE TEMP TABLE notes (id int)",
    "CREATE TABLE pg_temp.notes (id int)",
    "DO $$ BEGIN CREATE TEMP TABLE notes (id int); END $$",
    "SELECT pg_advisory_lock(7)",
    r#"SELECT "pg_advisory_lock"(7)"#,
    "SELECT keep_lock()",
    "LISTEN news",
    "DECLARE kept CURSOR WITH HOLD FOR SELECT 1",
    "DO $$ BEGIN EXECUTE 'DECLARE kept CURSOR WITH HOLD FOR SELECT 1'; END $$",
];

/// What a session can see of the state of its connection.
const STATE: &str = "SELECT concat_ws(',', coalesce(current_setting('app.tenant', true), ''), \
    current_setting('statement_timeout'), current_setting('search_path'), current_setting('TimeZone'), \
    current_setting('DateStyle'), current_setting('default_transaction_read_only'), \
    current_setting('client_encoding'), current_setting('idle_in_transaction_session_timeout'), \
    split_part(current_setting('application_name'), '/', 1), current_user, session_user, \
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()), \
    (SELECT count(*) FROM pg_cursors WHERE name = 'kept'), (SELECT count(*) FROM pg_listening_channels()), \
    'notes'::regclass::oid)";

async fn state(pool: &TestPool) -> String {
    // Without a deadline, which would travel as a timeout.
    let session = pool.database.session(SessionOptions::new("state"));
    let state = text(&session, STATE).await.unwrap();
    // A placeholder that was set once is empty rather than missing: neither is a tenant.
    state.trim_start_matches(',').to_owned()
}

async fn pid(pool: &TestPool) -> i64 {
    number(&pool.reader(), "SELECT pg_backend_pid()").await.unwrap()
}

async fn prepared(share: u32) -> TestPool {
    let pool = test_pool(share).await;
    let session = pool.session("functions");
    session.execute_unprepared(FUNCTIONS).await.unwrap();
    session.end(Outcome::Commit).await.unwrap();
    pool
}

async fn leave(session: &Session, sql: &str) {
    session
        .execute_unprepared(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_state_of_a_session_reaches_the_next_one_on_its_connection() {
    let pool = prepared(1).await;
    let (before, connection) = (state(&pool).await, pid(&pool).await);
    for sql in LEAVING {
        for outcome in [Outcome::Commit, Outcome::Rollback] {
            let session = pool.session("leaves");
            leave(&session, sql).await;
            session.end(outcome).await.unwrap();
            assert_eq!(state(&pool).await, before, "{sql}, {outcome:?}");
            assert_eq!(pid(&pool).await, connection, "{sql} costs no connection");
        }
        let session = pool.database.session(SessionOptions::new("leaves").autocommit());
        leave(&session, sql).await;
        assert_eq!(state(&pool).await, before, "{sql}, autocommit");
        assert_eq!(pid(&pool).await, connection, "{sql} costs no connection");
    }
    pool.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_state_survives_a_commit_in_the_middle_or_a_failed_commit() {
    let pool = prepared(1).await;
    let before = state(&pool).await;
    for sql in LEAVING {
        let session = pool.session("leaves");
        leave(&session, sql).await;
        session.commit().await.unwrap();
        assert_eq!(state(&pool).await, before, "{sql}, commit in the middle");
        session.end(Outcome::Commit).await.unwrap();

        let session = pool.session("leaves and fails");
        leave(&session, "INSERT INTO public.children VALUES (1, 1)").await;
        leave(&session, sql).await;
        session.end(Outcome::Commit).await.unwrap_err();
        assert_eq!(state(&pool).await, before, "{sql}, failed commit");

        let session = pool.session("leaves and is dropped");
        leave(&session, sql).await;
        drop(session);
        assert_eq!(state(&pool).await, before, "{sql}, dropped");
    }
    pool.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_local_to_a_transaction_cost_no_connection() {
    let pool = prepared(1).await;
    let connection = pid(&pool).await;
    for _ in 0..10 {
        let session = pool.session("tenant");
        let tenant = text(&session, "SELECT set_config('app.tenant', 'alice', true)").await;
        assert_eq!(tenant.unwrap(), "alice");
        session.end(Outcome::Commit).await.unwrap();
    }
    assert_eq!(pid(&pool).await, connection);
}

#[tokio::test(flavor = "multi_thread")]
async fn state_that_a_reset_does_not_clear_closes_the_connection() {
    let pool = prepared(1).await;
    for sql in [
        "PREPARE kept AS SELECT 1",
        "DO $$ BEGIN EXECUTE 'PREPARE kept AS SELECT 1'; END $$",
    ] {
        let connection = pid(&pool).await;
        let session = pool.session("prepares");
        leave(&session, sql).await;
        session.end(Outcome::Commit).await.unwrap();
        assert_ne!(pid(&pool).await, connection, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_a_function_prepares_do_not_reach_the_next_session() {
    let pool = prepared(1).await;
    for outcome in [Outcome::Commit, Outcome::Rollback] {
        let session = pool.session("prepares");
        leave(&session, "SELECT keep_statement()").await;
        session.end(outcome).await.unwrap();
        let next = pool.session("next");
        let kept = "SELECT count(*) FROM pg_prepared_statements WHERE name = 'kept'";
        assert_eq!(number(&next, kept).await.unwrap(), 0, "{outcome:?}");
    }
    pool.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_a_function_drops_are_prepared_again() {
    let pool = prepared(1).await;
    let mode = pool.database.status().pooler;
    for _ in 0..3 {
        for outcome in [Outcome::Commit, Outcome::Rollback] {
            assert_eq!(number(&pool.reader(), "SELECT 7").await.unwrap(), 7);
            let session = pool.session("drops");
            leave(&session, "SELECT drop_statements()").await;
            session.end(outcome).await.unwrap();
            let session = pool.session("next");
            session
                .execute_unprepared("INSERT INTO audited VALUES (9)")
                .await
                .unwrap();
            assert_eq!(number(&session, "SELECT 7").await.unwrap(), 7);
            session.end(Outcome::Commit).await.unwrap();
        }
    }
    assert_eq!(pool.database.status().pooler, mode);
    pool.assert_whole().await;
}
