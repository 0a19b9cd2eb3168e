//! Types of the user's own behind a transaction pooler, where statements are unnamed.

use std::time::Duration;

use berth_database::{Database, Error, Outcome, Pooler, Session, SessionOptions};
use berth_testkit::{PgBouncer, PoolMode, TestDatabase};
use futures_util::TryStreamExt;
use futures_util::future::{join_all, try_join_all};
use sea_orm::{ConnectionTrait, QueryResult, StreamTrait, TransactionTrait};
use sqlx::Row;

use crate::fixture::{number, statement};
use crate::pooler_modes::pooled;

const TYPES: &str = "
    CREATE EXTENSION citext;
    CREATE TYPE mood AS ENUM ('sad', 'glad');
    CREATE DOMAIN positive AS int CHECK (VALUE > 0);
    CREATE DOMAIN moods AS mood[];
    CREATE TYPE span AS RANGE (subtype = float8);
    CREATE TYPE point3 AS (x float8, y float8, felt mood);
    CREATE TABLE typed (
        id serial PRIMARY KEY,
        an_enum mood NOT NULL DEFAULT 'glad',
        a_domain positive NOT NULL DEFAULT 1,
        an_array mood[] NOT NULL DEFAULT '{sad,glad}',
        a_domain_of_an_array moods NOT NULL DEFAULT '{sad}',
        a_range span NOT NULL DEFAULT '[1,2)',
        a_composite point3 NOT NULL DEFAULT '(1,2,sad)',
        an_extensions citext NOT NULL DEFAULT 'Text',
        a_rare_one tsvector NOT NULL DEFAULT 'a b'
    );
    INSERT INTO typed DEFAULT VALUES";

const COLUMNS: [&str; 9] = [
    "an_enum",
    "a_domain",
    "an_array",
    "a_domain_of_an_array",
    "a_range",
    "a_composite",
    "an_extensions",
    "a_rare_one",
    "typed",
];

struct Typed {
    database: Database,
    server: TestDatabase,
    _pooler: PgBouncer,
}

/// A pool of so many connections, none of which has met the types yet.
async fn typed(connections: u32) -> Typed {
    let (database, server, pooler) = pooled(PoolMode::Transaction, 2, |settings| {
        settings.pooler = Pooler::Transaction;
        settings.limit = connections;
        settings.pool_size = connections;
    })
    .await;
    let mut admin = server.admin().await;
    sqlx::Executor::execute(&mut admin, TYPES).await.unwrap();
    let typed = Typed {
        database,
        server,
        _pooler: pooler,
    };
    typed
        .alter("GRANT ALL ON ALL TABLES IN SCHEMA public TO public; GRANT ALL ON typed_id_seq TO public")
        .await;
    typed
}

impl Typed {
    fn session(&self) -> Session {
        let options = SessionOptions::new("typed").deadline(Duration::from_secs(20));
        self.database.session(options)
    }

    async fn alter(&self, sql: &'static str) {
        let mut admin = self.server.admin().await;
        sqlx::Executor::execute(&mut admin, sql).await.unwrap();
    }
}

fn raw(row: &QueryResult) -> Vec<u8> {
    let row = row.try_as_pg_row().expect("PostgreSQL's");
    row.try_get_raw(0).unwrap().as_bytes().unwrap().to_vec()
}

