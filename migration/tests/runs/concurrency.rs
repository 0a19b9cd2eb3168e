use std::time::Duration;

use berth_migrate::{Change, Command, Error, Settings, run, status};
use berth_testkit::eventually;
use migration::Migrator;
use sqlx::Executor;

use crate::fixture::{folder, postgres, sqlite};
use crate::up_and_down::{applied, names};

/// The migrations' advisory lock, held by another process.
const TAKE: &str = "select pg_advisory_lock(x'6d69677261746573'::bigint)";

#[tokio::test(flavor = "multi_thread")]
async fn ten_runs_at_once_on_a_nearly_full_server_apply_each_migration_once() {
    let (database, settings) = postgres().await;
    database.limit_connections(3).await;
    ten_runs_apply_each_migration_once(&settings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_runs_at_once_apply_each_migration_of_a_sqlite_file_once() {
    let folder = folder();
    ten_runs_apply_each_migration_once(&sqlite(&folder)).await;
}

async fn ten_runs_apply_each_migration_once(settings: &Settings) {
    let runs = (0..10).map(|_| {
        let settings = settings.clone();
        tokio::spawn(async move { run(Migrator, &settings, Command::Up(None)).await })
    });
    let mut changes: Vec<Change> = Vec::new();
    for run in runs.collect::<Vec<_>>() {
        changes.extend(run.await.unwrap().expect("each run ends well"));
    }
    assert_eq!(changes, applied(&names(settings).await));
    assert!(
        status(Migrator, settings)
            .await
            .unwrap()
            .iter()
            .all(|entry| entry.applied)
    );
}

#[tokio::test]
async fn a_run_that_waits_for_another_holds_no_connection_between_its_looks() {
    let (database, settings) = postgres().await;
    let mut other = database.admin().await;
    other.execute(TAKE).await.unwrap();
    let waiting = tokio::spawn({
        let settings = settings.clone();
        async move { run(Migrator, &settings, Command::Up(None)).await }
    });
    let ours = format!(
        "application_name = '{}-migrate'",
        settings.database.application_name
    );
    let ours = ours.as_str();
    eventually(async || database.count_backends(ours).await > 0).await;
    eventually(async || database.count_backends(ours).await == 0).await;
    assert!(!waiting.is_finished());
    assert_eq!(
        database.count_backends("wait_event_type = 'Lock'").await,
        0,
        "no run queues inside the server"
    );

    other.execute("select pg_advisory_unlock_all()").await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), applied(&names(&settings).await));
    eventually(async || database.backends().await == 0).await;
}

#[tokio::test]
async fn a_run_that_waited_long_enough_says_who_holds_the_lock() {
    let (database, mut settings) = postgres().await;
    settings.wait = Duration::from_millis(100);
    let mut other = database.admin().await;
    other.execute(TAKE).await.unwrap();
    let pid: (i32,) = sqlx::query_as("select pg_backend_pid()")
        .fetch_one(&mut other)
        .await
        .unwrap();
    match run(Migrator, &settings, Command::Up(None)).await {
        Err(Error::Locked { holder, .. }) => assert!(holder.contains(&pid.0.to_string()), "{holder}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_full_server_is_waited_for_and_a_wrong_password_is_not() {
    let (database, mut settings) = postgres().await;
    settings.database.connect_timeout = Duration::from_millis(200);
    settings.wait = Duration::from_millis(500);
    database.limit_connections(0).await;
    let error = run(Migrator, &settings, Command::Up(None)).await.unwrap_err();
    assert!(matches!(error, Error::Full { .. }), "{error:?}");

    settings.wait = Duration::from_secs(600);
    settings.database.url = database
        .url()
        .replace(database.password(), "wrong")
        .parse()
        .unwrap();
    let error = run(Migrator, &settings, Command::Up(None)).await.unwrap_err();
    assert!(
        matches!(&error, Error::Connect(sqlx::Error::Database(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_given_up_in_time() {
    let mut settings = crate::fixture::impatient(&format!(
        "postgres://a:b@127.0.0.1:{}/c",
        berth_testkit::free_port()
    ));
    settings.database.connect_timeout = Duration::from_millis(100);
    settings.reach = Duration::from_millis(300);
    let error = run(Migrator, &settings, Command::Up(None)).await.unwrap_err();
    assert!(matches!(&error, Error::Connect(sqlx::Error::Io(_))), "{error:?}");
}
