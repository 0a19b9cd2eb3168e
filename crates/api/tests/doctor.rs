//! The doctor tells apart what can stand between the service and its database, and whatever is wrong with it.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::process::Command;
use std::time::Duration;

use api::settings::{self, Settings};
use berth_doctor::{Arguments, Deployment, Finding, Level, Report};
use berth_settings::Sources;
use berth_testkit::{
    Cluster, Limiter, LimiterOptions, PgBouncer, PgBouncerOptions, PoolMode, PoolerKind, TestDatabase,
    eventually, free_port,
};
use sqlx::Connection;

fn settings(url: &str, set: &[(&str, &str)]) -> Settings {
    let mut environment = vec![("DATABASE_URL".to_owned(), url.to_owned())];
    if !set.iter().any(|(name, _)| *name == "APP_ENV") {
        environment.push(("APP_ENV".to_owned(), "test".to_owned()));
    }
    environment.extend(
        set.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    let sources = Sources {
        environment,
        ..settings::sources()
    };
    let mut loaded = sources.load().expect("the settings of tests are known");
    Settings::read(&mut loaded).expect("the settings of tests are valid")
}

async fn report(url: &str, set: &[(&str, &str)]) -> Report {
    examine(&settings(url, set), Arguments::default()).await
}

async fn examine(settings: &Settings, arguments: Arguments) -> Report {
    let deployment = Deployment {
        database: settings.database.clone(),
        environment: settings.app.environment,
        warnings: settings
            .production_warnings()
            .into_iter()
            .map(|warning| (warning.says, warning.change))
            .collect(),
    };
    let pending = async |database| berth_migrate::pending_names(migration::Migrator, database).await;
    berth_doctor::examine(&deployment, arguments, pending).await
}

async fn report_with_count(url: &str, set: &[(&str, &str)]) -> Report {
    let arguments = Arguments {
        probe_limit: true,
        ..Arguments::default()
    };
    examine(&settings(url, set), arguments).await
}

async fn migrated() -> TestDatabase {
    let migrate = |url: String| async move {
        let run = berth_migrate::apply(migration::Migrator, &settings(&url, &[]).database).await;
        run.expect("the migrations apply");
    };
    Cluster::shared().await.database_from("api", migrate).await
}

#[track_caller]
fn find<'a>(report: &'a Report, check: &str) -> &'a Finding {
    let found = report.findings.iter().find(|finding| finding.check == check);
    found.unwrap_or_else(|| panic!("nothing about {check}:\n{report}"))
}

#[track_caller]
fn assert_found(report: &Report, check: &str, level: Level, words: &str) {
    let finding = find(report, check);
    let text = format!(
        "{} {}",
        finding.says,
        finding.change.as_deref().unwrap_or_default()
    );
    assert!(
        finding.level == level && text.contains(words),
        "{words:?} in {check}:\n{report}"
    );
}

#[tokio::test]
async fn a_server_without_a_pooler_passes_everything() {
    let database = migrated().await;
    let report = report(&database.url(), &[]).await;
    assert_eq!(report.worst, Level::Pass, "{report}");
    assert_found(&report, "pooler", Level::Pass, "no pooler");
    assert_found(&report, "timeouts", Level::Pass, "statement 30 s");
    assert_found(&report, "name", Level::Pass, "berth/");
    assert_found(&report, "budget", Level::Pass, "13 of 15");
    assert_found(&report, "migrations", Level::Pass, "applied");
    eventually(async || database.backends().await == 0).await;
}

#[tokio::test]
async fn session_mode_is_distinguished_from_no_pooler_on_any_port() {
    let database = migrated().await;
    let pgbouncer = PgBouncer::start(Cluster::shared().await, PgBouncerOptions::default()).await;
    let report = report(&pgbouncer.url(&database), &[]).await;
    assert_found(&report, "pooler", Level::Pass, "session mode");
    assert_eq!(report.worst, Level::Pass, "{report}");
}

