use std::time::Duration;

use berth_migrate::{Change, Command, Error, Settings, run};
use berth_testkit::eventually;
use sqlx::Executor;

use crate::fixture::{Step, Steps, folder, has_table, postgres, sqlite};

#[tokio::test]
async fn a_failing_migration_leaves_no_half_state_on_postgres() {
    let (_database, settings) = postgres().await;
    a_failing_migration_leaves_no_half_state(&settings).await;
}

#[tokio::test]
async fn a_failing_migration_leaves_no_half_state_on_sqlite() {
    let folder = folder();
    a_failing_migration_leaves_no_half_state(&sqlite(&folder)).await;
}

async fn a_failing_migration_leaves_no_half_state(settings: &Settings) {
    let broken = Steps(vec![
        Step::table("first"),
        Step::table("second").then("nonsense"),
        Step::table("third"),
    ]);
    let error = run(broken, settings, Command::Up(None)).await.unwrap_err();
    assert!(matches!(error, Error::Failed(_)), "{error:?}");
    assert!(
        has_table(settings, "first").await,
        "what was applied before stays applied"
    );
    assert!(!has_table(settings, "second").await && !has_table(settings, "third").await);

    let mended = Steps(vec![
        Step::table("first"),
        Step::table("second"),
        Step::table("third"),
    ]);
    let changes = run(mended, settings, Command::Up(None)).await.unwrap();
    assert_eq!(
        changes,
        ["second", "third"].map(|name| Change::Applied(name.to_owned()))
    );
}

#[tokio::test]
async fn a_run_whose_backend_is_killed_stops_and_never_goes_on_without_its_lock() {
    let (database, settings) = postgres().await;
    let slow = Steps(vec![
        Step::table("first"),
        Step::table("second").then("select pg_sleep(60)"),
        Step::table("third"),
    ]);
    let run = tokio::spawn({
        let settings = settings.clone();
        async move { run(slow, &settings, Command::Up(None)).await }
    });
    eventually(async || database.count_backends("wait_event = 'PgSleep'").await == 1).await;
    database.terminate_all().await;
    let error = run.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::LockLost), "{error:?}");
    assert!(has_table(&settings, "first").await);
    assert!(!has_table(&settings, "second").await && !has_table(&settings, "third").await);
}

#[tokio::test]
async fn a_run_that_lost_only_its_lock_rolls_back_what_it_did_without() {
    let (_database, settings) = postgres().await;
    let careless = Steps(vec![
        Step::table("first").then("select pg_advisory_unlock_all()"),
        Step::table("second"),
    ]);
    let error = run(careless, &settings, Command::Up(None)).await.unwrap_err();
    assert!(matches!(error, Error::LockLost), "{error:?}");
    assert!(!has_table(&settings, "first").await && !has_table(&settings, "second").await);
}

#[tokio::test]
async fn a_migration_that_swallows_an_error_is_not_taken_for_applied() {
    let (_database, settings) = postgres().await;
    let sly = Steps(vec![Step::table("first").then("nonsense").swallowing()]);
    let error = run(sly, &settings, Command::Up(None)).await.unwrap_err();
    assert!(matches!(error, Error::Failed(_)), "{error:?}");
    assert!(!has_table(&settings, "first").await);
}

#[tokio::test]
async fn a_change_does_not_queue_behind_a_busy_table_for_long() {
    let (database, mut settings) = postgres().await;
    settings.lock = Duration::from_millis(100);
    run(Steps(vec![Step::table("first")]), &settings, Command::Up(None))
        .await
        .unwrap();
    let mut reader = database.admin().await;
    reader.execute("begin").await.unwrap();
    reader.execute("select from first").await.unwrap();
    let change = Step::table("second").then("alter table first add column name text");
    let error = run(
        Steps(vec![Step::table("first"), change]),
        &settings,
        Command::Up(None),
    )
    .await;
    assert!(error.unwrap_err().to_string().contains("lock timeout"));
    assert!(!has_table(&settings, "second").await);
}

#[tokio::test]
async fn a_statement_that_runs_too_long_is_cut_off() {
    let (_database, mut settings) = postgres().await;
    settings.statement = Duration::from_millis(100);
    let endless = Steps(vec![Step::table("first").then("select pg_sleep(60)")]);
    let error = run(endless, &settings, Command::Up(None)).await.unwrap_err();
    assert!(error.to_string().contains("statement timeout"), "{error}");
    assert!(!has_table(&settings, "first").await);
}
