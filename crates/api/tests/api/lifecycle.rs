//! How the process begins, what it says, and how it ends.

use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::{Value, json};
use testkit::{Cluster, PgBouncer, PgBouncerOptions};

use crate::process::Process;
use crate::responder::Responder;

const ANY_PORT: (&str, &str) = ("SERVER_PORT", "0");
const SECRET: (&str, &str) = ("APP__APP__SECRET", "0123456789abcdef0123456789abcdef");

#[tokio::test]
async fn with_nothing_set_it_serves_on_sqlite_and_says_so() {
    let mut process = Process::start(&[], &[ANY_PORT]);
    let client = process.listening().await;
    let _ = client
        .post("/api/v1/conversations", json!({ "title": "first" }))
        .await
        .created();
    assert!(process.folder.path().join("data/berth.sqlite").exists());
    let said = process.seen.join("\n");
    for part in ["sqlite://data/berth.sqlite", "migration applied", "/docs/"] {
        assert!(said.contains(part), "nothing about {part}: {said}");
    }
    process.signal("TERM").await;
    assert!(process.ended().await.0.success());
}

#[tokio::test]
async fn what_was_stored_is_there_after_a_restart() {
    let mut first = Process::start(&["serve", "--port", "0"], &[]);
    let place = first.listening().await.conversation("kept").await;
    first.signal("INT").await;
    let url = format!(
        "sqlite://{}?mode=rwc",
        first.folder.path().join("data/berth.sqlite").display()
    );
    let mut second = Process::start(&["--port", "0"], &[("DATABASE_URL", &url)]);
    assert_eq!(second.listening().await.get(&place).await.ok()["title"], "kept");
    assert!(first.ended().await.0.success());
}

#[tokio::test]
async fn on_sigterm_a_request_under_way_is_finished_and_no_new_one_begins() {
    let responder = Responder::start().await;
    let mut process = Process::start(&[], &[ANY_PORT, ("APP__RESPONDER__URL", responder.url())]);
    let client = process.listening().await;
    let all = format!("{}/messages", client.conversation("slow").await);
    let (poster, address) = (client.clone(), all.clone());
    let posting = tokio::spawn(async move { poster.post(&address, json!({ "body": "Hello?" })).await });
    responder.asked().await;
    process.signal("TERM").await;
    process.logs("stopping").await;
    testkit::eventually(async || !client.is_answered().await).await;
    responder.answer("At last.").await;
    let _ = posting.await.unwrap().created();
    let (status, said, log) = process.ended().await;
    assert!(status.success(), "{said}");
    assert!(log.last().unwrap().contains("stopped"), "{log:#?}");
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_keep_it_from_ending() {
    let responder = Responder::start().await;
    let set = [
        ANY_PORT,
        ("APP__RESPONDER__URL", responder.url()),
        ("APP__SERVER__SHUTDOWN_TIMEOUT", "1"),
    ];
    let mut process = Process::start(&[], &set);
    let client = process.listening().await;
    let all = format!("{}/messages", client.conversation("slow").await);
    let posting = tokio::spawn(
        client
            .request(reqwest::Method::POST, &all)
            .json(&json!({ "body": "Hi" }))
            .send(),
    );
    responder.asked().await;
    process.signal("TERM").await;
    let (status, said, _) = process.ended().await;
    assert!(status.success(), "{said}");
    assert!(posting.await.unwrap().is_err());
}

#[tokio::test]
async fn a_setting_that_is_refused_ends_it_with_2_before_it_listens() {
    let (status, said, log) = Process::start(&["--set", "server.port=http"], &[]).ended().await;
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
    let (status, _, shown) = Process::start(&["config"], &[("DATABASE_URL", url)])
        .ended()
        .await;
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
    let nobody = format!("postgres://user:hush@127.0.0.1:{}/berth", testkit::free_port());
    let set = [
        ANY_PORT,
        ("DATABASE_URL", &*nobody),
        ("APP__STARTUP__DATABASE_TIMEOUT", "1"),
    ];
    let started = Instant::now();
    let (status, said, log) = Process::start(&[], &set).ended().await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        started.elapsed() >= Duration::from_secs(1),
        "it did not try again"
    );
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
    let (status, said, _) = Process::start(&[], &set).ended().await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(started.elapsed() < Duration::from_secs(20), "it tried again");
    assert!(!said.contains("wrong-hush"), "{said}");
}

#[tokio::test]
async fn it_waits_for_a_database_that_starts_together_with_it() {
    let database = Cluster::shared().await.database().await;
    let limiter = testkit::Limiter::start(&database, testkit::LimiterOptions::limit(5));
    limiter.go_away().await;
    let mut process = Process::start(&[], &[ANY_PORT, ("DATABASE_URL", &limiter.url())]);
    process.logs("connecting").await;
    limiter.come_back().await;
    let _ = process.listening().await.get("/api/v1/conversations").await.ok();
    process.signal("TERM").await;
    let (status, said, _) = process.ended().await;
    assert!(status.success(), "{said}");
    testkit::eventually(async || database.backends().await == 0).await;
}

/// Migrations at the start included, and with none of PgBouncer's own settings changed for us.
#[tokio::test]
async fn it_serves_through_pgbouncer_in_session_mode_as_it_comes() {
    let cluster = Cluster::shared().await;
    let database = cluster.database().await;
    let pgbouncer = PgBouncer::start(cluster, PgBouncerOptions::default()).await;
    let set = [
        ANY_PORT,
        ("DATABASE_URL", &*pgbouncer.url(&database)),
        ("DB_POOLER", "session"),
    ];
    let mut process = Process::start(&[], &set);
    let client = process.listening().await;
    let place = client.conversation("through the pooler").await;
    assert_eq!(client.get(&place).await.ok()["title"], "through the pooler");
    process.signal("TERM").await;
    assert!(process.ended().await.0.success());
}

#[tokio::test]
async fn a_port_that_is_taken_ends_it_with_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (status, said, _) = Process::start(&["--port", &port], &[]).ended().await;
    assert_eq!(status.code(), Some(1));
    assert!(
        said.contains(&format!("cannot listen on 127.0.0.1:{port}")),
        "{said}"
    );
}

#[tokio::test]
async fn production_logs_json_with_the_request_id_and_only_warns_of_pending_migrations() {
    let set = [
        ANY_PORT,
        SECRET,
        ("APP_ENV", "production"),
        ("SERVER_HOST", "127.0.0.1"),
    ];
    let mut process = Process::start(&[], &set);
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
        .request(reqwest::Method::GET, "/api/v1/conversations")
        .header("x-request-id", "find-me");
    let answer = crate::client::Answer::to(request).await;
    answer.problem(StatusCode::INTERNAL_SERVER_ERROR, "about:blank");
    let line: Value = serde_json::from_str(&process.logs("request failed").await).unwrap();
    assert_eq!(
        (&line["span"]["request_id"], &line["level"]),
        (&json!("find-me"), &json!("ERROR"))
    );
    assert_eq!(
        (&line["status"], &line["span"]["http.route"]),
        (&json!(500), &json!("/api/v1/conversations"))
    );
    process.signal("TERM").await;
    let (_, _, log) = process.ended().await;
    let failures = log.iter().filter(|line| line.contains("find-me")).count();
    assert_eq!(failures, 1, "one failure, one line: {log:#?}");
}