#[tokio::test]
async fn transaction_mode_taken_for_another_fails_and_says_what_to_set() {
    let database = migrated().await;
    let options = PgBouncerOptions::default().pool_mode(PoolMode::Transaction);
    let pgbouncer = PgBouncer::start(Cluster::shared().await, options).await;
    let url = pgbouncer.url(&database);
    for set in ["session", "direct"] {
        let mistaken = report(&url, &[("DB_POOLER", set)]).await;
        assert_found(&mistaken, "pooler", Level::Fail, "set DB_POOLER=auto");
    }
    for set in ["transaction", "auto"] {
        let right = report(&url, &[("DB_POOLER", set), ("DB_INSTANCES", "2")]).await;
        assert_found(&right, "pooler", Level::Pass, "transaction mode");
        assert_found(&right, "timeouts", Level::Pass, "set in each transaction");
        assert_found(&right, "budget", Level::Pass, "instances (2)");
        assert_found(&right, "migrations", Level::Warn, "session pooler");
    }
    let uncounted = report(&url, &[]).await;
    assert_found(&uncounted, "budget", Level::Warn, "set DB_INSTANCES");
}

#[tokio::test]
async fn transaction_mode_that_is_set_for_no_pooler_is_a_warning() {
    let database = migrated().await;
    let report = report(&database.url(), &[("DB_POOLER", "transaction")]).await;
    assert_found(&report, "pooler", Level::Warn, "set DB_POOLER=auto");
}

#[tokio::test]
async fn transaction_mode_is_found_out_even_where_one_server_serves_all() {
    let database = migrated().await;
    let options = PgBouncerOptions::default()
        .pool_mode(PoolMode::Transaction)
        .pool_size(1);
    let pgbouncer = PgBouncer::start(Cluster::shared().await, options).await;
    let report = report(&pgbouncer.url(&database), &[]).await;
    assert_found(&report, "pooler", Level::Pass, "transaction mode");
}

#[tokio::test]
async fn nothing_stays_behind_on_the_servers_of_a_transaction_pooler() {
    let database = migrated().await;
    let options = PgBouncerOptions::default()
        .pool_mode(PoolMode::Transaction)
        .pool_size(2);
    let pgbouncer = PgBouncer::start(Cluster::shared().await, options).await;
    report(&pgbouncer.url(&database), &[]).await;
    let mut next = bare(&pgbouncer.url(&database)).await;
    for _ in 0..4 {
        let sql =
            "SELECT current_setting('statement_timeout'), (SELECT count(*) FROM pg_prepared_statements)";
        let row = sqlx::raw_sql(sql).fetch_one(&mut next).await.unwrap();
        assert_eq!(sqlx::Row::get::<String, _>(&row, 0), "0");
        assert_eq!(sqlx::Row::get::<i64, _>(&row, 1), 0);
    }
    next.close().await.unwrap();
}

async fn bare(url: &str) -> sqlx::PgConnection {
    let settings = settings(url, &[]);
    berth_database::diagnostics::connect(&settings.database)
        .await
        .unwrap()
}

#[tokio::test]
async fn the_count_compares_what_is_admitted_with_the_limit() {
    let database = migrated().await;
    for pooler_kind in [
        PoolerKind::SupavisorSession,
        PoolerKind::PgBouncerWait(Duration::from_secs(60)),
    ] {
        let limiter = Limiter::start(&database, LimiterOptions::limit(7).pooler_kind(pooler_kind));
        let wrong = report_with_count(&limiter.url(), &[]).await;
        assert_found(&wrong, "admits", Level::Fail, "DB_LIMIT=7");
        let right = report_with_count(&limiter.url(), &[("DB_LIMIT", "7")]).await;
        assert_found(&right, "admits", Level::Pass, "7 clients");
        eventually(async || limiter.counts().concurrent == 0).await;
    }
}

#[tokio::test]
async fn two_connections_are_the_most_that_it_takes() {
    let database = migrated().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(15));
    report(&limiter.url(), &[]).await;
    assert!(limiter.counts().peak <= 2, "{:?}", limiter.counts());
}

#[tokio::test]
async fn a_full_pooler_is_waited_out_and_then_reported() {
    let database = migrated().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(0));
    let report = report(&limiter.url(), &[]).await;
    assert_found(&report, "reach", Level::Fail, "pooler is full");
    assert_found(
        &report,
        "reach",
        Level::Fail,
        "in Session mode max clients are limited",
    );
    assert_found(&report, "budget", Level::Pass, "reserved");
}

