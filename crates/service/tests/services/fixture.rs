//! A migrated database with a share of one connection, and the services on it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use berth_database::{Database, Outcome, Session, SessionOptions, Settings};
use berth_testkit::{Cluster, TestDatabase};
use chrono::{DateTime, TimeDelta};
use service::{Error, Services};
use tempfile::TempDir;
use uuid::Uuid;

/// A migrated database with a share of one connection, and services whose clock advances a second at each reading.
pub(crate) struct Fixture {
    pub(crate) services: Services,
    pub(crate) database: Database,
    pub(crate) store: Store,
    /// The development user.
    pub(crate) owner: Uuid,
}

/// The server or file of the database, removed with this value.
pub(crate) enum Store {
    Postgres(TestDatabase),
    Sqlite(TempDir),
}

/// Runs a test on both databases, one after the other.
pub(crate) async fn on_both_databases(test: impl AsyncFn(Fixture)) {
    test(Fixture::sqlite().await).await;
    test(Fixture::postgres().await).await;
}

impl Fixture {
    pub(crate) async fn sqlite() -> Fixture {
        let folder = TempDir::new().expect("a folder for temporary files");
        let url = format!(
            "sqlite://{}?mode=rwc",
            folder.path().join("test.sqlite").display()
        );
        let settings = settings(&url);
        berth_migrate::apply(migration::Migrator, &settings)
            .await
            .expect("the migrations run");
        Fixture::new(settings, Store::Sqlite(folder)).await
    }

    pub(crate) async fn postgres() -> Fixture {
        let migrate = async |url: String| {
            berth_migrate::apply(migration::Migrator, &settings(&url))
                .await
                .expect("the migrations run");
        };
        let database = Cluster::shared().await.database_from("service", migrate).await;
        let settings = settings(&database.url());
        Fixture::new(settings, Store::Postgres(database)).await
    }

    async fn new(settings: Settings, store: Store) -> Fixture {
        Fixture {
            services: Services::new().with_clock(ticking()),
            database: Database::new(settings).expect("settings that work"),
            store,
            owner: Uuid::nil(),
        }
        .with_owner()
        .await
    }

    async fn with_owner(mut self) -> Self {
        let owner = self
            .work(async |services, session| services.users(session).development_account(None).await)
            .await;
        self.owner = owner.expect("a user can be made").id;
        self
    }

    /// Returns a session as a request that writes gets it.
    pub(crate) fn session(&self) -> Session {
        self.database.session(SessionOptions::new("test"))
    }

    /// Runs one unit of work: commits on success, rolls back on an error.
    pub(crate) async fn work<T>(
        &self,
        work: impl AsyncFnOnce(&Services, &Session) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let session = self.session();
        let result = work(&self.services, &session).await;
        let outcome = if result.is_ok() {
            Outcome::Commit
        } else {
            Outcome::Rollback
        };
        session.end(outcome).await?;
        result
    }

    /// Closes the connections and removes the database.
    pub(crate) async fn end(self) {
        self.database
            .close(Duration::from_secs(5))
            .await
            .expect("no connection is leased any more");
        match self.store {
            Store::Postgres(database) => drop(database),
            Store::Sqlite(folder) => drop(folder),
        }
    }
}

/// Sets a share of one: code that leases a second connection while it holds one times out.
fn settings(url: &str) -> Settings {
    Settings {
        url: url.parse().expect("a URL"),
        pool_size: 1,
        max_overflow: 0,
        pool_timeout: Duration::from_secs(10),
        ..Settings::default()
    }
}

fn ticking() -> service::Clock {
    let seconds = AtomicI64::new(0);
    let start = DateTime::from_timestamp(1_800_000_000, 123_456_789).expect("a time");
    service::Clock::from_fn(move || start + TimeDelta::seconds(seconds.fetch_add(1, Ordering::Relaxed)))
}
