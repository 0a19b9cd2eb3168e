//! What becomes of a job: done together with its work, tried again, dead, cancelled, released.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use berth_jobs::{Job, JobError, JobOptions, OnConflict, Priority, Registry, RunAt, Work};
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::fixture::{Fixture, eventually};
use crate::on_both_databases;

on_both_databases!(
    the_work_of_a_job_is_stored_with_the_mark_that_it_is_done,
    a_failed_job_is_tried_again_and_its_work_rolled_back,
    a_job_is_dead_after_its_last_attempt_or_a_permanent_error,
    a_job_that_takes_too_long_or_panics_has_failed,
    a_job_with_an_unknown_name_is_left_alone,
    jobs_run_by_priority_and_not_before_their_time,
    a_unique_job_that_is_replaced_while_it_runs_runs_again_afterwards,
    a_worker_that_stops_releases_its_jobs_without_counting_the_attempt,
    the_jobs_of_a_worker_that_crashed_are_taken_up_again,
    an_attempt_whose_claim_was_lost_is_cancelled_and_stores_nothing,
);

/// Writes a note, and then does what it says.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Note(String, Then);

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
enum Then {
    Succeed,
    FailUntil(u16),
    FailForEver,
    Panic,
    Sleep,
    /// Waits until the test allows it to end.
    Wait,
}

/// What the test and its jobs share.
#[derive(Clone, Debug)]
struct Shared {
    started: Arc<AtomicUsize>,
    may_end: Arc<Semaphore>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            started: Arc::default(),
            may_end: Arc::new(Semaphore::new(0)),
        }
    }
}

impl Job for Note {
    const NAME: &'static str = "note";
    type State = Shared;

