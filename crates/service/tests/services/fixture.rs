//! A database with one connection for all, and the services on it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use berth_database::{Database, Outcome, Session, SessionOptions, Settings};
use berth_testkit::{Cluster, TestDatabase};
use chrono::{DateTime, TimeDelta};
use service::{Error, Services};
use uuid::Uuid;

/// A migrated database behind a share of one connection, and the services with a clock that ticks a
/// second each time somebody looks at it.
pub(crate) struct Bench {
    pub(crate) services: Services,
    pub(crate) database: Database,
    pub(crate) place: Place,
    /// The development user.
    pub(crate) owner: Uuid,
}

/// What the database is made of; it goes with this value.
pub(crate) enum Place {
    Postgres(TestDatabase),
    Sqlite(Folder),
}

/// A folder that goes with this value.
pub(crate) struct Folder(PathBuf);

/// Runs a test on both databases, one after the other.
pub(crate) async fn on_both(test: impl AsyncFn(Bench)) {
    test(Bench::sqlite().await).await;
    test(Bench::postgres().await).await;
}

impl Bench {
    pub(crate) async fn sqlite() -> Bench {
        let folder = std::env::temp_dir().join(format!("berth-service-{}", Uuid::now_v7().simple()));
        let folder = Folder(folder);
        let url = format!("sqlite://{}/test.sqlite?mode=rwc", folder.0.display());
        let settings = settings(&url);
        migration::apply(&settings).await.expect("the migrations run");
        Bench::new(settings, Place::Sqlite(folder)).await
    }

    pub(crate) async fn postgres() -> Bench {
        let migrate = async |url: String| {
            migration::apply(&settings(&url))
                .await
                .expect("the migrations run");
        };
        let database = Cluster::shared().await.database_from("service", migrate).await;
        let settings = settings(&database.url());
        Bench::new(settings, Place::Postgres(database)).await
    }

    async fn new(settings: Settings, place: Place) -> Bench {
        Bench {
            services: Services::new().with_clock(ticking()),
            database: Database::new(settings).expect("settings that work"),
            place,
            owner: Uuid::nil(),
        }
        .with_owner()
        .await
    }

    async fn with_owner(mut self) -> Self {
        let owner = self
            .work(async |services, session| services.users(session).development_user().await)
            .await;
        self.owner = owner.expect("a user can be made").id;
        self
    }

    /// A session such as a request that changes something gets.
    pub(crate) fn session(&self) -> Session {
        self.database.session(SessionOptions::new("test"))
    }

    /// A session such as a request that only reads gets.
    pub(crate) fn reading(&self) -> Session {
        self.database
            .session(SessionOptions::new("test").autocommit_reads())
    }

    /// One unit of work: committed if it ends well, rolled back if not.
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

    /// Gives up the connections and what the database is made of.
    pub(crate) async fn end(self) {
        self.database
            .close(Duration::from_secs(5))
            .await
            .expect("nobody holds a connection any more");
        match self.place {
            Place::Postgres(database) => drop(database),
            Place::Sqlite(folder) => drop(folder),
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// The fields that the error names.
#[track_caller]
pub(crate) fn broken<T: std::fmt::Debug>(result: Result<T, Error>) -> Vec<String> {
    match result {
        Err(Error::Validation(fields)) => fields.into_iter().map(|field| field.path).collect(),
        other => panic!("not a broken rule: {other:?}"),
    }
}

/// A share of one: whoever takes a second connection while holding one waits for itself.
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
