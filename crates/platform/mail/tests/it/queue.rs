//! Mails as jobs: stored with the write that makes them, sent by a worker, tried again or dead.

use std::time::Duration;

use berth_database::{Database, Outcome, Session, SessionOptions};
use berth_jobs::{Jobs, Registry, Worker};
use berth_mail::{Mail, Mailer, SendMail, Settings, Tls, TransportKind};
use berth_testkit::{Cluster, SmtpOptions, SmtpServer, TestDatabase, eventually};
use sea_orm::{ConnectionTrait, Statement};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        berth_jobs::migrations()
    }
}

/// A database with a share of one connection, a worker, and a mailer.
struct Fixture {
    database: Database,
    mailer: Mailer,
    worker: Worker,
    _server: TestDatabase,
}

impl Fixture {
    async fn new(port: u16) -> Self {
        let server = Cluster::shared().await.database().await;
        let settings = berth_database::Settings {
            pool_size: 1,
            max_overflow: 0,
            ..berth_database::Settings::for_url(&server.url()).unwrap()
        };
        berth_migrate::apply(Migrator, &settings).await.unwrap();
        let (database, jobs) = (Database::new(settings).unwrap(), Jobs::new());
        let mail = Settings {
            transport: TransportKind::Smtp,
            host: Some("localhost".to_owned()),
            port,
            tls: Tls::None,
            ..Settings::default()
        };
        let mailer = Mailer::new(&mail, jobs.clone()).unwrap();
        let registry = Registry::new().job::<SendMail>(mailer.clone());
        let often = berth_jobs::Settings {
            retry_min: Duration::from_millis(50),
            retry_max: Duration::from_millis(50),
            poll_interval: Duration::from_millis(50),
            ..berth_jobs::Settings::default()
        };
        let worker = Worker::start(&database, &jobs, registry, often);
        Self {
            database,
            mailer,
            worker,
            _server: server,
        }
    }

    fn session(&self) -> Session {
        self.database.session(SessionOptions::new("test"))
    }

    async fn send(&self, outcome: Outcome) {
        let session = self.session();
        let mail = Mail::new("ada@example.com", "Hello", "Hello Ada").unwrap();
        self.mailer.send(&session, mail).await.unwrap();
        session.end(outcome).await.unwrap();
    }

    /// The states of all jobs, with their last errors.
    async fn jobs(&self) -> Vec<(String, Option<String>)> {
        let session = self.session();
        let sql = "SELECT state, last_error FROM jobs ORDER BY id";
        let statement = Statement::from_string(session.get_database_backend(), sql);
        let rows = session.query_all_raw(statement).await.unwrap();
        session.end(Outcome::Rollback).await.unwrap();
        let job =
            |row: &sea_orm::QueryResult| (row.try_get_by_index(0).unwrap(), row.try_get_by_index(1).unwrap());
        rows.iter().map(job).collect()
    }

    async fn end(self) {
        self.worker.stop().await;
        self.database.close(Duration::from_secs(5)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_is_sent_exactly_if_the_write_commits() {
    let smtp = SmtpServer::start(SmtpOptions::default()).await;
    let fixture = Fixture::new(smtp.port()).await;
    fixture.send(Outcome::Rollback).await;
    fixture.send(Outcome::Commit).await;
    assert_eq!(smtp.mail(1).await.text().unwrap().trim(), "Hello Ada");
    eventually(async || fixture.jobs().await.iter().all(|(state, _)| state == "done")).await;
    assert_eq!((smtp.mails().len(), fixture.jobs().await.len()), (1, 1));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_recipient_kills_the_job_and_a_busy_server_is_asked_again() {
    let smtp = SmtpServer::start(SmtpOptions::default()).await;
    let fixture = Fixture::new(smtp.port()).await;
    smtp.refuse_recipients(Some(550));
    fixture.send(Outcome::Commit).await;
    eventually(async || fixture.jobs().await[0].0 == "dead").await;
    assert_eq!(smtp.recipients(), 1, "the job is not tried again");
    let error = fixture.jobs().await[0].1.clone().unwrap();
    assert!(error.contains("550"), "{error}");

    smtp.refuse_recipients(Some(451));
    fixture.send(Outcome::Commit).await;
    eventually(async || smtp.recipients() >= 3).await;
    assert!(smtp.mails().is_empty());
    smtp.refuse_recipients(None);
    smtp.mail(1).await;
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_waits_for_a_server_that_is_away_and_keeps_its_id() {
    let port = berth_testkit::free_port();
    let fixture = Fixture::new(port).await;
    fixture.send(Outcome::Commit).await;
    eventually(async || fixture.jobs().await[0].1.is_some()).await;
    let options = SmtpOptions {
        port: Some(port),
        ..SmtpOptions::default()
    };
    let smtp = SmtpServer::start(options).await;
    let received = smtp.mail(1).await;
    assert!(received.header("Message-ID").is_some(), "{}", received.raw);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_is_held_while_the_server_takes_its_time() {
    let slow = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fixture = Fixture::new(slow.local_addr().unwrap().port()).await;
    fixture.send(Outcome::Commit).await;
    // The server has accepted and says nothing.
    let (_silent, _) = slow.accept().await.unwrap();
    eventually(async || fixture.database.status().slots.leased == 0).await;
    assert_eq!(
        fixture.jobs().await[0].0,
        "running",
        "a request has the only connection meanwhile"
    );
    drop(_silent);
    drop(slow);
    fixture.end().await;
}
