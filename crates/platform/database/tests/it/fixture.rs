//! What most tests need: a database behind a limiter, a pool in front of it, and the question whether all is whole.

use std::time::Duration;

use berth_database::{Database, Error, Instances, Outcome, Session, SessionOptions, Settings};
use berth_testkit::{Cluster, Limiter, LimiterOptions, TestDatabase, eventually};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult, Statement};

pub(crate) struct TestPool {
    pub(crate) database: Database,
    pub(crate) limiter: Limiter,
    pub(crate) server: TestDatabase,
    pub(crate) share: usize,
}

pub(crate) const TABLES: &str = "
    CREATE TABLE notes (id int PRIMARY KEY, body text NOT NULL DEFAULT '');
    CREATE TABLE parents (id int PRIMARY KEY);
    CREATE TABLE children (
        id int PRIMARY KEY,
        parent int NOT NULL CONSTRAINT fk_parent REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED
    )";

pub(crate) fn settings(url: &str, share: u32) -> Settings {
    Settings {
        limit: share,
        reserve: 0,
        application_name: "pooled".to_owned(),
        pool_size: share,
        max_overflow: 0,
        instances: Instances::Fixed(1),
        pool_timeout: Duration::from_secs(20),
        ..Settings::for_url(url).expect("a URL of the test's own")
    }
}

/// A pool with a share as large as the limiter's limit, so that one connection too many is refused.
pub(crate) async fn test_pool(share: u32) -> TestPool {
    test_pool_with(share, |_| {}).await
}

pub(crate) async fn test_pool_with(share: u32, change: impl FnOnce(&mut Settings)) -> TestPool {
    test_pool_over(Wire::Plain, share, change).await
}

/// What is spoken on the way to the limiter: with TLS a relay of ours stands in between.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wire {
    Plain,
    Tls,
}

pub(crate) async fn test_pool_over(wire: Wire, share: u32, change: impl FnOnce(&mut Settings)) -> TestPool {
    let server = Cluster::shared().await.database().await;
    let size = usize::try_from(share).unwrap();
    let limiter = Limiter::start(&server, LimiterOptions::limit(size));
    let url = match wire {
        Wire::Plain => limiter.url(),
        Wire::Tls => limiter.secure_url(),
    };
    let mut settings = settings(&url, share);
    change(&mut settings);
    let database = Database::new(settings).unwrap();
    let fixture = TestPool {
        database,
        limiter,
        server,
        share: size,
    };
    let session = fixture.session("tables");
    session.execute_unprepared(TABLES).await.unwrap();
    session.end(Outcome::Commit).await.unwrap();
    fixture
}

impl TestPool {
    pub(crate) fn session(&self, label: &'static str) -> Session {
        self.database
            .session(SessionOptions::new(label).deadline(Duration::from_secs(20)))
    }

    pub(crate) fn reader(&self) -> Session {
        let options = SessionOptions::new("read")
            .autocommit_reads()
            .deadline(Duration::from_secs(20));
        self.database.session(options)
    }

    pub(crate) async fn notes(&self) -> i64 {
        number(&self.reader(), "SELECT count(*) FROM notes")
            .await
            .unwrap()
    }

    /// The share is whole, nothing leaked on either side of the wire, and no transaction is left behind.
    pub(crate) async fn assert_whole(&self) {
        eventually(async || {
            let slots = self.database.status().slots;
            slots.leased == 0 && slots.connecting == 0 && slots.closing == 0
        })
        .await;
        eventually(async || self.limiter.counts().concurrent <= self.database.status().slots.idle).await;
        eventually(async || {
            self.server
                .count_backends("state LIKE 'idle in transaction%'")
                .await
                == 0
        })
        .await;
        let sessions: Vec<_> = (0..self.share).map(|_| self.session("whole")).collect();
        for session in &sessions {
            number(session, "SELECT 1")
                .await
                .expect("every slot of the share can be leased");
        }
        let slots = self.database.status().slots;
        assert_eq!(slots.leased, self.share, "all of the share at once");
        for session in sessions {
            session.end(Outcome::Rollback).await.unwrap();
        }
        let counts = self.limiter.counts();
        assert!(counts.peak <= self.share, "never more than the limit: {counts:?}");
    }
}

pub(crate) async fn insert<C: ConnectionTrait>(connection: &C, id: i32) -> Result<(), DbErr> {
    connection
        .execute_raw(statement("INSERT INTO notes (id) VALUES ($1)", [id.into()]))
        .await
        .map(drop)
}

pub(crate) async fn number<C: ConnectionTrait>(connection: &C, sql: &str) -> Result<i64, Error> {
    let row = connection
        .query_one_raw(statement(sql, []))
        .await?
        .ok_or(Error::NotFound)?;
    Ok(row
        .try_get_by_index::<i64>(0)
        .or_else(|_| row.try_get_by_index::<i32>(0).map(i64::from))?)
}

pub(crate) async fn text<C: ConnectionTrait>(connection: &C, sql: &str) -> Result<String, Error> {
    let row = connection
        .query_one_raw(statement(sql, []))
        .await?
        .ok_or(Error::NotFound)?;
    Ok(row.try_get_by_index::<String>(0)?)
}

pub(crate) fn statement<const N: usize>(sql: &str, values: [sea_orm::Value; N]) -> Statement {
    Statement::from_sql_and_values(DbBackend::Postgres, sql, values)
}

#[derive(Debug, FromQueryResult, PartialEq)]
pub(crate) struct Note {
    pub(crate) id: i32,
}
