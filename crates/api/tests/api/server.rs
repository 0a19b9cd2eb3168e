//! A server of its own for each test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use actix_web::web::ServiceConfig;
use api::app::Application;
use api::settings::{self, Settings};
use berth_database::Database;
use berth_settings::Sources;
use berth_testkit::{Cluster, TestDatabase};
use berth_web::{StartError, startup};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::Client;

/// Where a server keeps its data, gone when the test ends.
#[derive(Debug)]
pub(crate) enum Store {
    Sqlite(Folder),
    Postgres(TestDatabase),
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    database: Database,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), StartError>>,
    _store: Store,
}

impl Store {
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(Folder::new())
    }

    pub(crate) async fn postgres() -> Self {
        Self::Postgres(Cluster::shared().await.database_from("api", Self::migrate).await)
    }

    /// Makes the template that the databases of these tests are copies of.
    pub(crate) async fn migrate(url: String) {
        let settings = berth_database::Settings::for_url(&url).expect("testkit gives URLs");
        migration::apply(&settings).await.expect("the migrations apply");
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!(
                "sqlite://{}?mode=rwc",
                folder.path().join("test.sqlite").display()
            ),
            Self::Postgres(database) => database.url(),
        }
    }

    /// The settings of a test's server: those of `config/test.toml`, and one connection.
    pub(crate) fn settings(&self) -> Settings {
        let url = self.url();
        let migrate = if matches!(self, Self::Sqlite(_)) {
            "apply"
        } else {
            "skip"
        };
        let set = [
            ("APP_ENV", "test"),
            ("APP__STARTUP__MIGRATE", migrate),
            ("DATABASE_URL", &*url),
            ("DB_POOL_SIZE", "1"),
            ("DB_MAX_OVERFLOW", "0"),
            ("DB_POOL_TIMEOUT", "5"),
            ("APP__SERVER__WORKERS", "2"),
        ];
        let environment = set
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let sources = Sources {
            environment,
            ..settings::sources()
        };
        let mut loaded = sources.load().expect("the settings of tests are known");
        Settings::read(&mut loaded).expect("the settings of tests are valid")
    }
}

impl Server {
    pub(crate) async fn start(store: Store) -> Self {
        Self::start_with(store, |_| {}, |_| {}).await
    }

    /// With other settings, and with routes that misbehave in ways that no real one does.
    pub(crate) async fn start_with(
        store: Store,
        adjust: impl FnOnce(&mut Settings),
        more_routes: fn(&mut ServiceConfig),
    ) -> Self {
        let mut settings = store.settings();
        adjust(&mut settings);
        let database = startup::database(&settings.platform)
            .await
            .expect("the database answers");
        startup::migrations(&settings.platform, &database, api::app::MIGRATIONS)
            .await
            .expect("the migrations apply");
        let application = Application::new(&settings, &database).expect("the services start");
        let bound = application
            .with_routes(more_routes)
            .bind()
            .expect("a port is free");
        let (stop, stopped) = oneshot::channel();
        let address = bound.server.address();
        let running = tokio::spawn(bound.run_until(async {
            let _ = stopped.await;
        }));
        Self {
            address,
            database,
            stop: Some(stop),
            running,
            _store: store,
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    pub(crate) fn ask_to_stop(&mut self) {
        self.stop.take();
    }

    /// Waits for the end it was asked for.
    pub(crate) async fn ended(self) {
        let end = tokio::time::timeout(Duration::from_secs(30), self.running).await;
        end.expect("it ends").unwrap().expect("it ends well");
    }

    /// Waits until a request to this route has a connection. Each start looks for pending migrations, which takes one
    /// for a moment, too.
    pub(crate) async fn lends_to(&self, route: &str) {
        let holds = async || self.database.holders().iter().any(|holder| holder.label == route);
        berth_testkit::eventually(holds).await;
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }
}

/// A folder that goes with the test.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("berth-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&folder).expect("the folder for temporary files can be written");
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
