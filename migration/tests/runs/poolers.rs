use std::time::Duration;

use berth_database::Pooler;
use berth_migrate::{Command, Error, run, status};
use berth_testkit::{Cluster, PgBouncer, PgBouncerOptions, PoolMode, eventually};
use migration::Migrator;

use crate::fixture::{Step, Steps, has_table, impatient, postgres};
use crate::up_and_down::{applied, names, reverted};

#[tokio::test]
async fn a_configured_transaction_pooler_is_refused_before_anything_connects() {
    let mut settings = impatient("postgres://someone:secret@db.invalid:5433/postgres");
    settings.database.pooler = Pooler::Transaction;
    let error = run(Migrator, &settings, Command::Up(None)).await.unwrap_err();
    assert!(matches!(error, Error::TransactionPooler), "{error:?}");
    assert!(
        error.to_string().contains("5432") && !error.to_string().contains("secret"),
        "{error}"
    );
    assert!(matches!(
        status(Migrator, &settings).await,
        Err(Error::TransactionPooler)
    ));
}

#[tokio::test]
async fn a_run_shows_itself_under_a_name_of_its_own() {
    let (database, mut settings) = postgres().await;
    settings.database.application_name = "harbour".to_owned();
    let slow = Steps(vec![Step::table("first").then("select pg_sleep(60)")]);
    let run = tokio::spawn(async move { run(slow, &settings, Command::Up(None)).await });
    let ours = "application_name = 'harbour-migrate' and wait_event = 'PgSleep'";
    eventually(async || database.count_backends(ours).await == 1).await;
    database.terminate_all().await;
    assert!(run.await.unwrap().is_err());
}

#[tokio::test]
async fn a_stock_pgbouncer_in_session_mode_serves_runs_and_keeps_no_lock() {
    let (database, direct) = postgres().await;
    let options = PgBouncerOptions::default().pool_size(2);
    let bouncer = PgBouncer::start(Cluster::shared().await, options).await;
    let settings = impatient(&bouncer.url(&database));
    let all = names(&direct).await;
    assert_eq!(
        run(Migrator, &settings, Command::Up(None)).await.unwrap(),
        applied(&all)
    );
    assert_eq!(
        run(Migrator, &settings, Command::Reset).await.unwrap(),
        reverted(&all)
    );
    assert_eq!(
        run(Migrator, &direct, Command::Up(None)).await.unwrap(),
        applied(&all),
        "the lock is free for others"
    );
}

#[tokio::test]
async fn ten_runs_at_once_through_a_session_pooler_with_two_places_apply_each_migration_once() {
    let (database, direct) = postgres().await;
    let options = PgBouncerOptions::default()
        .pool_size(2)
        .query_wait_timeout(Duration::from_secs(1));
    let bouncer = PgBouncer::start(Cluster::shared().await, options).await;
    let settings = impatient(&bouncer.url(&database));
    let runs = (0..10).map(|_| {
        let settings = settings.clone();
        tokio::spawn(async move { run(Migrator, &settings, Command::Up(None)).await })
    });
    let mut changes = Vec::new();
    for run in runs.collect::<Vec<_>>() {
        changes.extend(run.await.unwrap().expect("each run ends well"));
    }
    assert_eq!(changes, applied(&names(&direct).await));
}

#[tokio::test]
async fn a_transaction_pooler_is_found_out_on_any_port_and_nothing_is_left_behind() {
    let (database, direct) = postgres().await;
    let options = PgBouncerOptions::default().pool_mode(PoolMode::Transaction);
    let bouncer = PgBouncer::start(Cluster::shared().await, options).await;
    let settings = impatient(&bouncer.url(&database));
    for _ in 0..3 {
        let error = run(Migrator, &settings, Command::Up(None)).await.unwrap_err();
        assert!(matches!(error, Error::TransactionPooler), "{error:?}");
        let status = status(Migrator, &settings).await;
        assert!(matches!(status, Err(Error::TransactionPooler)), "{status:?}");
    }
    assert!(!has_table(&direct, "seaql_migrations").await);
    assert_eq!(
        run(Migrator, &direct, Command::Up(None)).await.unwrap(),
        applied(&names(&direct).await),
        "no lock stayed with the pooler"
    );
}
