use std::time::Duration;

use berth_database::{Database, Outcome, SessionOptions};
use berth_testkit::eventually;
use entity::user;
use sea_orm::EntityTrait;
use service::Error;
use uuid::Uuid;

use crate::fixture::{Bench, Place, on_both};

#[tokio::test(flavor = "multi_thread")]
async fn the_development_user_is_one_however_often_it_is_asked_for() {
    on_both(async |bench: Bench| {
        let again = bench
            .work(async |services, session| services.users(session).development_user().await)
            .await
            .unwrap();
        assert_eq!(again.id, bench.owner);
        let found = bench
            .work(async |services, session| services.users(session).find(bench.owner).await)
            .await
            .unwrap();
        assert_eq!(found, again);
        bench.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_whom_two_make_at_the_same_time_is_one() {
    let bench = Bench::postgres().await;
    let Place::Postgres(place) = &bench.place else {
        unreachable!("that is what was asked for")
    };
    bench
        .work(async |_, session| Ok(user::Entity::delete_many().exec(session).await?))
        .await
        .unwrap();

    let first = bench.session();
    let made = bench.services.users(&first).development_user().await.unwrap();
    let second = tokio::spawn({
        // A second process on the same database, so to speak: a share of its own.
        let neighbour = Database::new(bench.database.settings().clone()).unwrap();
        let services = bench.services.clone();
        async move {
            let session = neighbour.session(SessionOptions::new("second"));
            let found = services.users(&session).development_user().await;
            session.end(Outcome::Commit).await.unwrap();
            neighbour.close(Duration::from_secs(5)).await.unwrap();
            found
        }
    });
    eventually(async || place.count_backends("wait_event_type = 'Lock'").await == 1).await;
    first.end(Outcome::Commit).await.unwrap();
    assert_eq!(second.await.unwrap().unwrap(), made);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_not_there_is_not_found() {
    on_both(async |bench: Bench| {
        let found = bench
            .work(async |services, session| services.users(session).find(Uuid::nil()).await)
            .await;
        assert!(matches!(found, Err(Error::NotFound)), "{found:?}");
        bench.end().await;
    })
    .await;
}
