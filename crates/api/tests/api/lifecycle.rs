//! How the process begins, what it says, and how it ends.

use crate::server::{process, start_with};
use berth_web::testing::{Response, Store};
use std::time::{Duration, Instant};

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};
use berth_testkit::{Cluster, PgBouncer, PgBouncerOptions};
use berth_web::extract::Session;
use reqwest::{Method, StatusCode};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

pub(crate) const ANY_PORT: (&str, &str) = ("SERVER_PORT", "0");

/// Lets go of the requests that `/slow` keeps.
static LET_GO: Semaphore = Semaphore::const_new(0);

#[tokio::test]
async fn with_nothing_set_it_serves_on_sqlite_and_says_so() {
    let mut process = process(&[], &[ANY_PORT]);
    let client = process.listening().await;
    client.get("/health/ready").await.ok();
    assert!(process.folder.path().join("data/berth.sqlite").exists());
    let said = process.seen.join("\n");
    for part in ["sqlite://data/berth.sqlite", "/docs/"] {
        assert!(said.contains(part), "nothing about {part}: {said}");
    }
    assert!(said.contains("migration applied"), "{said}");
    process.signal("TERM").await;
    assert!(process.ended().await.0.success());
}

#[tokio::test]
async fn an_unknown_path_is_logged_with_its_path() {
    let mut process = process(&[], &[ANY_PORT]);
    let client = process.listening().await;
    let problem = client.get("/unknown-path").await;
    problem.problem(StatusCode::NOT_FOUND, "about:blank");
    assert!(process.logs("/unknown-path").await.contains("404"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_to_stop_it_finishes_a_request_under_way_and_begins_no_new_one() {
    let patient = |settings: &mut api::settings::Settings| {
        settings.server.shutdown_timeout = Duration::from_secs(300);
    };
    let mut server = start_with(Store::sqlite(), patient, routes).await;
    let client = server.client();
    let asking = tokio::spawn(async move { client.post("/slow", Value::Null).await });
    server.leases_to("POST /slow").await;
    server.stop();
    berth_testkit::eventually(async || !server.client().is_served().await).await;
    LET_GO.add_permits(1);
    let _ = asking.await.unwrap().assert_status(StatusCode::OK);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_never_ends_does_not_keep_it_from_ending() {
    let hasty = |settings: &mut api::settings::Settings| {
        settings.server.shutdown_timeout = Duration::from_secs(1);
    };
    let mut server = start_with(Store::sqlite(), hasty, routes).await;
    let asking = tokio::spawn(server.client().request(Method::POST, "/forever").send());
    server.leases_to("POST /forever").await;
    server.stop();
    server.stopped().await;
    assert!(asking.await.unwrap().is_err());
}

#[tokio::test]
async fn production_does_not_log_successful_requests_unless_configured() {
    let production = [
        ANY_PORT,
        ("APP_ENV", "production"),
        ("DATABASE_URL", "sqlite://data/berth.sqlite?mode=rwc"),
        ("APP__APP__SECRET", "0123456789abcdef0123456789abcdef"),
        ("AUTH_MODE", "local"),
        ("SERVER_HOST", "127.0.0.1"),
    ];
    for (level, told) in [(None, false), (Some(("LOG_LEVEL", "info")), true)] {
        let set: Vec<_> = production.into_iter().chain(level).collect();
        let mut process = process(&[], &set);
        let client = process.listening().await;
        assert!(
            process
                .seen
                .iter()
                .any(|line| line.contains("in production: the database is a SQLite file"))
        );
        for (id, path) in [("went-well", "/"), ("went-wrong", "/nowhere")] {
            let request = client.request(Method::GET, path).header("x-request-id", id);
            request.send().await.unwrap();
        }
        process.signal("TERM").await;
        let (_, _, log) = process.ended().await;
        let has = |id: &str| log.iter().any(|line| line.contains(id));
        assert!(has("went-wrong"), "{log:#?}");
        assert_eq!(has("went-well"), told, "{log:#?}");
    }
}

#[tokio::test]
async fn production_logs_json_with_the_request_id_and_only_warns_of_pending_migrations() {
    let set = [
        ANY_PORT,
        ("APP__APP__SECRET", "0123456789abcdef0123456789abcdef"),
        ("AUTH_MODE", "local"),
        ("APP_ENV", "production"),
        ("DATABASE_URL", "sqlite://data/berth.sqlite?mode=rwc"),
        ("SERVER_HOST", "127.0.0.1"),
    ];
    let mut process = process(&[], &set);
    let client = process.listening().await;
    let seen: Vec<Value> = process
        .seen
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        seen.iter()
            .any(|line| line["level"] == "WARN" && line["message"].as_str().unwrap().contains("pending"))
    );
    let request = client
        .request(Method::POST, "/api/v1/auth/login")
        .json(&json!({ "email": "a@example.com", "password": "correct horse" }))
        .header("x-request-id", "find-me");
    let answer = Response::to(request).await;
    answer.problem(StatusCode::INTERNAL_SERVER_ERROR, "about:blank");
    let line: Value = serde_json::from_str(&process.logs("request failed").await).unwrap();
    assert_eq!(
        (&line["span"]["request_id"], &line["level"]),
        (&json!("find-me"), &json!("ERROR"))
    );
    assert_eq!(
        (&line["status"], &line["span"]["http.route"]),
        (&json!(500), &json!("/api/v1/auth/login"))
    );
    process.signal("TERM").await;
    let (_, _, log) = process.ended().await;
    let failures = log.iter().filter(|line| line.contains("find-me")).count();
    assert_eq!(failures, 1, "one failure, one line: {log:#?}");
}

#[tokio::test]
async fn production_without_a_decision_about_logins_does_not_start_and_the_doctor_says_why() {
    let set = [
        ANY_PORT,
        ("APP__APP__SECRET", "0123456789abcdef0123456789abcdef"),
        ("APP_ENV", "production"),
        ("DATABASE_URL", "sqlite://data/berth.sqlite?mode=rwc"),
    ];
    for command in ["serve", "doctor"] {
        let (status, said, _) = process(&[command], &set).ended().await;
        assert_eq!(status.code(), Some(2), "{command}");
        assert!(
            said.contains("auth.mode") && said.contains("must be set in production"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_setting_that_is_refused_ends_it_with_2_before_it_listens() {
    let (status, said, log) = process(&["--set", "server.port=http"], &[]).ended().await;
    assert_eq!(status.code(), Some(2));
    assert!(
        said.starts_with("api: invalid setting: server.port = \"http\" (from command line):"),
        "{said}"
    );
    assert!(log.is_empty(), "{log:?}");
}

#[tokio::test]
async fn config_shows_what_is_in_force_and_no_secret() {
    let url = "postgres://user:hush@db.example.org/berth";
    let (status, _, shown) = process(&["config"], &[("DATABASE_URL", url)]).ended().await;
    assert!(status.success());
    let shown = shown.join("\n");
    assert!(
        shown.contains("environment DATABASE_URL") && shown.contains("db.example.org"),
        "{shown}"
    );
    assert!(!shown.contains("hush"), "{shown}");
}

#[tokio::test]
async fn a_database_that_does_not_answer_ends_it_with_1_after_its_patience() {
    let nobody = format!(
        "postgres://user:hush@127.0.0.1:{}/berth",
        berth_testkit::free_port()
    );
    let set = [
        ANY_PORT,
        ("DATABASE_URL", &*nobody),
        ("APP__STARTUP__DATABASE_TIMEOUT", "4"),
    ];
    let started = Instant::now();
    let (status, said, log) = process(&[], &set).ended().await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        started.elapsed() >= Duration::from_secs(4),
        "it did not try again"
    );
    let waiting = log.iter().find(|line| line.contains("waiting for the database"));
    let waiting = waiting.expect("the start reports what it waits for");
    for part in [
        "nothing listens at the address",
        "`api doctor`",
        "user:***@127.0.0.1",
    ] {
        assert!(waiting.contains(part), "nothing about {part}: {waiting}");
    }
    assert!(
        said.starts_with("api: the database at postgres://user:***@127.0.0.1:"),
        "{said}"
    );
    assert!(said.contains("cannot be used"), "{said}");
    assert!(
        !said.contains("hush") && !log.join("").contains("hush"),
        "{said} {log:?}"
    );
}

#[tokio::test]
async fn a_wrong_password_ends_it_at_once() {
    let database = Cluster::shared().await.database().await;
    let wrong = database.url().replace(database.password(), "wrong-hush");
    let set = [
        ANY_PORT,
        ("DATABASE_URL", &*wrong),
        ("APP__STARTUP__DATABASE_TIMEOUT", "25"),
    ];
    let started = Instant::now();
    let (status, said, _) = process(&[], &set).ended().await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(started.elapsed() < Duration::from_secs(20), "it tried again");
    assert!(!said.contains("wrong-hush"), "{said}");
}

#[tokio::test]
async fn it_waits_for_a_database_that_starts_together_with_it() {
    let database = Cluster::shared().await.database().await;
    let limiter = berth_testkit::Limiter::start(&database, berth_testkit::LimiterOptions::limit(5));
    limiter.stop_listening().await;
    let mut process = process(&[], &[ANY_PORT, ("DATABASE_URL", &limiter.url())]);
    process.logs("connecting").await;
    limiter.resume_listening().await;
    let _ = process.listening().await.get("/health/ready").await.ok();
    let seen = process.seen.join("\n");
    assert!(seen.contains("migration applied"), "{seen}");
    assert!(
        !seen.contains("already exists"),
        "SeaORM's notices are shown: {seen}"
    );
    process.signal("TERM").await;
    let (status, said, _) = process.ended().await;
    assert!(status.success(), "{said}");
    berth_testkit::eventually(async || database.backends().await == 0).await;
}

/// Migrations at the start included, and with none of PgBouncer's own settings changed for us.
#[tokio::test]
async fn it_serves_through_pgbouncer_in_session_mode_without_decompression() {
    let cluster = Cluster::shared().await;
    let database = cluster.database().await;
    let pgbouncer = PgBouncer::start(cluster, PgBouncerOptions::default()).await;
    let set = [
        ANY_PORT,
        ("DATABASE_URL", &*pgbouncer.url(&database)),
        ("DB_POOLER", "session"),
    ];
    let mut process = process(&[], &set);
    let client = process.listening().await;
    assert_eq!(client.get("/health/ready").await.ok()["status"], "ready");
    assert_eq!(
        client.get("/api/v1/me").await.ok()["email"],
        "developer@localhost"
    );
    process.signal("TERM").await;
    assert!(process.ended().await.0.success());
}

#[tokio::test]
async fn a_port_that_is_taken_ends_it_with_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (status, said, _) = process(&["--port", &port], &[]).ended().await;
    assert_eq!(status.code(), Some(1));
    assert!(
        said.contains(&format!("cannot listen on 127.0.0.1:{port}")),
        "{said}"
    );
}

fn routes(routes: &mut ServiceConfig) {
    routes
        .route("/slow", web::post().to(slow))
        .route("/forever", web::post().to(forever));
}

async fn slow(session: Session) -> HttpResponse {
    session.execute_unprepared("select 1").await.unwrap();
    LET_GO.acquire().await.unwrap().forget();
    HttpResponse::Ok().finish()
}

async fn forever(session: Session) -> HttpResponse {
    session.execute_unprepared("select 1").await.unwrap();
    std::future::pending().await
}

#[tokio::test]
async fn sighup_stops_it_gracefully() {
    let mut process = process(&[], &[ANY_PORT]);
    process.listening().await.get("/health/live").await.ok();
    process.signal("HUP").await;
    let (status, said, log) = process.ended().await;
    assert!(status.success(), "{said}");
    assert!(log.last().unwrap().contains("stopped"), "{log:#?}");
}

#[tokio::test]
async fn malformed_requests_are_no_error_lines() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut process = process(&[], &[ANY_PORT]);
    let client = process.listening().await;
    for garbage in [
        "\u{16}\u{3}\u{1}tls\r\n\r\n",
        "GET / HTTP/9\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        let mut socket = tokio::net::TcpStream::connect(client.address()).await.unwrap();
        socket.write_all(garbage.as_bytes()).await.unwrap();
        let _ = socket.read_to_end(&mut Vec::new()).await;
    }
    process.signal("TERM").await;
    let (_, _, log) = process.ended().await;
    assert!(!log.iter().any(|line| line.contains("ERROR")), "{log:#?}");
}

#[tokio::test]
async fn it_serves_on_when_nothing_reads_its_log_any_more() {
    let mut process = process(&[], &[ANY_PORT]);
    let client = process.listening().await;
    process.close_output();
    for _ in 0..3 {
        client
            .get("/nowhere")
            .await
            .problem(StatusCode::NOT_FOUND, "about:blank");
    }
    client.get("/health/live").await.ok();
}
