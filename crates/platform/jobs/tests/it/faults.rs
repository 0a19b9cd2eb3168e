//! Four instances behind a session pooler, while connections are killed, the pooler restarts, the database is away, and
//! workers crash: every job is done, a unique job is never run twice at a time, and no occurrence is lost or made twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use berth_database::{Database, Outcome, SessionOptions};
use berth_jobs::{Enqueued, Job, JobError, JobOptions, Jobs, OnConflict, Registry, Schedule, Work, Worker};
use berth_testkit::{Cluster, PgBouncer, PgBouncerOptions};
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::fixture::{Fixture, eventually, quick, settings};

const INSTANCES: usize = 4;
const SHARE: u32 = 3;
/// How many keys unique jobs have.
const KEYS: usize = 3;

#[derive(Clone, Debug, Default)]
struct Seen {
    /// How often each job did its work outside the database.
    runs: Arc<Mutex<BTreeMap<Uuid, usize>>>,
    at_once: Arc<[AtomicUsize; KEYS]>,
    overlaps: Arc<AtomicUsize>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Step {
    key: Option<usize>,
}

impl Job for Step {
    const NAME: &'static str = "step";
    type State = Seen;

    fn options(&self) -> JobOptions {
        let options = JobOptions::default()
            .max_attempts(1000)
            .timeout(Duration::from_secs(10));
        match self.key {
            Some(key) => options.unique(key, OnConflict::Keep),
            None => options,
        }
    }

    async fn run(self, seen: &Seen, work: &Work) -> Result<(), JobError> {
        let _alone = self.key.map(|key| Alone::new(seen, key));
        *seen.runs.lock().unwrap().entry(work.id()).or_default() += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
        let insert = format!("INSERT INTO notes VALUES ('{}', 'once')", work.id());
        work.session().execute_unprepared(&insert).await?;
        Ok(())
    }
}

/// Counts the runs with one key at the same time, until it is dropped.
struct Alone<'s>(&'s AtomicUsize);

impl<'s> Alone<'s> {
    fn new(seen: &'s Seen, key: usize) -> Self {
        let at_once = &seen.at_once[key];
        if at_once.fetch_add(1, Ordering::SeqCst) > 0 {
            seen.overlaps.fetch_add(1, Ordering::SeqCst);
        }
        Self(at_once)
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Instance {
    database: Database,
    jobs: Jobs,
    worker: Option<Worker>,
    seen: Seen,
}

impl Instance {
    fn new(url: &str, seen: &Seen) -> Self {
        let mut instance = Self {
            database: Database::new(settings(url, SHARE)).unwrap(),
            jobs: Jobs::new(),
            worker: None,
            seen: seen.clone(),
        };
        instance.start();
        instance
    }

    fn start(&mut self) {
        let often = Schedule::new("often", "*/5 * * * * *").unwrap();
        let registry = Registry::new()
            .job::<Step>(self.seen.clone())
            .schedule(often, Step { key: None });
        self.worker = Some(Worker::start(&self.database, &self.jobs, registry, quick()));
    }

    /// Ends the worker without releasing its claims, and starts another.
    fn crash(&mut self) {
        self.worker.take();
        self.start();
    }

    /// Enqueues a job, and returns its id if the commit was acknowledged.
    async fn enqueue(&self, key: Option<usize>) -> Option<Uuid> {
        let session = self
            .database
            .session(SessionOptions::new("enqueue").deadline(Duration::from_secs(20)));
        let stored = self.jobs.enqueue(&session, Step { key }).await.ok()?;
        session.end(Outcome::Commit).await.ok()?;
        match stored {
            Enqueued::Stored(id) => Some(id),
            Enqueued::Existing => None,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_survive_killed_backends_a_restarted_pooler_an_outage_and_crashed_workers() {
    storm(1).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn jobs_survive_minutes_of_faults() {
    storm(12).await;
}

async fn storm(rounds: usize) {
    let fixture = Fixture::postgres(2).await;
    let server = fixture.server();
    let limit = u32::try_from(INSTANCES).unwrap() * SHARE;
    let options = PgBouncerOptions::default()
        .pool_size(limit)
        .max_client_conn(limit);
    let pooler = PgBouncer::start(Cluster::shared().await, options).await;
    let seen = Seen::default();
    let url = pooler.url(server);
    let mut instances: Vec<Instance> = (0..INSTANCES).map(|_| Instance::new(&url, &seen)).collect();
    let mut stored = BTreeSet::new();
    for round in 0..rounds {
        enqueue(&instances, &mut stored, 100).await;
        server.terminate_all().await;
        enqueue(&instances, &mut stored, 100).await;
        instances[round % INSTANCES].crash();
        pooler.restart().await;
        enqueue(&instances, &mut stored, 100).await;
        pooler.stop().await;
        // The fault itself: the database is away for longer than a claim lasts.
        tokio::time::sleep(Duration::from_secs(5)).await;
        pooler.resume().await;
        whole_within_seconds(&instances).await;
    }
    let left = "SELECT state FROM jobs WHERE state <> 'done' AND name = 'step' AND unique_key NOT LIKE 'often %' \
        OR state <> 'done' AND unique_key IS NULL";
    eventually(async || fixture.texts(left).await.is_empty()).await;
    for instance in &mut instances {
        instance.worker.take().unwrap().stop().await;
        instance.database.close(Duration::from_secs(5)).await.unwrap();
    }
    check(&fixture, &seen, &stored).await;
}

/// Enqueues jobs from all instances, every fourth one with a key.
async fn enqueue(instances: &[Instance], stored: &mut BTreeSet<String>, count: usize) {
    for number in 0..count {
        let key = (number % 4 == 0).then_some(number % KEYS);
        let id = instances[number % INSTANCES].enqueue(key).await;
        stored.extend(id.map(|id| id.to_string()));
    }
}

/// Within 5 s each instance can lease its whole share.
async fn whole_within_seconds(instances: &[Instance]) {
    let since = Instant::now();
    for instance in instances {
        eventually(async || {
            let session = instance
                .database
                .session(SessionOptions::new("whole").deadline(Duration::from_secs(1)));
            let answered = session.execute_unprepared("SELECT 1").await.is_ok();
            let slots = instance.database.status().slots;
            answered && slots.closing == 0 && slots.connecting + slots.idle + slots.leased <= SHARE as usize
        })
        .await;
    }
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
}

async fn check(fixture: &Fixture, seen: &Seen, stored: &BTreeSet<String>) {
    assert!(stored.len() > 100, "most jobs were stored: {}", stored.len());
    let notes = fixture.texts("SELECT id FROM notes").await;
    let noted: BTreeSet<String> = notes.iter().cloned().collect();
    assert_eq!(
        noted.len(),
        notes.len(),
        "what a job does in its session is stored once"
    );
    let lost: Vec<&String> = stored.difference(&noted).collect();
    assert!(lost.is_empty(), "jobs that were never done: {lost:?}");
    assert_eq!(
        seen.overlaps.load(Ordering::SeqCst),
        0,
        "unique jobs one at a time"
    );
    let occurrences = fixture
        .texts("SELECT unique_key FROM jobs WHERE unique_key LIKE 'often %' ORDER BY unique_key")
        .await;
    let seconds: Vec<i64> = occurrences
        .iter()
        .map(|key| crate::schedule::seconds(key))
        .collect();
    let gaps: Vec<_> = seconds.windows(2).filter(|pair| pair[1] - pair[0] != 5).collect();
    assert!(
        gaps.is_empty(),
        "an occurrence is missing or there twice: {gaps:?}"
    );
}
