//! Settings that travel with BEGIN: deadline, isolation, read-only, role and claims.

use std::time::Duration;

use berth_database::{Error, Outcome, Session, SessionOptions};
use sea_orm::{AccessMode, ConnectionTrait, IsolationLevel, TransactionTrait};
use serde_json::json;

use crate::fixture::{TestPool, insert, number, test_pool, test_pool_with, text};

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_isolation_and_access_mode_reach_the_server() {
    let fixture = test_pool(1).await;
    let options = SessionOptions::new("travels")
        .deadline(Duration::from_secs(3))
        .isolation(IsolationLevel::Serializable)
        .read_only()
        .autocommit_reads();
    let session = fixture.database.session(options);
    assert_eq!(
        text(&session, "SHOW transaction_isolation").await.unwrap(),
        "serializable"
    );
    assert_eq!(text(&session, "SHOW transaction_read_only").await.unwrap(), "on");
    let milliseconds = "SELECT setting::int FROM pg_settings WHERE name = 'statement_timeout'";
    let timeout = number(&session, milliseconds).await.unwrap();
    assert!((1..=3000).contains(&timeout), "{timeout}");
    assert!(insert(&session, 1).await.is_err(), "read only");
    session.end(Outcome::Rollback).await.unwrap();
    let next = fixture.database.session(SessionOptions::new("next"));
    assert_eq!(
        number(&next, milliseconds).await.unwrap(),
        30_000,
        "nothing of it stays"
    );
    assert_eq!(
        text(&next, "SHOW transaction_isolation").await.unwrap(),
        "read committed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn role_and_claims_hold_for_one_transaction_and_hostile_ones_are_data() {
    let fixture = test_pool(1).await;
    let role = format!("tenant \"quoted\" {}", fixture.server.name());
    let quoted = role.replace('"', "\"\"");
    let mut admin = fixture.server.admin().await;
    let grant = format!(
        "CREATE ROLE \"{quoted}\" NOLOGIN; GRANT \"{quoted}\" TO \"{}\"; GRANT SELECT ON notes TO \"{quoted}\"; \
         ALTER TABLE notes ENABLE ROW LEVEL SECURITY; \
         CREATE POLICY own ON notes FOR SELECT TO \"{quoted}\" \
         USING (body = current_setting('request.jwt.claims')::json ->> 'sub')",
        fixture.server.role()
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(grant))
        .execute(&mut admin)
        .await
        .unwrap();
    let hostile = "o'); DROP TABLE notes; -- \\' $$ \u{0} \" \\";
    let setup = fixture.session("set up");
    for (id, owner) in [(1, hostile.replace('\0', "")), (2, "another".to_owned())] {
        let values = [id.into(), owner.into()];
        let sql = "INSERT INTO notes (id, body) VALUES ($1, $2)";
        setup
            .execute_raw(crate::fixture::statement(sql, values))
            .await
            .unwrap();
    }
    setup.end(Outcome::Commit).await.unwrap();
    let claims = json!({ "sub": hostile.replace('\0', ""), "evil": "'; COMMIT; --" });
    let session = fixture.database.session(
        SessionOptions::new("tenant")
            .role(&role, claims)
            .autocommit_reads(),
    );
    assert_eq!(
        number(&session, "SELECT count(*) FROM notes").await.unwrap(),
        1,
        "its own row only"
    );
    assert_eq!(text(&session, "SELECT current_user::text").await.unwrap(), role);
    let denied: Error = insert(&session, 3).await.unwrap_err().into();
    assert!(matches!(denied, Error::Statement(_)), "{denied:?}");
    session.end(Outcome::Rollback).await.unwrap();
    let next = fixture.reader();
    assert_eq!(
        text(&next, "SELECT current_user::text").await.unwrap(),
        fixture.server.role()
    );
    assert_eq!(fixture.notes().await, 2);
    let clean = format!("DROP POLICY own ON notes; DROP OWNED BY \"{quoted}\"; DROP ROLE \"{quoted}\"");
    sqlx::raw_sql(sqlx::AssertSqlSafe(clean))
        .execute(&mut admin)
        .await
        .unwrap();
}

const CLAIMS: &str = "SELECT current_setting('request.jwt.claims')::json::text";

/// The role that the tests log in with, which may always take itself.
async fn with_claims(fixture: &TestPool, label: &'static str) -> Session {
    let options =
        SessionOptions::new(label).role(fixture.server.role(), json!({ "sub": "a-secret-subject" }));
    fixture.database.session(options.autocommit_reads())
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_are_valid_json_in_every_session() {
    let fixture = test_pool(1).await;
    assert_eq!(text(&fixture.reader(), CLAIMS).await.unwrap(), "{}");
    let session = with_claims(&fixture, "claims").await;
    assert!(text(&session, CLAIMS).await.unwrap().contains("a-secret-subject"));
    insert(&session, 1).await.unwrap();
    session.end(Outcome::Commit).await.unwrap();
    assert_eq!(text(&fixture.reader(), CLAIMS).await.unwrap(), "{}");
    assert_eq!(text(&fixture.session("next"), CLAIMS).await.unwrap(), "{}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_with_a_role_takes_two_round_trips_and_holds_nothing_afterwards() {
    let fixture = test_pool(1).await;
    let session = with_claims(&fixture, "reads").await;
    for reads in 1..=3 {
        number(&session, "SELECT count(*) FROM notes").await.unwrap();
        assert_eq!(session.usage().round_trips, 2 * reads);
        // With a share of one, another session gets the connection.
        fixture.notes().await;
    }
    let body = session.into_streaming().await.unwrap();
    assert!(
        text(&body, CLAIMS).await.unwrap().contains("a-secret-subject"),
        "the body has the role too"
    );
    fixture.notes().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_are_shown_nowhere() {
    crate::logging::listen();
    let fixture = test_pool_with(1, |settings| {
        (settings.echo, settings.echo_parameters) = (true, true);
    })
    .await;
    let session = with_claims(&fixture, "shows no claims").await;
    assert!(!format!("{session:?}").contains("a-secret-subject"));
    insert(&session, 1).await.unwrap();
    let holders = format!("{:?}", fixture.database.holders());
    assert!(
        holders.contains("shows no claims") && !holders.contains("a-secret-subject"),
        "{holders}"
    );
    session.end(Outcome::Commit).await.unwrap();
    let begins = crate::logging::told(&["BEGIN", "SET LOCAL ROLE", "request.jwt.claims"]);
    assert!(!begins.is_empty());
    assert_eq!(crate::logging::told(&["a-secret-subject"]), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_one_transaction_do_not_reach_the_next() {
    let fixture = test_pool(1).await;
    let options = SessionOptions::new("own").isolation(IsolationLevel::RepeatableRead);
    let session = fixture.database.session(options);
    let level = "SELECT current_setting('transaction_isolation')";
    let access = "SELECT current_setting('transaction_read_only')";
    for finish in ["commit", "rollback", "drop"] {
        let begun = session
            .begin_with_config(Some(IsolationLevel::Serializable), Some(AccessMode::ReadOnly))
            .await;
        let reads = begun.unwrap();
        assert_eq!(text(&reads, level).await.unwrap(), "serializable");
        assert_eq!(text(&reads, access).await.unwrap(), "on");
        match finish {
            "commit" => reads.commit().await.unwrap(),
            "rollback" => reads.rollback().await.unwrap(),
            _ => drop(reads),
        }
        assert_eq!(
            text(&session, level).await.unwrap(),
            "repeatable read",
            "{finish}"
        );
        assert_eq!(text(&session, access).await.unwrap(), "off", "{finish}");
        session.execute_unprepared("DELETE FROM notes").await.unwrap();
        session.commit().await.unwrap();
    }

    // What writes is stored by the session's commit, and its options hold until then.
    let begun = session
        .begin_with_config(Some(IsolationLevel::Serializable), None)
        .await;
    let writes = begun.unwrap();
    insert(&writes, 1).await.unwrap();
    writes.commit().await.unwrap();
    assert_eq!(text(&session, level).await.unwrap(), "serializable");
    session.commit().await.unwrap();
    assert_eq!(text(&session, level).await.unwrap(), "repeatable read");
    session.end(Outcome::Commit).await.unwrap();
    assert_eq!(fixture.notes().await, 1);
    fixture.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nested_transaction_may_be_stricter_in_access_and_not_differ_in_isolation() {
    let fixture = test_pool(1).await;
    let session = fixture.session("nests");
    insert(&session, 1).await.unwrap();
    let reads = session
        .begin_with_config(None, Some(AccessMode::ReadOnly))
        .await
        .unwrap();
    insert(&reads, 2).await.unwrap_err();
    reads.rollback().await.unwrap();
    let reads = session
        .begin_with_config(None, Some(AccessMode::ReadOnly))
        .await
        .unwrap();
    assert_eq!(number(&reads, "SELECT count(*) FROM notes").await.unwrap(), 1);
    reads.commit().await.unwrap();
    insert(&session, 2).await.expect("writes again");
    let stricter = session
        .begin_with_config(Some(IsolationLevel::Serializable), None)
        .await;
    assert!(matches!(
        Error::from(stricter.unwrap_err()),
        Error::Unsupported(_)
    ));
    session.end(Outcome::Commit).await.unwrap();
    assert_eq!(fixture.notes().await, 2);
    fixture.assert_whole().await;
}
