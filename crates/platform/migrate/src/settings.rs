//! The settings of a run: URL, waiting time and timeouts.

use std::time::Duration;

/// The database, and the timeouts of a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The service's own settings; a run uses those of the connection.
    pub database: berth_database::Settings,
    /// How long to wait for another run, and for a connection while the server is full. Default: 10 min.
    pub wait: Duration,
    /// How long to retry while the server does not answer. Default: 30 s.
    pub reach: Duration,
    /// How long a statement waits for a lock on a table. Default: 5 s. Migrations without a transaction have no limit.
    ///
    /// All later queries of the table wait behind a change that waits for its lock. So one long query would block the
    /// whole service; it is better that the migration fails and is run again later.
    pub lock: Duration,
    /// How long one statement may run. Default: 15 min.
    pub statement: Duration,
}

impl Settings {
    /// Creates settings with the default timeouts.
    pub fn new(database: berth_database::Settings) -> Self {
        Settings {
            database,
            wait: Duration::from_secs(600),
            reach: Duration::from_secs(30),
            lock: Duration::from_secs(5),
            statement: Duration::from_secs(900),
        }
    }
}

impl From<&berth_database::Settings> for Settings {
    fn from(settings: &berth_database::Settings) -> Self {
        Settings::new(settings.clone())
    }
}
