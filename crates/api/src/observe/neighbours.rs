use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use berth_database::{Database, DatabaseClient};

/// How long the server is asked; longer, and what it said last must do.
const LOOK: Duration = Duration::from_millis(200);

/// Who is connected to the same database, as far as it could be asked without keeping anybody waiting.
#[derive(Clone, Debug)]
pub(crate) struct Neighbours {
    database: Database,
    last: Arc<Mutex<Option<Answer>>>,
}

#[derive(Debug)]
struct Answer {
    at: Instant,
    neighbours: Vec<DatabaseClient>,
}

impl Neighbours {
    pub(crate) fn new(database: Database) -> Self {
        Self {
            database,
            last: Arc::default(),
        }
    }

    /// The newest answer and its age; none before the first.
    pub(crate) async fn look(&self) -> Option<(Duration, Vec<DatabaseClient>)> {
        let answer = self.database.clients(LOOK).await;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(neighbours) = answer {
            let at = Instant::now();
            *last = Some(Answer { at, neighbours });
        }
        let last = last.as_ref()?;
        Some((last.at.elapsed(), last.neighbours.clone()))
    }
}
