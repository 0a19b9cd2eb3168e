//! Refresh tokens on both databases, with a share of one connection.

use std::time::Duration;

use berth_auth::{Error, refresh_token};
use berth_database::{Database, Outcome, Session, SessionOptions, Settings};
use berth_testkit::{Cluster, TestDatabase, eventually};
use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, PaginatorTrait, Statement};
use sea_orm_migration::{MigrationTrait, MigratorTrait};
use tempfile::TempDir;
use uuid::Uuid;

const WEEK: TimeDelta = TimeDelta::days(7);

struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        berth_auth::migrations()
    }
}

struct Fixture {
    database: Database,
    _kept: Kept,
}

#[allow(dead_code, reason = "kept until the end of the test")]
enum Kept {
    Folder(TempDir),
    Server(TestDatabase),
}

impl Fixture {
    async fn new(url: &str, kept: Kept) -> Self {
        Self::with_share(1, url, kept).await
    }

    async fn with_share(share: u32, url: &str, kept: Kept) -> Self {
        let settings = Settings {
            url: url.parse().unwrap(),
            pool_size: share,
            max_overflow: 0,
            ..Settings::default()
        };
        berth_migrate::apply(Migrator, &settings).await.unwrap();
        let database = Database::new(settings).unwrap();
        Self {
            database,
            _kept: kept,
        }
    }

    fn session(&self) -> Session {
        self.database
            .session(SessionOptions::new("test").deadline(Duration::from_secs(20)))
    }

    async fn issue(&self, user: Uuid) -> String {
        let session = self.session();
        let token = refresh_token::issue(&session, user, now(), WEEK).await.unwrap();
        session.end(Outcome::Commit).await.unwrap();
        token
    }

    /// As a request does: commits on success, rolls back on an error.
    async fn rotate(&self, token: &str, now: DateTime<Utc>) -> Result<(Uuid, String), Error> {
        let session = self.session();
        let rotated = refresh_token::rotate(&session, token, now, WEEK).await;
        let outcome = if rotated.is_ok() {
            Outcome::Commit
        } else {
            Outcome::Rollback
        };
        session.end(outcome).await.unwrap();
        rotated
    }

    async fn rows(&self) -> u64 {
        refresh_token::Entity::find()
            .count(&self.session())
            .await
            .unwrap()
    }
}

async fn on_both_databases(test: impl AsyncFn(Fixture)) {
    let folder = TempDir::new().unwrap();
    let url = format!(
        "sqlite://{}?mode=rwc",
        folder.path().join("test.sqlite").display()
    );
    test(Fixture::new(&url, Kept::Folder(folder)).await).await;
    let server = Cluster::shared().await.database().await;
    test(Fixture::new(&server.url(), Kept::Server(server)).await).await;
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(outcome: Result<T, Error>) {
    assert!(matches!(outcome, Err(Error::InvalidRefreshToken)), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_token_is_exchanged_once_for_the_next_one() {
    on_both_databases(async |fixture: Fixture| {
        let user = Uuid::now_v7();
        let mut token = fixture.issue(user).await;
        for _ in 0..3 {
            let (of, next) = fixture.rotate(&token, now()).await.unwrap();
            assert_eq!(of, user);
            assert_ne!(next, token);
            token = next;
        }
        assert_refused(fixture.rotate("unknown", now()).await);
        assert_refused(fixture.rotate(&token, now() + TimeDelta::days(8)).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_use_of_a_spent_token_ends_its_login_and_no_other() {
    on_both_databases(async |fixture: Fixture| {
        let user = Uuid::now_v7();
        let stolen = fixture.issue(user).await;
        let other = fixture.issue(user).await;
        let (_, next) = fixture.rotate(&stolen, now()).await.unwrap();
        assert_refused(fixture.rotate(&stolen, now()).await);
        assert_refused(fixture.rotate(&next, now()).await);
        fixture.rotate(&other, now()).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_requests_with_one_token_one_is_answered() {
    let server = Cluster::shared().await.database().await;
    let fixture = Fixture::new(&server.url(), Kept::Server(server)).await;
    let token = fixture.issue(Uuid::now_v7()).await;
    let both = tokio::join!(fixture.rotate(&token, now()), fixture.rotate(&token, now()));
    let answered = [both.0.is_ok(), both.1.is_ok()];
    assert_eq!(answered.iter().filter(|ok| **ok).count(), 1, "{answered:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_one_login_and_a_new_password_all() {
    on_both_databases(async |fixture: Fixture| {
        let (user, another) = (Uuid::now_v7(), Uuid::now_v7());
        let tokens = [
            fixture.issue(user).await,
            fixture.issue(user).await,
            fixture.issue(another).await,
        ];
        let session = fixture.session();
        refresh_token::revoke(&session, &tokens[0]).await.unwrap();
        refresh_token::revoke(&session, "unknown").await.unwrap();
        session.end(Outcome::Commit).await.unwrap();
        assert_refused(fixture.rotate(&tokens[0], now()).await);
        let (_, next) = fixture.rotate(&tokens[1], now()).await.unwrap();
        let session = fixture.session();
        refresh_token::revoke_all(&session, user).await.unwrap();
        session.end(Outcome::Commit).await.unwrap();
        assert_refused(fixture.rotate(&next, now()).await);
        fixture.rotate(&tokens[2], now()).await.unwrap();
    })
    .await;
}

/// The refresh has issued its token and has not committed yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_under_way_does_not_outlive_the_login() {
    let server = Cluster::shared().await.database().await;
    let fixture = Fixture::with_share(2, &server.url(), Kept::Server(server)).await;
    for ends_all in [true, false] {
        let user = Uuid::now_v7();
        let token = fixture.issue(user).await;
        let refresh = fixture.session();
        let (_, next) = refresh_token::rotate(&refresh, &token, now(), WEEK)
            .await
            .unwrap();
        let revoking = fixture.session();
        let revoked = tokio::spawn(async move {
            match ends_all {
                true => refresh_token::revoke_all(&revoking, user).await.unwrap(),
                false => refresh_token::revoke(&revoking, &token).await.unwrap(),
            }
            revoking.end(Outcome::Commit).await.unwrap();
        });
        eventually(async || blocks_another(&refresh).await).await;
        refresh.end(Outcome::Commit).await.unwrap();
        revoked.await.unwrap();
        assert_refused(fixture.rotate(&next, now()).await);
    }
}

/// Whether another session waits for this one's locks.
async fn blocks_another(session: &Session) -> bool {
    let sql = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))";
    let statement = Statement::from_string(DbBackend::Postgres, sql);
    let row = session.query_one_raw(statement).await.unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_stored_hashed_and_expired_ones_are_removed_at_the_next_login() {
    on_both_databases(async |fixture: Fixture| {
        let user = Uuid::now_v7();
        let token = fixture.issue(user).await;
        let rows = refresh_token::Entity::find()
            .all(&fixture.session())
            .await
            .unwrap();
        assert!(!format!("{rows:?}").contains(&token));
        let later = fixture.session();
        refresh_token::issue(&later, user, now() + TimeDelta::days(8), WEEK)
            .await
            .unwrap();
        later.end(Outcome::Commit).await.unwrap();
        assert_eq!(fixture.rows().await, 1);
    })
    .await;
}
