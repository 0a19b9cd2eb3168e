//! The same one-row lookup by key, in the hands of each contender.

use std::future::Future;

use database::{Database, Instances, SessionOptions, Settings};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use sea_orm::{ConnectOptions, DatabaseConnection, EntityTrait};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

pub(crate) mod row {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "rows")]
    pub(crate) struct Model {
        #[sea_orm(primary_key)]
        pub id: i32,
        pub body: String,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

pub(crate) const ROWS: i32 = 1000;
pub(crate) const CONNECTIONS: u32 = 5;
pub(crate) const SQL: &str = "SELECT id, body FROM rows WHERE id = $1";

/// Looks a row up.
pub(crate) trait Contender: Clone + Send + Sync + 'static {
    fn find(&self, id: i32) -> impl Future<Output = Result<(), String>> + Send;
}

#[derive(Clone)]
pub(crate) struct Berth(pub(crate) Database);

impl Berth {
    pub(crate) fn new(url: &str, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            limit: CONNECTIONS,
            reserve: 0,
            pool_size: CONNECTIONS,
            max_overflow: 0,
            instances: Instances::Fixed(1),
            ..Settings::for_url(url).expect("a URL of our own")
        };
        change(&mut settings);
        Self(Database::new(settings).expect("sound settings"))
    }
}

impl Contender for Berth {
    async fn find(&self, id: i32) -> Result<(), String> {
        let session = self.0.session(SessionOptions::new("bench").autocommit_reads());
        found(row::Entity::find_by_id(id).one(&session).await)
    }
}

#[derive(Clone)]
pub(crate) struct SeaOrm(DatabaseConnection);

impl SeaOrm {
    pub(crate) async fn new(url: &str) -> Self {
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(CONNECTIONS)
            .min_connections(CONNECTIONS)
            .sqlx_logging(false);
        Self(
            sea_orm::Database::connect(options)
                .await
                .expect("SeaORM connects"),
        )
    }
}

impl Contender for SeaOrm {
    async fn find(&self, id: i32) -> Result<(), String> {
        found(row::Entity::find_by_id(id).one(&self.0).await)
    }
}

fn found(answer: Result<Option<row::Model>, sea_orm::DbErr>) -> Result<(), String> {
    answer
        .map_err(|error| error.to_string())?
        .map(drop)
        .ok_or_else(|| "no row".to_owned())
}

#[derive(Clone)]
pub(crate) struct SqlxPool(PgPool);

impl SqlxPool {
    pub(crate) async fn new(url: &str) -> Self {
        let options: PgConnectOptions = url.parse().expect("a URL of our own");
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .min_connections(CONNECTIONS);
        Self(pool.connect_with(options).await.expect("sqlx connects"))
    }
}

impl Contender for SqlxPool {
    async fn find(&self, id: i32) -> Result<(), String> {
        let row = sqlx::query(SQL).bind(id).fetch_one(&self.0).await;
        row.map(drop).map_err(|error| error.to_string())
    }
}

#[derive(Clone)]
pub(crate) struct Deadpool(Pool);

impl Deadpool {
    pub(crate) fn new(url: &str) -> Self {
        let config = url.parse().expect("a URL of our own");
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = Manager::from_config(config, tokio_postgres::NoTls, recycling);
        let size = usize::try_from(CONNECTIONS).expect("a small number");
        Self(Pool::builder(manager).max_size(size).build().expect("a pool"))
    }
}

impl Contender for Deadpool {
    async fn find(&self, id: i32) -> Result<(), String> {
        let client = self.0.get().await.map_err(|error| error.to_string())?;
        let statement = client
            .prepare_cached(SQL)
            .await
            .map_err(|error| error.to_string())?;
        client
            .query_one(&statement, &[&id])
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    }
}
