//! The clients under comparison, each with the same lookup of one row by its key.

use std::future::Future;

use berth_database::{Database, Instances, SessionOptions, Settings};
use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, EntityTrait, SqlxPostgresConnector, Statement,
};
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use tokio_postgres::types::ToSql;

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

const SLEEP: &str = "SELECT 1 FROM pg_sleep($1)";

/// A pool or database layer that executes one statement. It opens connections when they are first needed.
pub(crate) trait Client: Clone + Send + Sync + 'static {
    /// Looks up a row.
    fn find(&self, id: i32) -> impl Future<Output = Result<(), String>> + Send;

    /// Executes a statement that takes this long.
    fn sleep(&self, seconds: f64) -> impl Future<Output = Result<(), String>> + Send;
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

impl Client for Berth {
    async fn find(&self, id: i32) -> Result<(), String> {
        let session = self.0.session(SessionOptions::new("bench").autocommit_reads());
        found(row::Entity::find_by_id(id).one(&session).await)
    }

    async fn sleep(&self, seconds: f64) -> Result<(), String> {
        let session = self.0.session(SessionOptions::new("bench").autocommit_reads());
        execute_sleep(&session, seconds).await
    }
}

#[derive(Clone)]
pub(crate) struct SeaOrm(DatabaseConnection);

impl SeaOrm {
    pub(crate) fn new(url: &str) -> Self {
        Self(SqlxPostgresConnector::from_sqlx_postgres_pool(
            SqlxPool::new(url).0,
        ))
    }
}

impl Client for SeaOrm {
    async fn find(&self, id: i32) -> Result<(), String> {
        found(row::Entity::find_by_id(id).one(&self.0).await)
    }

    async fn sleep(&self, seconds: f64) -> Result<(), String> {
        execute_sleep(&self.0, seconds).await
    }
}

async fn execute_sleep<C: ConnectionTrait>(connection: &C, seconds: f64) -> Result<(), String> {
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, SLEEP, [seconds.into()]);
    let answer = connection.query_one_raw(statement).await;
    answer.map(drop).map_err(|error| error.to_string())
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
    pub(crate) fn new(url: &str) -> Self {
        let options: PgConnectOptions = url.parse().expect("a URL of our own");
        let options = options.disable_statement_logging();
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS);
        Self(pool.connect_lazy_with(options))
    }
}

impl Client for SqlxPool {
    async fn find(&self, id: i32) -> Result<(), String> {
        let row = sqlx::query(SQL).bind(id).fetch_one(&self.0).await;
        row.map(drop).map_err(|error| error.to_string())
    }

    async fn sleep(&self, seconds: f64) -> Result<(), String> {
        let row = sqlx::query(SLEEP).bind(seconds).fetch_one(&self.0).await;
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

impl Deadpool {
    async fn one(&self, sql: &str, value: &(dyn ToSql + Sync)) -> Result<(), String> {
        let text = |error: tokio_postgres::Error| error.to_string();
        let client = self.0.get().await.map_err(|error| error.to_string())?;
        let statement = client.prepare_cached(sql).await.map_err(text)?;
        let row = client.query_one(&statement, &[value]).await;
        row.map(drop).map_err(text)
    }
}

impl Client for Deadpool {
    async fn find(&self, id: i32) -> Result<(), String> {
        self.one(SQL, &id).await
    }

    async fn sleep(&self, seconds: f64) -> Result<(), String> {
        self.one(SLEEP, &seconds).await
    }
}