    async fn run(self, shared: &Shared, work: &Work) -> Result<(), JobError> {
        if self.1 == Then::Sleep {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        let insert = format!("INSERT INTO notes VALUES ('{}', '{}')", work.id(), self.0);
        work.session().execute_unprepared(&insert).await?;
        shared.started.fetch_add(1, Ordering::SeqCst);
        match self.1 {
            Then::FailUntil(attempt) if work.attempt() < attempt => {
                Err("not yet: postgres://me:secret@host/x".into())
            }
            Then::FailForEver => Err(JobError::permanent("never")),
            Then::Panic => panic!("a job of a test panics"),
            Then::Wait => {
                work.session().commit().await?;
                shared.may_end.acquire().await?.forget();
                Ok(())
            }
            Then::Succeed | Then::FailUntil(_) | Then::Sleep => Ok(()),
        }
    }
}

fn note(text: &str, then: Then) -> Note {
    Note(text.to_owned(), then)
}

fn registry(shared: &Shared) -> Registry {
    Registry::new().job::<Note>(shared.clone())
}

const NOTES: &str = "SELECT note FROM notes";
const STATES: &str = "SELECT state || ' ' || attempt FROM jobs ORDER BY id";
const ERRORS: &str = "SELECT last_error FROM jobs ORDER BY id";

async fn the_work_of_a_job_is_stored_with_the_mark_that_it_is_done(fixture: Fixture) {
    let worker = fixture.worker(registry(&Shared::default()));
    fixture.enqueue(note("one", Then::Succeed)).await;
    fixture.eventually(STATES, &["done 1"]).await;
    assert_eq!(fixture.texts(NOTES).await, ["one"]);
    worker.stop().await;
    eventually(async || fixture.database.status().slots.leased == 0).await;
}

async fn a_failed_job_is_tried_again_and_its_work_rolled_back(fixture: Fixture) {
    let worker = fixture.worker(registry(&Shared::default()));
    fixture.enqueue(note("third time", Then::FailUntil(3))).await;
    fixture.eventually(STATES, &["done 3"]).await;
    assert_eq!(fixture.texts(NOTES).await, ["third time"]);
    eventually(async || {
        let stats = worker.stats();
        let (name, stats) = stats.first().unwrap();
        *name == "note" && (stats.done, stats.failed, stats.dead, stats.running) == (1, 2, 0, 0)
    })
    .await;
    worker.stop().await;
}

async fn a_job_is_dead_after_its_last_attempt_or_a_permanent_error(fixture: Fixture) {
    let worker = fixture.worker(registry(&Shared::default()));
    let twice = JobOptions::default().max_attempts(2);
    fixture
        .enqueue_with(note("too often", Then::FailUntil(9)), twice)
        .await;
    fixture.enqueue(note("permanent", Then::FailForEver)).await;
    fixture.eventually(STATES, &["dead 2", "dead 1"]).await;
    assert_eq!(
        fixture.texts(ERRORS).await,
        ["not yet: postgres://***@host/x", "never"]
    );
    assert!(fixture.texts(NOTES).await.is_empty());
    worker.stop().await;
}

async fn a_job_that_takes_too_long_or_panics_has_failed(fixture: Fixture) {
    let worker = fixture.worker(registry(&Shared::default()));
    let once = JobOptions::default()
        .max_attempts(1)
        .timeout(Duration::from_secs(1));
    fixture
        .enqueue_with(note("slow", Then::Sleep), once.clone())
        .await;
    fixture
        .enqueue_with(note("panics", Then::Panic), once.timeout(Duration::from_secs(20)))
        .await;
    fixture.eventually(STATES, &["dead 1", "dead 1"]).await;
    let errors = fixture.texts(ERRORS).await;
    assert_eq!(
        errors,
        ["took longer than 1000 ms", "panicked: a job of a test panics"]
    );
    worker.stop().await;
}

async fn a_job_with_an_unknown_name_is_left_alone(fixture: Fixture) {
    let worker = fixture.worker(registry(&Shared::default()));
    fixture.enqueue(note("known", Then::Succeed)).await;
    fixture
        .execute("UPDATE jobs SET name = 'of another version'")
        .await;
    fixture.enqueue(note("after it", Then::Succeed)).await;
    fixture
        .eventually("SELECT state FROM jobs ORDER BY id DESC LIMIT 1", &["done"])
        .await;
    let states = fixture.texts("SELECT state FROM jobs WHERE name <> 'note'").await;
    let waiting = states.iter().all(|state| state == "waiting" || state == "done");
    assert!(waiting, "{states:?}");
    worker.stop().await;
}

async fn jobs_run_by_priority_and_not_before_their_time(fixture: Fixture) {
    let options = JobOptions::default;
    let later = options().run_at(RunAt::After(Duration::from_secs(3600)));
    let low = options().priority(Priority::Low);
    let high = options().priority(Priority::High);
    for (text, options) in [
        ("low", low),
        ("first", options()),
        ("later", later),
        ("second", options()),
        ("high", high),
    ] {
        fixture.enqueue_with(note(text, Then::Succeed), options).await;
    }
    let one_at_a_time = berth_jobs::Settings {
        workers: 1,
        ..crate::fixture::quick()
    };
    let registry = registry(&Shared::default());
    let worker = berth_jobs::Worker::start(&fixture.database, &fixture.jobs, registry, one_at_a_time);
    fixture
        .eventually("SELECT 'left' FROM jobs WHERE state <> 'done'", &["left"])
        .await;
    let order = fixture.texts("SELECT note FROM notes").await;
    assert_eq!(order, ["high", "first", "second", "low"]);
    worker.stop().await;
}

async fn a_unique_job_that_is_replaced_while_it_runs_runs_again_afterwards(fixture: Fixture) {
    let shared = Shared::default();
    let worker = fixture.worker(registry(&shared));
    let options = JobOptions::default().unique("one", OnConflict::Replace);
    fixture
        .enqueue_with(note("old", Then::Wait), options.clone())
        .await;
    eventually(async || shared.started.load(Ordering::SeqCst) == 1).await;
    fixture.enqueue_with(note("new", Then::Wait), options).await;
    assert_eq!(fixture.texts(STATES).await, ["running 1"], "one at a time");
    shared.may_end.add_permits(1);
    fixture.eventually(NOTES, &["old", "new"]).await;
    assert_eq!(fixture.texts(STATES).await, ["running 1"]);
    shared.may_end.add_permits(1);
    fixture.eventually(STATES, &["done 1"]).await;
    worker.stop().await;
}

async fn a_worker_that_stops_releases_its_jobs_without_counting_the_attempt(fixture: Fixture) {
    let shared = Shared::default();
    let impatient = berth_jobs::Settings {
        shutdown_timeout: Duration::from_millis(100),
        ..crate::fixture::quick()
    };
    let worker = berth_jobs::Worker::start(&fixture.database, &fixture.jobs, registry(&shared), impatient);
    fixture.enqueue(note("unfinished", Then::Wait)).await;
    eventually(async || shared.started.load(Ordering::SeqCst) == 1).await;
    worker.stop().await;
    assert_eq!(fixture.texts(STATES).await, ["waiting 0"]);
    let next = fixture.worker(registry(&shared));
    shared.may_end.add_permits(1);
    fixture.eventually(STATES, &["done 1"]).await;
    next.stop().await;
}

async fn the_jobs_of_a_worker_that_crashed_are_taken_up_again(fixture: Fixture) {
    let shared = Shared::default();
    let crashed = fixture.worker(registry(&shared));
    let options = JobOptions::default().max_attempts(2);
    fixture.enqueue_with(note("crash", Then::Wait), options).await;
    eventually(async || shared.started.load(Ordering::SeqCst) == 1).await;
    drop(crashed);
    let second = fixture.worker(registry(&shared));
    eventually(async || shared.started.load(Ordering::SeqCst) == 2).await;
    assert_eq!(fixture.texts(STATES).await, ["running 2"]);
    let reason = "the worker stopped, or lost the database, in attempt 1";
    assert_eq!(fixture.texts(ERRORS).await, [reason]);
    drop(second);
    let third = fixture.worker(registry(&shared));
    fixture.eventually("SELECT state FROM jobs", &["dead"]).await;
    assert_eq!(shared.started.load(Ordering::SeqCst), 2, "it has no attempt left");
    third.stop().await;
}

async fn an_attempt_whose_claim_was_lost_is_cancelled_and_stores_nothing(fixture: Fixture) {
    let shared = Shared::default();
    let worker = fixture.worker(registry(&shared));
    fixture.enqueue(note("lost", Then::Wait)).await;
    eventually(async || shared.started.load(Ordering::SeqCst) == 1).await;
    fixture
        .execute("UPDATE jobs SET claim_id = id, available_at = NULL, state = 'dead'")
        .await;
    eventually(async || worker.running().is_empty()).await;
    assert_eq!(fixture.texts("SELECT state FROM jobs").await, ["dead"]);
    worker.stop().await;
}
