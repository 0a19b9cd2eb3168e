//! A job exists exactly if the transaction that made it does.

use berth_database::{Error, Outcome};
use berth_jobs::{Enqueued, Job, JobError, JobOptions, Jobs, OnConflict, Work};
use serde::{Deserialize, Serialize};

use crate::fixture::Fixture;
use crate::on_both_databases;

on_both_databases!(
    a_job_exists_exactly_if_its_transaction_commits,
    a_unique_key_is_kept_replaced_or_refused,
);

#[derive(Debug, Deserialize, Serialize)]
struct Greet(String);

impl Job for Greet {
    const NAME: &'static str = "greet";
    type State = ();

    async fn run(self, (): &(), _: &Work) -> Result<(), JobError> {
        Ok(())
    }
}

fn greet(name: &str) -> Greet {
    Greet(name.to_owned())
}

const PAYLOADS: &str = "SELECT payload FROM jobs ORDER BY id";

async fn a_job_exists_exactly_if_its_transaction_commits(fixture: Fixture) {
    let jobs = Jobs::new();
    for (name, outcome) in [("undone", Outcome::Rollback), ("kept\0", Outcome::Commit)] {
        let session = fixture.session();
        let stored = jobs.enqueue(&session, greet(name)).await.unwrap();
        assert!(matches!(stored, Enqueued::Stored(_)), "{stored:?}");
        session.end(outcome).await.unwrap();
    }
    let dropped = fixture.session();
    jobs.enqueue(&dropped, greet("dropped")).await.unwrap();
    drop(dropped);
    assert_eq!(fixture.texts(PAYLOADS).await, ["\"kept\\u0000\""]);
}

async fn a_unique_key_is_kept_replaced_or_refused(fixture: Fixture) {
    let jobs = Jobs::new();
    let mut outcomes = Vec::new();
    let policies = [
        OnConflict::Keep,
        OnConflict::Keep,
        OnConflict::Replace,
        OnConflict::Fail,
    ];
    for (name, policy) in ["first", "second", "third", "fourth"].into_iter().zip(policies) {
        let session = fixture.session();
        let options = JobOptions::default().unique("key", policy);
        let outcome = jobs.enqueue_with(&session, greet(name), options).await;
        session
            .end(if outcome.is_ok() {
                Outcome::Commit
            } else {
                Outcome::Rollback
            })
            .await
            .unwrap();
        outcomes.push((outcome, fixture.texts(PAYLOADS).await));
    }
    let [(first, _), (second, kept), (third, replaced), (fourth, last)] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    assert!(matches!(first, Ok(Enqueued::Stored(_))), "{first:?}");
    assert!(matches!(second, Ok(Enqueued::Existing)), "{second:?}");
    assert_eq!(kept, &["\"first\""]);
    assert_eq!(first.as_ref().unwrap(), third.as_ref().unwrap(), "the same row");
    assert_eq!(replaced, &["\"third\""]);
    assert!(matches!(fourth, Err(Error::UniqueViolation { .. })), "{fourth:?}");
    assert_eq!(last, &["\"third\""]);
}
