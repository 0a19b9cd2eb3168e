//! Users.

use std::time::Duration;

use berth_database::{Database, Outcome, SessionOptions};
use berth_testkit::eventually;
use entity::user;
use sea_orm::EntityTrait;
use service::Error;
use uuid::Uuid;

use crate::fixture::{Fixture, Store, on_both_databases};

#[tokio::test(flavor = "multi_thread")]
async fn the_development_user_is_made_once() {
    on_both_databases(async |fixture: Fixture| {
        let again = fixture
            .work(async |services, session| services.users(session).development_account(None).await)
            .await
            .unwrap();
        assert_eq!(again.id, fixture.owner);
        let found = fixture
            .work(async |services, session| services.users(session).find(fixture.owner).await)
            .await
            .unwrap();
        assert_eq!(found.id, again.id);
        fixture.end().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_callers_get_the_same_development_account() {
    let fixture = Fixture::postgres().await;
    let Store::Postgres(store) = &fixture.store else {
        unreachable!("the fixture is on PostgreSQL")
    };
    fixture
        .work(async |_, session| Ok(user::Entity::delete_many().exec(session).await?))
        .await
        .unwrap();

    let first = fixture.session();
    let made = fixture
        .services
        .users(&first)
        .development_account(None)
        .await
        .unwrap();
    let second = tokio::spawn({
        // A pool of its own, as a second process on the same database has.
        let other = Database::new(fixture.database.settings().clone()).unwrap();
        let services = fixture.services.clone();
        async move {
            let session = other.session(SessionOptions::new("second"));
            let found = services.users(&session).development_account(None).await;
            session.end(Outcome::Commit).await.unwrap();
            other.close(Duration::from_secs(5)).await.unwrap();
            found
        }
    });
    eventually(async || store.count_backends("wait_event_type = 'Lock'").await == 1).await;
    first.end(Outcome::Commit).await.unwrap();
    assert_eq!(second.await.unwrap().unwrap(), made);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_user_is_not_found() {
    on_both_databases(async |fixture: Fixture| {
        let found = fixture
            .work(async |services, session| services.users(session).find(Uuid::nil()).await)
            .await;
        assert!(matches!(found, Err(Error::NotFound)), "{found:?}");
        fixture.end().await;
    })
    .await;
}
