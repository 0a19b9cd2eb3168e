//! Statements that fail, by their SQLSTATE.

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};
use berth_web::Error;
use berth_web::extract::Session;
use berth_web::testing::Response;
use reqwest::{Method, StatusCode};
use sea_orm::ConnectionTrait;

use crate::service::{postgres, start};

/// The code, a statement that fails with it, the status and the type of the problem.
const CASES: &[(&str, &str, u16, &str)] = &[
    (
        "22001",
        "create table t (a varchar(2)); insert into t values ('abc')",
        422,
        "invalid-input",
    ),
    (
        "22003",
        "select 99999999999::bigint::integer",
        422,
        "invalid-input",
    ),
    ("22008", "select '2020-13-45'::date", 422, "invalid-input"),
    ("22012", "select 1 / 0", 422, "invalid-input"),
    (
        "22021",
        r"select convert_from('\xff', 'UTF8')",
        422,
        "invalid-input",
    ),
    ("22P02", "select 'x'::integer", 422, "invalid-input"),
    (
        "22P05",
        "select convert_to('\u{20ac}', 'LATIN1')",
        422,
        "invalid-input",
    ),
    (
        "23502",
        "create table t (a integer not null); insert into t values (null)",
        422,
        "invalid-input",
    ),
    (
        "23514",
        "create table t (a integer check (a > 0)); insert into t values (0)",
        422,
        "invalid-input",
    ),
    (
        "23505",
        "create table t (a integer unique); insert into t values (1), (1)",
        409,
        "conflict",
    ),
    (
        "23503",
        "create table p (a integer primary key); create table c (a integer references p); insert into c values (1)",
        409,
        "conflict",
    ),
    (
        "23P01",
        "create table t (a integer, exclude (a with =)); insert into t values (1), (1)",
        409,
        "conflict",
    ),
    (
        "23001",
        "do $$ begin raise 'restricted' using errcode = '23001'; end $$",
        409,
        "conflict",
    ),
    (
        "40001",
        "do $$ begin raise 'serialization' using errcode = '40001'; end $$",
        409,
        "concurrent-change",
    ),
    (
        "40P01",
        "do $$ begin raise 'deadlock' using errcode = '40P01'; end $$",
        409,
        "concurrent-change",
    ),
    (
        "44000",
        "create table t (a integer); create view v as select a from t where a > 0 with check option; \
         insert into v values (0)",
        422,
        "invalid-input",
    ),
    (
        "55P03",
        "do $$ begin raise 'locked' using errcode = '55P03'; end $$",
        409,
        "concurrent-change",
    ),
    (
        "42501",
        "create role nobody_at_all; set local role nobody_at_all; select * from pg_authid",
        403,
        "forbidden",
    ),
    (
        "53100",
        "do $$ begin raise 'disk full' using errcode = '53100'; end $$",
        503,
        "database-unavailable",
    ),
    (
        "53200",
        "do $$ begin raise 'out of memory' using errcode = '53200'; end $$",
        503,
        "database-unavailable",
    ),
    (
        "53400",
        "do $$ begin raise 'limit' using errcode = '53400'; end $$",
        503,
        "database-unavailable",
    ),
    (
        "54000",
        "do $$ begin raise 'limit' using errcode = '54000'; end $$",
        422,
        "invalid-input",
    ),
    (
        "54001",
        "do $$ begin raise 'too complex' using errcode = '54001'; end $$",
        422,
        "invalid-input",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_sqlstate_gets_the_status_of_its_kind() {
    let server = start(postgres().await, |_| {}, routes).await;
    for (code, statement, status, kind) in CASES {
        let request = server.client().request(Method::POST, "/sql").body(*statement);
        let response = Response::to(request).await;
        assert_eq!(response.status.as_u16(), *status, "{code}: {}", response.text);
        let is_temporary = *status == 503 || *kind == "concurrent-change";
        assert_eq!(
            response.headers.contains_key("retry-after"),
            is_temporary,
            "{code}"
        );
        response.problem(
            StatusCode::from_u16(*status).unwrap(),
            &format!("/problems/{kind}"),
        );
    }
    let request = server
        .client()
        .request(Method::POST, "/sql")
        .body("select * from nowhere");
    Response::to(request)
        .await
        .problem(StatusCode::INTERNAL_SERVER_ERROR, "about:blank");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insert_that_stores_no_row_is_a_conflict() {
    let server = start(postgres().await, |_| {}, routes).await;
    let response = server
        .client()
        .post("/not-inserted", serde_json::Value::Null)
        .await;
    response.problem(StatusCode::CONFLICT, "/problems/conflict");
}

fn routes(routes: &mut ServiceConfig) {
    routes
        .route("/sql", web::post().to(sql))
        .route("/not-inserted", web::post().to(not_inserted));
}

async fn sql(session: Session, statements: String) -> Result<HttpResponse, Error> {
    // A DO block is one statement.
    let separator = if statements.starts_with("do ") { "\0" } else { "; " };
    for statement in statements.split(separator) {
        let done = session.execute_unprepared(statement).await;
        done.map_err(berth_database::Error::from)?;
    }
    Ok(HttpResponse::Ok().finish())
}

async fn not_inserted() -> Result<HttpResponse, Error> {
    Err(berth_database::Error::from(sea_orm::DbErr::RecordNotInserted).into())
}
