//! The job of the example, in the process that serves the API and in one of its own.

use std::time::Duration;

use api::settings::Settings;
use berth_testkit::eventually;
use berth_web::testing::{Client, Process, Store};
use reqwest::StatusCode;
use serde_json::json;

use super::chat_model::ChatModel;
use super::conversations::CreateConversation;
use crate::lifecycle::ANY_PORT;
use crate::server::{postgres, process, start_with};

/// The title of a conversation that is to be named.
const UNNAMED: &str = "New conversation";

fn with_workers(settings: &mut Settings) {
    settings.platform.jobs.workers = 2;
    settings.platform.jobs.poll_interval = Duration::from_millis(200);
}

async fn title(client: &Client, conversation: &str) -> String {
    let found = client.get(conversation).await.ok();
    found["title"].as_str().unwrap().to_owned()
}

on_each_store! {
    async fn a_conversation_without_a_name_is_named_after_its_first_question(store: Store) {
        let server = start_with(store, with_workers, |_| {}).await;
        let client = server.client();
        let conversation = client.conversation(UNNAMED).await;
        let question = json!({ "body": "What is a pooler?" });
        let _ = client.post(&format!("{conversation}/messages"), question).await.created();
        eventually(async || title(&client, &conversation).await != UNNAMED).await;
        eventually(async || {
            let page = client.get("/debug/db-pool").await.ok();
            let is_idle = page["jobs"]["running"].as_array().unwrap().is_empty();
            let metrics = client.get("/metrics").await.text;
            is_idle
                && metrics.contains("job_queue_jobs{state=\"dead\"} 0")
                && metrics.contains("job_attempts_total{job=\"name_conversation\",outcome=\"done\"} 1")
        })
        .await;
    }

    async fn a_question_that_is_refused_leaves_no_job(store: Store) {
        let server = start_with(store, with_workers, |_| {}).await;
        let client = server.client();
        let conversation = client.conversation(UNNAMED).await;
        let invalid = client.post(&format!("{conversation}/messages"), json!({ "body": " " })).await;
        let _ = invalid.assert_status(StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(title(&client, &conversation).await, UNNAMED);
    }
}

/// Starts the binary on a database whose schema is there, with settings under which a crash shows soon.
fn run(command: &str, store: &Store, model: &ChatModel, workers: &str) -> Process {
    run_with(command, store, model, workers, &[])
}

fn run_with(
    command: &str,
    store: &Store,
    model: &ChatModel,
    workers: &str,
    more: &[(&str, &str)],
) -> Process {
    let (database, model) = (store.url(), model.url().to_owned());
    let environment = [
        ANY_PORT,
        ("DATABASE_URL", &*database),
        ("APP__STARTUP__MIGRATE", "skip"),
        ("APP__CHAT_MODEL__URL", &*model),
        ("APP__JOBS__WORKERS", workers),
        ("APP__JOBS__CLAIM_TIMEOUT", "2"),
        ("APP__JOBS__POLL_INTERVAL", "0.2"),
        ("APP__JOBS__SHUTDOWN_TIMEOUT", "0.2"),
    ];
    process(&[command], &[&environment, more].concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_job_of_a_process_that_was_killed_is_taken_up_by_another() {
    let (store, model) = (postgres().await, ChatModel::start().await);
    let mut api = run("serve", &store, &model, "0");
    let client = api.listening().await;
    let conversation = client.conversation(UNNAMED).await;
    let (asking, messages) = (client.clone(), format!("{conversation}/messages"));
    let asking = tokio::spawn(async move { asking.post(&messages, json!({ "body": "Hello?" })).await });
    model.asked().await;
    model.answer("Hello.").await;
    let _ = asking.await.unwrap().created();

    let mut killed = run("work", &store, &model, "1");
    let worker = killed.listening().await;
    model.asked().await;
    worker.get("/health/live").await.ok();
    let page = worker.get("/debug/db-pool").await.ok();
    assert_eq!(page["jobs"]["running"][0]["name"], "name_conversation", "{page}");
    killed.signal("KILL").await;
    let _ = killed.ended().await;

    let mut stopped = run("work", &store, &model, "1");
    let _ = stopped.listening().await;
    model.asked().await;
    stopped.signal("TERM").await;
    assert!(stopped.ended().await.0.success(), "it releases the job and ends");

    let mut last = run("work", &store, &model, "1");
    let _ = last.listening().await;
    model.asked().await;
    model.answer("A greeting").await;
    eventually(async || title(&client, &conversation).await == "A greeting").await;
    last.signal("TERM").await;
    assert!(last.ended().await.0.success());
}

/// Where Debian and Ubuntu install libfaketime, by the machine's architecture.
const FAKETIME: [&str; 2] = ["x86_64", "aarch64"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs libfaketime"]
async fn a_worker_whose_clock_is_a_minute_ahead_takes_no_job_that_runs_elsewhere() {
    let library = |machine| format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketime.so.1");
    let library = FAKETIME
        .map(library)
        .into_iter()
        .find(|path| std::path::Path::new(path).exists());
    let Some(library) = library else {
        println!("skipped: libfaketime is not installed");
        return;
    };
    let ahead = [
        ("LD_PRELOAD", &*library),
        ("FAKETIME", "+60s"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let clocks: [&[(&str, &str)]; 2] = [&[], &ahead];
    for (first, second) in [(0, 1), (1, 0)] {
        let (store, model) = (postgres().await, ChatModel::start().await);
        let mut api = run("serve", &store, &model, "0");
        let client = api.listening().await;
        let conversation = client.conversation(UNNAMED).await;
        let (asking, messages) = (client.clone(), format!("{conversation}/messages"));
        let asking = tokio::spawn(async move { asking.post(&messages, json!({ "body": "Hello?" })).await });
        model.asked().await;
        model.answer("Hello.").await;
        let _ = asking.await.unwrap().created();
        let mut runs = run_with("work", &store, &model, "1", clocks[first]);
        let _ = runs.listening().await;
        model.asked().await;
        let mut looks = run_with("work", &store, &model, "1", clocks[second]);
        let _ = looks.listening().await;
        // Longer than a claim lasts: it is extended meanwhile.
        let again = tokio::time::timeout(Duration::from_secs(5), model.asked_again()).await;
        assert!(again.is_err(), "the job runs once at a time");
        model.answer("In time").await;
        eventually(async || title(&client, &conversation).await == "In time").await;
    }
}

const DEAD: &str = "INSERT INTO jobs (id, name, queue, priority, payload, state, attempt, max_attempts, timeout_ms, \
    again, last_error, created_at, finished_at) VALUES ('01890000-0000-7000-8000-000000000001', 'send', 'default', 1, \
    '{\"to\":1}', 'dead', 3, 3, 1000, false, 'no such mailbox', now(), now())";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_jobs_are_listed_shown_retried_and_discarded_by_command() {
    let store = postgres().await;
    let Store::Postgres(database) = &store else {
        unreachable!("the store is on PostgreSQL")
    };
    sqlx::raw_sql(DEAD)
        .execute(&mut database.admin().await)
        .await
        .unwrap();
    let command = async |arguments: &[&str]| {
        let url = store.url();
        let environment = [("DATABASE_URL", &*url), ("APP__STARTUP__MIGRATE", "skip")];
        let (status, error, lines) = process(arguments, &environment).ended().await;
        assert!(status.success(), "{error}");
        lines.join("\n")
    };
    let listed = command(&["jobs", "list", "--state", "dead"]).await;
    assert!(
        listed.contains("no such mailbox") && listed.contains("3/3"),
        "{listed}"
    );
    let shown = command(&["jobs", "show", "01890000-0000-7000-8000-000000000001"]).await;
    assert!(shown.contains("{\"to\":1}"), "{shown}");
    assert_eq!(
        command(&["jobs", "retry", "--state", "dead"]).await,
        "1 jobs run again"
    );
    let waiting = command(&["jobs", "list", "--state", "waiting"]).await;
    assert!(waiting.contains("0/3"), "{waiting}");
    assert_eq!(
        command(&["jobs", "discard", "--name", "send"]).await,
        "1 jobs deleted"
    );
}