async fn one(on: &impl ConnectionTrait, sql: &str) -> Result<Vec<u8>, Error> {
    let row = on.query_one_raw(statement(sql, [])).await?;
    Ok(raw(&row.ok_or(Error::NotFound)?))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_use_of_a_type_works_as_the_first_statement_of_a_transaction() {
    for column in COLUMNS {
        let typed = typed(1).await;
        let session = typed.session();
        let value = one(&session, &format!("SELECT {column} FROM typed")).await;
        assert!(!value.expect(column).is_empty(), "{column}");
        session.end(Outcome::Commit).await.unwrap();
        assert_eq!(typed.database.status().counters.retried, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_use_of_a_type_works_in_the_middle_of_a_transaction_and_of_a_nested_one() {
    let typed = typed(1).await;
    let session = typed.session();
    number(&session, "SELECT 1").await.unwrap();
    let (first, second) = COLUMNS.split_at(COLUMNS.len() / 2);
    for column in first {
        one(&session, &format!("SELECT {column} FROM typed"))
            .await
            .expect(column);
    }
    let nested = session.begin().await.unwrap();
    for column in second {
        one(&nested, &format!("SELECT {column} FROM typed"))
            .await
            .expect(column);
    }
    nested.commit().await.unwrap();
    session.end(Outcome::Commit).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sessions_meet_types_for_the_first_time_at_once() {
    let typed = typed(6).await;
    join_all((0..60).map(|at| {
        let typed = &typed;
        async move {
            let session = typed.session();
            let column = COLUMNS[at % COLUMNS.len()];
            number(&session, "SELECT count(*) FROM notes").await.unwrap();
            one(&session, &format!("SELECT {column} FROM typed"))
                .await
                .expect(column);
            session.end(Outcome::Commit).await.unwrap();
        }
    }))
    .await;
    assert_eq!(typed.database.status().counters.retried, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsed_write_happens_once() {
    let typed = typed(1).await;
    let session = typed.session();
    let sql = "INSERT INTO typed (a_domain) VALUES ($1) RETURNING an_enum";
    for value in 1..=3 {
        let row = session
            .query_one_raw(statement(sql, [value.into()]))
            .await
            .unwrap();
        assert_eq!(raw(&row.unwrap()), b"glad");
    }
    let many = "UPDATE typed SET a_domain = a_domain + $1 RETURNING a_composite";
    let rows = session.query_all_raw(statement(many, [10.into()])).await.unwrap();
    assert_eq!(rows.len(), 4);
    let silent = "UPDATE typed SET a_domain = a_domain + 100 RETURNING an_array";
    let done = session.execute_raw(statement(silent, [])).await.unwrap();
    assert_eq!(done.rows_affected(), 4);
    let sum = number(&session, "SELECT sum(a_domain) FROM typed").await.unwrap();
    assert_eq!(sum, 1 + 1 + 2 + 3 + 4 * 110);
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_own_types_work_at_the_first_use() {
    let typed = typed(1).await;
    let session = typed.session();
    let sql = "SELECT $1::mood, $2::text::positive, $3::text[]::mood[], $4::text::citext";
    let values = [
        "sad".into(),
        "7".into(),
        vec!["glad".to_owned()].into(),
        "Any".into(),
    ];
    let row = session.query_one_raw(statement(sql, values)).await.unwrap();
    assert_eq!(raw(&row.unwrap()), b"sad");
    let sql = "INSERT INTO typed (an_enum, an_extensions) VALUES ($1::mood, $2)";
    session
        .execute_raw(statement(sql, ["sad".into(), "x".into()]))
        .await
        .unwrap();
    let found = "SELECT id FROM typed WHERE an_enum = $1::mood AND an_extensions = $2::citext";
    let row = session
        .query_one_raw(statement(found, ["sad".into(), "X".into()]))
        .await
        .unwrap();
    assert!(row.is_some());
    session.end(Outcome::Commit).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_own_types_works_at_the_first_use() {
    let typed = typed(1).await;
    let session = typed.session();
    for sql in [
        "SELECT an_enum FROM typed",
        "SELECT an_array FROM typed, generate_series(1, 500)",
    ] {
        let rows = session.stream_raw(statement(sql, [])).await.unwrap();
        let rows: Vec<_> = rows.try_collect().await.unwrap();
        assert!(!rows.is_empty(), "{sql}");
    }
    session.end(Outcome::Commit).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_fails_says_why_at_its_first_use_too() {
    let typed = typed(1).await;
    for (sql, code) in [
        ("SELECT an_enum FROM missing", "42P01"),
        ("SELECT an_enum, 1 / (id - 1) FROM typed", "22012"),
        (
            "INSERT INTO typed (an_enum) VALUES ('worried') RETURNING an_enum",
            "22P02",
        ),
    ] {
        let session = typed.session();
        let error = one(&session, sql).await.unwrap_err();
        let Error::Statement(sea_orm::DbErr::Query(sea_orm::RuntimeErr::SqlxError(error))) = &error else {
            panic!("{error:?}");
        };
        let found = error.as_database_error().and_then(|error| error.code());
        assert_eq!(found.as_deref(), Some(code), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_made_anew_by_a_migration_is_found_again() {
    let typed = typed(1).await;
    let sql = "SELECT an_enum FROM typed";
    one(&typed.session(), sql).await.unwrap();
    number(&typed.session(), "SELECT a_domain FROM typed")
        .await
        .unwrap();
    typed
        .alter(
            "ALTER TABLE typed DROP an_enum; DROP TYPE mood CASCADE; CREATE TYPE mood AS ENUM ('calm');
             ALTER TABLE typed ADD an_enum mood NOT NULL DEFAULT 'calm'",
        )
        .await;
    // As the first statement of a transaction it goes again.
    assert_eq!(one(&typed.session(), sql).await.unwrap(), b"calm");
    // A text that was known to need no types now needs one.
    let changes = "SELECT body FROM notes";
    typed.alter("INSERT INTO notes VALUES (1, 'calm')").await;
    one(&typed.session(), changes).await.unwrap();
    typed.alter("CREATE TYPE tone AS ENUM ('calm'); ALTER TABLE notes ALTER body DROP DEFAULT, ALTER body TYPE tone USING 'calm'").await;
    let session = typed.session();
    number(&session, "SELECT 1").await.unwrap();
    let error = one(&session, changes).await.unwrap_err();
    assert!(
        error.is_serialization(),
        "the unit of work can be run again: {error:?}"
    );
    drop(session);
    let done: Result<_, Error> = typed
        .database
        .transaction(SessionOptions::new("again"), async |session| {
            number(session, "SELECT 1").await?;
            one(session, changes).await
        })
        .await;
    assert_eq!(done.unwrap(), b"calm");
}

#[tokio::test(flavor = "multi_thread")]
async fn named_statements_of_own_types_work_in_session_mode() {
    let (database, server, _pooler) = pooled(PoolMode::Session, 2, |_| {}).await;
    let mut admin = server.admin().await;
    sqlx::Executor::execute(&mut admin, TYPES).await.unwrap();
    sqlx::Executor::execute(&mut admin, "GRANT ALL ON typed TO public")
        .await
        .unwrap();
    let sessions = (0..8).map(|at| {
        let session = database.session(SessionOptions::new("typed"));
        async move { one(&session, &format!("SELECT {} FROM typed", COLUMNS[at])).await }
    });
    try_join_all(sessions).await.unwrap();
}
