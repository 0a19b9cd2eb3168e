//! Where a cluster is and how one logs in to it: all that a second process needs to use it.

use std::fs;
use std::path::{Path, PathBuf};

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::certificates::Certificates;

/// The superuser of a cluster.
pub(crate) const SUPERUSER: &str = "postgres";
/// The role that owns the databases of tests; an ordinary one, as an application's is.
pub(crate) const ROLE: &str = "app";

/// The whereabouts of a running cluster.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
    pub(crate) port: u16,
    pub(crate) superuser_password: String,
    pub(crate) password: String,
}

impl Place {
    /// Reads the description that [`Place::write`] left in `directory`.
    pub(crate) fn read(directory: &Path) -> Option<Place> {
        let text = fs::read_to_string(directory.join("description")).ok()?;
        let mut lines = text.lines().map(str::to_owned);
        Some(Place {
            directory: directory.to_owned(),
            port: lines.next()?.parse().ok()?,
            superuser_password: lines.next()?,
            password: lines.next()?,
        })
    }

    /// Writes the description for other processes of the same user.
    pub(crate) fn write(&self) {
        let text = format!("{}\n{}\n{}\n", self.port, self.superuser_password, self.password);
        fs::write(self.directory.join("description"), text).expect("the cluster's directory can be written");
    }

    /// The URL of `database` at `port` for the application's role, without TLS.
    pub(crate) fn url(&self, port: u16, database: &str) -> String {
        format!(
            "postgres://{ROLE}:{}@127.0.0.1:{port}/{database}?sslmode=disable",
            self.password
        )
    }

    /// The URL of `database` for the superuser, without TLS.
    pub(crate) fn admin_url(&self, database: &str) -> String {
        let Place {
            port,
            superuser_password,
            ..
        } = self;
        format!("postgres://{SUPERUSER}:{superuser_password}@127.0.0.1:{port}/{database}?sslmode=disable")
    }

    /// What sqlx needs to connect to `database` as the superuser: by the Unix socket, without a password, whose
    /// thousands of rounds of hashing take long in a debug build.
    pub(crate) fn admin_options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(self.socket_folder())
            .port(self.port)
            .username(SUPERUSER)
            .database(database)
            .ssl_mode(PgSslMode::Disable)
            .application_name("testkit")
    }

    /// The folder of the Unix socket, where nobody is asked for a password.
    pub(crate) fn socket_folder(&self) -> PathBuf {
        self.directory.join("socket")
    }

    /// The certificates of the cluster.
    pub(crate) fn certificates(&self) -> Certificates {
        Certificates::new(self.directory.join("tls"))
    }
}
