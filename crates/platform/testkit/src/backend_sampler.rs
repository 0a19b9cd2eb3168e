//! Samples how many backends the server counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

use crate::test_database::TestDatabase;

const INTERVAL: Duration = Duration::from_millis(10);

/// Counts the backends of the application's role every 10 ms, over one connection of the superuser.
///
/// It runs on a thread of its own, so a busy runtime does not thin its samples.
///
/// # Examples
///
/// ```no_run
/// # use berth_testkit::{BackendSampler, TestDatabase};
/// # async fn example(database: &TestDatabase) {
/// let sampler = BackendSampler::start(database).await;
/// // ... clients connect and disconnect ...
/// assert!(sampler.most() <= 5, "{} backends at once", sampler.most());
/// # }
/// ```
#[derive(Debug)]
pub struct BackendSampler {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    most: AtomicI64,
    samples: AtomicI64,
    stopped: AtomicBool,
}

impl BackendSampler {
    /// Starts to count the backends that the application's role has in this database.
    ///
    /// # Panics
    ///
    /// When the cluster does not answer.
    pub async fn start(database: &TestDatabase) -> BackendSampler {
        let shared = Arc::new(Shared::default());
        let options = database.info().admin_options("postgres");
        let query = format!("select count(*) from pg_stat_activity where {}", database.ours());
        let sampling = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("backend-sampler".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(async {
                    let connection = options.connect().await.expect("the cluster answers");
                    sample(connection, query, &sampling).await;
                });
            })
            .expect("a thread can be started");
        let sampler = BackendSampler {
            shared,
            thread: Some(thread),
        };
        crate::eventually(async || sampler.samples() > 0).await;
        sampler
    }

    /// Returns the most backends of any sample so far.
    pub fn most(&self) -> i64 {
        self.shared.most.load(Ordering::Relaxed)
    }

    /// Returns how many samples were taken so far.
    pub fn samples(&self) -> i64 {
        self.shared.samples.load(Ordering::Relaxed)
    }
}

impl Drop for BackendSampler {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has reported it.
            let _ = thread.join();
        }
    }
}

async fn sample(mut connection: PgConnection, query: String, shared: &Shared) {
    while !shared.stopped.load(Ordering::Relaxed) {
        let row = sqlx::query(AssertSqlSafe(query.clone()))
            .fetch_one(&mut connection)
            .await
            .expect("the cluster answers");
        shared.most.fetch_max(row.get(0), Ordering::Relaxed);
        shared.samples.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(INTERVAL).await;
    }
    // An error here only means that the server closed first.
    let _ = connection.close().await;
}
