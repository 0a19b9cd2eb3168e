//! Invariant 8: fair among callers, and among instances that share a limit.

use std::time::{Duration, Instant};

use berth_database::{Database, Instances, Outcome, SessionOptions, Settings};
use berth_testkit::{Cluster, Limiter, LimiterOptions, eventually};
use futures_util::future::join_all;

use crate::fixture::{number, settings, test_pool};

#[tokio::test(flavor = "multi_thread")]
async fn callers_are_served_in_order_and_background_work_behind_requests() {
    let fixture = test_pool(1).await;
    let holder = fixture.session("holder");
    number(&holder, "SELECT 1").await.unwrap();
    let order = std::sync::Mutex::new(Vec::new());
    let caller = async |name: usize, background: bool| {
        let options = SessionOptions::new("ordered").autocommit_reads();
        let session = fixture
            .database
            .session(if background { options.background() } else { options });
        eventually(async || {
            let status = fixture.database.status();
            status.waiting + status.waiting_background == name
        })
        .await;
        number(&session, "SELECT 1").await.unwrap();
        order.lock().unwrap().push(name);
    };
    let release = async {
        eventually(async || fixture.database.status().waiting == 3).await;
        holder.end(Outcome::Rollback).await.unwrap();
    };
    tokio::join!(
        caller(0, true),
        caller(1, false),
        caller(2, false),
        caller(3, false),
        release
    );
    assert_eq!(*order.lock().unwrap(), [1, 2, 3, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn background_work_leaves_a_slot_to_requests() {
    let fixture = test_pool(2).await;
    let jobs: Vec<_> = (0..4).map(|_| fixture.database.background("job")).collect();
    let run = join_all(jobs.iter().map(|job| async {
        number(job, "SELECT 1 FROM pg_sleep(0.2)").await.unwrap();
        job.end(Outcome::Commit).await.unwrap();
    }));
    let request = async {
        eventually(async || fixture.database.status().waiting_background == 3).await;
        number(&fixture.reader(), "SELECT 1").await.unwrap();
        assert!(
            fixture.database.status().waiting_background >= 2,
            "it passed the jobs"
        );
    };
    tokio::join!(run, request);
    fixture.assert_whole().await;
}

async fn instances(limiter: &Limiter, count: usize, change: impl Fn(&mut Settings)) -> Vec<Database> {
    let make = |_| {
        let mut settings = settings(&limiter.url(), 15);
        (settings.reserve, settings.pool_size, settings.max_overflow) = (2, 3, 2);
        change(&mut settings);
        Database::new(settings).unwrap()
    };
    (0..count).map(make).collect()
}

async fn load(instances: &[Database], callers: usize, requests: usize) {
    let serve = async |database: &Database| {
        let caller = async || {
            for _ in 0..requests {
                let session = database.session(SessionOptions::new("read").autocommit_reads());
                number(&session, "SELECT 1 FROM pg_sleep(0.002)")
                    .await
                    .expect("no request fails");
            }
        };
        join_all((0..callers).map(|_| caller())).await;
    };
    join_all(instances.iter().map(serve)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_instances_under_load_stay_within_the_limit_without_an_error() {
    for fixed in [Instances::Fixed(4), Instances::Auto] {
        let server = Cluster::shared().await.database().await;
        let limiter = Limiter::start(&server, LimiterOptions::limit(15));
        let fleet = instances(&limiter, 4, |settings| settings.instances = fixed).await;
        load(&fleet, 50, 5).await;
        let counts = limiter.counts();
        assert!(counts.peak <= 15, "{counts:?}");
        if fixed == Instances::Auto {
            let fair = async || {
                load(&fleet, 5, 2).await;
                fleet.iter().all(|instance| instance.status().share == 3)
            };
            eventually(fair).await;
        }
        for instance in fleet {
            instance.close(Duration::from_secs(5)).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_instance_gets_its_share_from_the_others() {
    let server = Cluster::shared().await.database().await;
    let limiter = Limiter::start(&server, LimiterOptions::limit(4));
    let small = |settings: &mut Settings| {
        (
            settings.limit,
            settings.reserve,
            settings.pool_size,
            settings.max_overflow,
        ) = (4, 1, 3, 0);
        settings.instances = Instances::Auto;
    };
    let old = instances(&limiter, 1, small).await;
    eventually(async || {
        load(&old, 6, 2).await;
        old[0].status().slots.total() == 3
    })
    .await;
    let stop = Instant::now() + Duration::from_secs(8);
    let busy = async {
        while Instant::now() < stop {
            load(&old, 6, 2).await;
        }
    };
    let newcomer = async {
        let new = instances(&limiter, 1, small).await;
        load(&new, 6, 2).await;
        eventually(async || {
            load(&new, 1, 1).await;
            new[0].status().share == 1 && old[0].status().share == 1 && old[0].status().instances == 2
        })
        .await;
        new
    };
    let ((), new) = tokio::join!(busy, newcomer);
    assert!(limiter.counts().peak <= 4);
    drop(new);
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_outnumber_the_slots_take_turns() {
    let server = Cluster::shared().await.database().await;
    let limiter = Limiter::start(&server, LimiterOptions::limit(2));
    let fleet = instances(&limiter, 4, |settings| {
        (
            settings.limit,
            settings.reserve,
            settings.pool_size,
            settings.max_overflow,
        ) = (2, 1, 1, 0);
        settings.instances = Instances::Auto;
    })
    .await;
    load(&fleet, 4, 4).await;
    assert!(limiter.counts().peak <= 2);
}
