//! The database of a test's server.

use berth_settings::{BuiltIn, Sources};
use berth_testkit::{Cluster, TestDatabase};
use tempfile::TempDir;

/// A database that is gone when the test ends.
#[derive(Debug)]
pub enum Store {
    /// A SQLite file in a folder of its own.
    Sqlite(TempDir),
    /// A database on the tests' PostgreSQL.
    Postgres(TestDatabase),
}

impl Store {
    /// Makes a SQLite database; the server's start applies the migrations.
    pub fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().expect("the folder for temporary files can be written"))
    }

    /// Makes a PostgreSQL database, a copy of the template that `migrate` fills once for all tests of a binary.
    pub async fn postgres<F>(template: &str, migrate: impl FnOnce(String) -> F) -> Self
    where
        F: Future<Output = ()>,
    {
        Self::Postgres(Cluster::shared().await.database_from(template, migrate).await)
    }

    /// The database's URL.
    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!(
                "sqlite://{}?mode=rwc",
                folder.path().join("test.sqlite").display()
            ),
            Self::Postgres(database) => database.url(),
        }
    }

    /// The sources of the settings of a test's server: `config/test.toml`, a free port, and a share of one
    /// connection, so that a hidden second lease cannot hide.
    pub fn sources(&self, built_in: BuiltIn) -> Sources {
        let url = self.url();
        let migrate = match self {
            Self::Sqlite(_) => "apply",
            Self::Postgres(_) => "skip",
        };
        let variables = [
            ("APP_ENV", "test"),
            ("APP__STARTUP__MIGRATE", migrate),
            ("DATABASE_URL", &*url),
            ("DB_POOL_SIZE", "1"),
            ("DB_MAX_OVERFLOW", "0"),
            ("DB_POOL_TIMEOUT", "5"),
            ("APP__SERVER__WORKERS", "2"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Sources {
            environment: variables.to_vec(),
            ..Sources::new(built_in)
        }
    }
}
