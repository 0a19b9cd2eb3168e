//! A database with one connection for all, and the services on it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use database::{Database, Outcome, Session, SessionOptions, Settings};
use entity::user;
use service::{Error, NewConversation, NewMessage, OfflineResponder, Responder, Services};
use testkit::{Cluster, TestDatabase};
use uuid::Uuid;

/// A migrated database behind a share of one connection, and the services with a clock that ticks a
/// second each time somebody looks at it.
pub(crate) struct Bench {
    pub(crate) services: Services,
    pub(crate) database: Database,
    /// Somebody to own things.
    pub(crate) owner: Uuid,
    pub(crate) place: Place,
}

/// What the database is made of; it goes with this value.
pub(crate) enum Place {
    Postgres(TestDatabase),
    Sqlite { folder: PathBuf },
}

/// Runs a test on both databases, one after the other.
pub(crate) async fn on_both(test: impl AsyncFn(Bench)) {
    test(Bench::sqlite(Arc::new(OfflineResponder)).await).await;
    test(Bench::postgres(Arc::new(OfflineResponder)).await).await;
}

impl Bench {
    pub(crate) async fn sqlite(responder: Arc<dyn Responder>) -> Bench {
        let folder = std::env::temp_dir().join(format!("berth-service-{}", Uuid::now_v7().simple()));
        let url = format!("sqlite://{}/test.sqlite?mode=rwc", folder.display());
        let settings = settings(&url);
        migration::apply(&settings).await.expect("the migrations run");
        Bench::new(settings, Place::Sqlite { folder }, responder).await
    }

    pub(crate) async fn postgres(responder: Arc<dyn Responder>) -> Bench {
        let migrate = async |url: String| {
            migration::apply(&settings(&url))
                .await
                .expect("the migrations run");
        };
        let database = Cluster::shared().await.database_from("service", migrate).await;
        let settings = settings(&database.url());
        Bench::new(settings, Place::Postgres(database), responder).await
    }

    /// A second process on the same database, so to speak: a share of its own.
    pub(crate) fn neighbour(&self) -> Database {
        Database::new(self.database.settings().clone()).expect("settings that work")
    }

    async fn new(settings: Settings, place: Place, responder: Arc<dyn Responder>) -> Bench {
        let database = Database::new(settings).expect("settings that work");
        let services = Services::new(responder).with_clock(ticking());
        let mut bench = Bench {
            services,
            database,
            owner: Uuid::nil(),
            place,
        };
        let owner = bench
            .work(async |services, session| services.users(session).development_user().await)
            .await;
        bench.owner = owner.expect("a user can be made").id;
        bench
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

    pub(crate) async fn conversation(&self, title: &str) -> Uuid {
        let new = NewConversation {
            title: title.to_owned(),
            is_public: false,
        };
        let made = self
            .work(async |services, session| services.conversations(session).create(self.owner, new).await);
        made.await.expect("a conversation can be made").id
    }

    /// Another user, who owns nothing yet.
    pub(crate) async fn stranger(&self) -> Uuid {
        use sea_orm::{ActiveModelTrait, ActiveValue::Set};
        let id = Uuid::now_v7();
        let user = user::ActiveModel {
            id: Set(id),
            name: Set("Stranger".to_owned()),
            email: Set(format!("{id}@example.com")),
            created_at: Set(Utc::now()),
            updated_at: Set(Utc::now()),
        };
        self.work(async |_, session| Ok(user.insert(session).await?))
            .await
            .expect("a user can be made");
        id
    }

    /// All messages of a conversation with who said them, oldest first.
    pub(crate) async fn said(&self, conversation: Uuid) -> Vec<(entity::message::Role, String)> {
        let page = service::PageRequest {
            limit: Some(100),
            cursor: None,
        };
        let session = self.reading();
        let page = self
            .services
            .conversations(&session)
            .messages(self.owner, conversation, page)
            .await;
        page.expect("it can be read")
            .items
            .into_iter()
            .map(|row| (row.role, row.body))
            .collect()
    }

    /// Gives up the connections and what the database is made of.
    pub(crate) async fn end(self) {
        self.database
            .close(Duration::from_secs(5))
            .await
            .expect("nobody holds a connection any more");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Place::Sqlite { folder } = self {
            let _gone = std::fs::remove_dir_all(folder);
        }
    }
}

pub(crate) fn message(body: &str) -> NewMessage {
    NewMessage {
        body: body.to_owned(),
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