#[tokio::test]
async fn refusals_that_were_waited_out_are_reported_in_the_poolers_words() {
    let database = migrated().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(0));
    let room = async {
        eventually(async || limiter.counts().refused >= 2).await;
        limiter.set_limit(15);
    };
    let url = limiter.url();
    let (report, ()) = tokio::join!(report(&url, &[]), room);
    assert_found(
        &report,
        "reach",
        Level::Warn,
        "in Session mode max clients are limited",
    );
}

#[tokio::test]
async fn each_connection_failure_has_its_own_advice() {
    let database = migrated().await;
    let password = database.url().replace(database.password(), "wrong");
    let name = database.url().replace(database.name(), "nowhere");
    let port = database.url_at(free_port());
    let host = database.url().replace("127.0.0.1", "no.such.host.invalid");
    for (url, words) in [
        (password, "check user and password"),
        (name, "correct the name after the last /"),
        (port, "check host and port"),
        (host, "check the host name"),
    ] {
        let report = report(&url, &[]).await;
        assert_found(&report, "reach", Level::Fail, words);
        assert_eq!(report.exit_code(), 2);
    }
}

#[tokio::test]
async fn an_unverified_certificate_is_a_warning() {
    let database = migrated().await;
    let limiter = Limiter::start(&database, LimiterOptions::limit(15));
    let required = limiter.url().replace("sslmode=disable", "sslmode=require");
    assert_found(&report(&required, &[]).await, "tls", Level::Warn, "not verified");
    assert_found(
        &report(&limiter.secure_url(), &[]).await,
        "tls",
        Level::Pass,
        "is verified",
    );
}

#[tokio::test]
async fn a_distant_server_is_warned_of() {
    let database = migrated().await;
    let options = LimiterOptions::limit(15).latency(Duration::from_millis(15));
    let limiter = Limiter::start(&database, options);
    let report = report(&limiter.url(), &[]).await;
    assert_found(&report, "round trip", Level::Warn, "region");
}

#[tokio::test]
async fn a_limit_above_what_the_server_has_room_for_fails() {
    let database = migrated().await;
    database.limit_connections(10).await;
    let report = report(&database.url(), &[]).await;
    assert_found(&report, "capacity", Level::Fail, "set DB_LIMIT to 10");
}

#[tokio::test]
async fn strangers_beyond_the_reserve_are_named() {
    let database = migrated().await;
    let mut strangers = Vec::new();
    for _ in 0..3 {
        let mut stranger = bare(&database.url()).await;
        let name = "SET application_name = 'reports'";
        sqlx::raw_sql(name).execute(&mut stranger).await.unwrap();
        strangers.push(stranger);
    }
    let found = report(&database.url(), &[]).await;
    assert_found(&found, "connected", Level::Warn, "3 reports");
    let reserved = report(&database.url(), &[("DB_RESERVE", "3")]).await;
    assert_found(&reserved, "connected", Level::Pass, "3 reports");
}

#[tokio::test]
async fn an_invalid_index_is_named_with_the_remedy() {
    let database = migrated().await;
    let sql = "CREATE TABLE twice (id int); INSERT INTO twice VALUES (1), (1)";
    let mut client = bare(&database.url()).await;
    sqlx::raw_sql(sql).execute(&mut client).await.unwrap();
    let sql = "CREATE UNIQUE INDEX CONCURRENTLY twice_id ON twice (id)";
    sqlx::raw_sql(sql).execute(&mut client).await.unwrap_err();
    let found = report(&database.url(), &[]).await;
    assert_found(&found, "indexes", Level::Warn, "twice_id");
    assert_found(&found, "indexes", Level::Warn, "REINDEX INDEX CONCURRENTLY");
}

#[tokio::test]
async fn a_timeout_that_is_off_fails() {
    let database = migrated().await;
    let options = PgBouncerOptions::default().pool_mode(PoolMode::Transaction);
    let pgbouncer = PgBouncer::start(Cluster::shared().await, options).await;
    for url in [database.url(), pgbouncer.url(&database)] {
        let mut settings = settings(&url, &[]);
        settings.database.statement_timeout = Duration::ZERO;
        let report = examine(&settings, Arguments::default()).await;
        assert_found(&report, "timeouts", Level::Fail, "statement_timeout is 0");
    }
}

