//! Occurrences of a schedule: each once, by several instances whose clocks need not agree.

use std::collections::BTreeSet;
use std::time::Duration;

use berth_jobs::{Job, JobError, JobOptions, Jobs, Missed, Registry, Schedule, Work, Worker};
use serde::{Deserialize, Serialize};

use crate::fixture::{Fixture, eventually, quick};
use crate::on_both_databases;

on_both_databases!(
    several_instances_make_each_occurrence_once,
    missed_occurrences_are_left_out_or_made_up_for_once,
);

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Tick;

impl Job for Tick {
    const NAME: &'static str = "tick";
    type State = ();

    fn options(&self) -> JobOptions {
        JobOptions::default().timeout(Duration::from_secs(5))
    }

    async fn run(self, (): &(), _: &Work) -> Result<(), JobError> {
        Ok(())
    }
}

fn registry(schedule: Schedule) -> Registry {
    Registry::new().job::<Tick>(()).schedule(schedule, Tick)
}

const KEYS: &str = "SELECT unique_key FROM jobs ORDER BY unique_key";

async fn several_instances_make_each_occurrence_once(fixture: Fixture) {
    let each_second = || registry(Schedule::new("each second", "* * * * * *").unwrap());
    let databases: Vec<_> = (0..3).map(|_| fixture.another_database()).collect();
    let workers: Vec<_> = databases
        .iter()
        .map(|database| Worker::start(database, &Jobs::new(), each_second(), quick()))
        .collect();
    eventually(async || fixture.texts(KEYS).await.len() >= 4).await;
    for worker in workers {
        worker.stop().await;
    }
    let keys = fixture.texts(KEYS).await;
    let distinct: BTreeSet<&String> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len(), "{keys:?}");
    let times: Vec<i64> = keys.iter().map(|key| seconds(key)).collect();
    let gaps = times.windows(2).filter(|pair| pair[1] - pair[0] != 1).count();
    assert_eq!(gaps, 0, "{keys:?}");
    for database in databases {
        database.close(Duration::from_secs(5)).await.unwrap();
    }
}

pub(crate) fn seconds(key: &str) -> i64 {
    let time = key.rsplit_once(' ').unwrap().1;
    time.parse::<chrono::DateTime<chrono::Utc>>().unwrap().timestamp()
}

async fn missed_occurrences_are_left_out_or_made_up_for_once(fixture: Fixture) {
    let long_ago = "INSERT INTO job_schedules (name, last_at) VALUES ('hourly', '2020-01-01T00:00:00+00:00')";
    fixture.execute(long_ago).await;
    let hourly = || Schedule::new("hourly", "0 * * * *").unwrap();
    let skipping = fixture.worker(registry(hourly()));
    let moved = "SELECT 'moved' FROM job_schedules WHERE last_at > '2026-01-01T00:00:00+00:00'";
    fixture.eventually(moved, &["moved"]).await;
    skipping.stop().await;
    assert!(fixture.texts(KEYS).await.len() <= 1, "one may be due just now");
    fixture.execute("DELETE FROM jobs").await;
    fixture.execute("DELETE FROM job_schedules").await;
    fixture.execute(long_ago).await;
    let catching_up = fixture.worker(registry(hourly().missed(Missed::RunOnce)));
    fixture.eventually("SELECT state FROM jobs", &["done"]).await;
    catching_up.stop().await;
}
