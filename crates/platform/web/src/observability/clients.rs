//! The clients of the database, as the server lists them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use berth_database::{Database, DatabaseClient};

/// The longest that the server is asked; after it the last list is shown.
const TIMEOUT: Duration = Duration::from_millis(200);

/// The clients of the same database, as far as the server can be asked while no request waits for a connection.
#[derive(Clone, Debug)]
pub struct ConnectedClients {
    database: Database,
    last: Arc<Mutex<Option<ClientList>>>,
}

#[derive(Debug)]
struct ClientList {
    at: Instant,
    clients: Vec<DatabaseClient>,
}

impl ConnectedClients {
    pub(crate) fn new(database: Database) -> Self {
        Self {
            database,
            last: Arc::default(),
        }
    }

    /// The newest list and its age; none before the first.
    pub(crate) async fn list(&self) -> Option<(Duration, Vec<DatabaseClient>)> {
        let listed = self.database.clients(TIMEOUT).await;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(clients) = listed {
            let at = Instant::now();
            *last = Some(ClientList { at, clients });
        }
        let last = last.as_ref()?;
        Some((last.at.elapsed(), last.clients.clone()))
    }
}
