//! The settings of a run: URL, waiting time and timeouts.

use std::time::Duration;

/// Where the database is, and how long a run waits for what.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The service's own settings, of which a run takes the address, the pooler, the name and how to connect.
    pub database: berth_database::Settings,
    /// How long to wait for another run and for a server that is full. Default: 10 min.
    pub wait: Duration,
    /// How long to try to reach a server that does not answer. Default: 30 s.
    pub reach: Duration,
    /// How long a statement waits for a table's lock. Default: 5 s. Migrations without a transaction wait without end.
    ///
    /// A change of a table queues before everybody who comes after it. Without a limit, one long
    /// query that delays the change delays the whole service; failing and trying later is cheaper.
    pub lock: Duration,
    /// How long one statement may run. Default: 15 min.
    pub statement: Duration,
}

impl Settings {
    /// Takes the defaults for everything but the database.
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