#[tokio::test]
async fn pending_migrations_fail_and_are_named() {
    let database = Cluster::shared().await.database().await;
    let report = report(&database.url(), &[]).await;
    assert_found(&report, "migrations", Level::Fail, "create_users");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_not_made_by_looking_for_it() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("data");
    let url = format!("sqlite://{}?mode=rwc", folder.join("test.sqlite").display());
    let absent = report(&url, &[]).await;
    assert_found(&absent, "reach", Level::Warn, "does not exist yet");
    assert!(!folder.exists());

    let applied = berth_migrate::apply(migration::Migrator, &settings(&url, &[]).database).await;
    applied.expect("the migrations apply");
    let there = report(&url, &[]).await;
    assert_eq!(there.worst, Level::Pass, "{there}");
    assert_found(&there, "reach", Level::Pass, "SQLite");
}

#[tokio::test]
async fn what_production_should_not_have_is_a_warning() {
    let database = migrated().await;
    let production = [
        ("APP_ENV", "production"),
        ("APP__APP__SECRET", "0123456789abcdef0123456789abcdef"),
        ("AUTH_MODE", "local"),
        ("APP__SERVER__TRUSTED_PROXIES", "10.0.0.0/8"),
        ("APP__APP__PUBLIC_URL", "https://app.example.com"),
        ("APP__MAIL__TRANSPORT", "smtp"),
        ("APP__MAIL__HOST", "smtp.example.com"),
        ("APP__MAIL__FROM", "app@example.com"),
        ("APP__MAIL__TLS", "starttls"),
    ];
    let with = |set: &[(&'static str, &'static str)]| [&production, set].concat();
    let good = report(&database.url(), &with(&[])).await;
    assert!(
        good.findings.iter().all(|finding| finding.check != "settings"),
        "{good}"
    );
    let open = [
        ("APP__CORS__ORIGINS", "*", "any origin"),
        ("APP__CORS__ORIGINS", "http://localhost:*", "any origin"),
        (
            "APP__RATE_LIMIT__ENABLED",
            "false",
            "requests are not rate limited",
        ),
        ("APP__SERVER__TRUSTED_PROXIES", "", "no proxy is trusted"),
        ("APP__MAIL__TRANSPORT", "log", "mails are written to the log"),
        (
            "APP__MAIL__TLS",
            "none",
            "mails travel to the SMTP server readable",
        ),
        ("LOG_LEVEL", "debug", "users' data"),
        ("APP__DATABASE__ECHO_PARAMETERS", "true", "users' data"),
    ];
    for (name, value, says) in open {
        let set: Vec<_> = with(&[(name, value)]);
        let set: std::collections::BTreeMap<_, _> = set.into_iter().collect();
        let set: Vec<_> = set.into_iter().collect();
        let found = report(&database.url(), &set).await;
        assert_found(&found, "settings", Level::Warn, says);
        assert_eq!(found.exit_code(), 1, "{found}");
    }
    let elsewhere = report(&database.url(), &[("APP__CORS__ORIGINS", "*")]).await;
    assert!(
        elsewhere
            .findings
            .iter()
            .all(|finding| finding.check != "settings"),
        "{elsewhere}"
    );
}

#[tokio::test]
async fn the_command_speaks_json_and_exits_by_the_worst() {
    let database = migrated().await;
    let doctor = |set: &'static [(&'static str, &'static str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_api"));
        command
            .args(["doctor", "--json"])
            .env_clear()
            .envs(set.iter().copied());
        command
            .current_dir(std::env::temp_dir())
            .env("DATABASE_URL", database.url());
        let output = tokio::task::spawn_blocking(move || command.output());
        async { output.await.unwrap().expect("the binary was built") }
    };
    let good = doctor(&[]).await;
    assert_eq!(good.status.code(), Some(0));
    let told: serde_json::Value = serde_json::from_slice(&good.stdout).unwrap();
    assert_eq!(told["worst"], "pass");
    assert!(!String::from_utf8_lossy(&good.stdout).contains(database.password()));

    let crowded = doctor(&[("DB_INSTANCES", "3")]).await;
    assert_eq!(crowded.status.code(), Some(1));
    let broken = doctor(&[("DB_INSTANCES", "14")]).await;
    assert_eq!(broken.status.code(), Some(2));
}
