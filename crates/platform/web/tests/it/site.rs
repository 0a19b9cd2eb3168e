//! A server behind a limiter, with routes that misbehave in ways that no real one does.

use std::time::Duration;

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use berth_settings::Sources;
use berth_testkit::{Cluster, Limiter, LimiterOptions, TestDatabase};
use berth_web::extract::Session;
use berth_web::testing::{TestServer, http};
use berth_web::{Error, Settings};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use sea_orm::ConnectionTrait;
use serde_json::Value;

use crate::service;

/// How many clients the limiter admits.
pub(crate) const LIMIT: usize = 5;
/// The share of one instance: two are reserved.
pub(crate) const SHARE: u64 = 3;

/// A running server behind a limiter. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) limiter: Limiter,
    http: reqwest::Client,
    server: TestServer,
    store: TestDatabase,
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(adjust: impl FnOnce(&mut Settings)) -> Self {
        Self::on(migrated().await, adjust).await
    }

    /// On a database as it is.
    pub(crate) async fn on(store: TestDatabase, adjust: impl FnOnce(&mut Settings)) -> Self {
        let limiter = Limiter::start(&store, LimiterOptions::limit(LIMIT));
        let mut settings = settings(&limiter.url());
        adjust(&mut settings);
        Self {
            server: service::serve(settings, (), routes).await,
            limiter,
            http: http(),
            store,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path)
            .send()
            .await
            .expect("the server answers")
    }

    /// The JSON of a 200.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.json().await.expect("the answer is JSON")
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        self.get(path).await.text().await.expect("the answer is text")
    }

    pub(crate) fn metrics_url(&self) -> Option<String> {
        self.server
            .metrics_address()
            .map(|address| format!("http://{address}/metrics"))
    }

    pub(crate) fn store(&self) -> &TestDatabase {
        &self.store
    }

    pub(crate) fn ask_to_stop(&mut self) {
        self.server.stop();
    }

    /// Keeps every connection busy and a queue behind them, until the answer is dropped.
    pub(crate) async fn saturate(&self, clients: usize) -> Load {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..clients {
            let request = self.request(Method::GET, "/slow");
            tasks.spawn(async move {
                while let Some(again) = request.try_clone() {
                    // A server that stops under load may refuse.
                    let _ = again.send().await;
                }
            });
        }
        berth_testkit::eventually(async || {
            let status = self.server.database().status();
            status.slots.leased as u64 == SHARE && status.waiting > clients / 2
        })
        .await;
        Load { _tasks: tasks }
    }
}

/// Clients that repeat their request.
#[derive(Debug)]
pub(crate) struct Load {
    _tasks: tokio::task::JoinSet<()>,
}

pub(crate) async fn migrated() -> TestDatabase {
    Cluster::shared()
        .await
        .database_from("web", service::migrate)
        .await
}

pub(crate) fn settings(url: &str) -> Settings {
    let limit = LIMIT.to_string();
    let set = [
        ("APP_ENV", "test"),
        ("DATABASE_URL", url),
        ("DB_LIMIT", &*limit),
        ("DB_POOLER", "session"),
        ("DB_RESERVE", "2"),
        ("DB_POOL_SIZE", "1"),
        ("DB_MAX_OVERFLOW", "2"),
        ("DB_POOL_TIMEOUT", "30"),
        ("APP__SERVER__WORKERS", "2"),
        ("APP__STARTUP__MIGRATE", "skip"),
        ("APP__MONITOR__INTERVAL", "0.05"),
    ];
    let environment = set
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    let sources = Sources {
        environment,
        ..Sources::new(service::BUILT_IN)
    };
    service::settings(&sources)
}

fn routes(routes: &mut ServiceConfig) {
    routes
        .route("/read", web::get().to(read))
        .route("/write", web::post().to(write))
        .route("/ships/{ship_id}", web::get().to(HttpResponse::NotFound))
        .route("/ask", web::get().to(ask))
        .route("/slow", web::get().to(slow))
        .route("/leak", web::post().to(leak))
        .route("/dawdle", web::post().to(dawdle));
}

async fn read(session: Session) -> Result<HttpResponse, Error> {
    run(&session, "SELECT 1").await
}

async fn write(session: Session) -> Result<HttpResponse, Error> {
    run(&session, "CREATE TEMPORARY TABLE ships (name text)").await?;
    run(&session, "INSERT INTO ships VALUES ('Argo')").await?;
    run(&session, "SELECT name FROM ships").await
}

/// Calls the service whose address is the query.
async fn ask(request: HttpRequest) -> HttpResponse {
    let mut asking = http().get(request.query_string());
    for (name, value) in berth_web::telemetry::outgoing() {
        asking = asking.header(name, value);
    }
    asking.send().await.expect("it answers");
    HttpResponse::Ok().finish()
}

async fn slow(session: Session) -> Result<HttpResponse, Error> {
    run(&session, "SELECT pg_sleep(0.3)").await
}

/// Holds a transaction until its client leaves.
async fn leak(session: Session) -> Result<HttpResponse, Error> {
    run(&session, "SELECT 'leaked'").await?;
    std::future::pending().await
}

/// Does something slow that is not the database, with a transaction open.
async fn dawdle(session: Session) -> Result<HttpResponse, Error> {
    run(&session, "SELECT 'before'").await?;
    tokio::time::sleep(Duration::from_millis(120)).await;
    run(&session, "SELECT 'after'").await
}

async fn run(session: &Session, statement: &str) -> Result<HttpResponse, Error> {
    session
        .execute_unprepared(statement)
        .await
        .map_err(berth_database::Error::from)?;
    Ok(HttpResponse::Ok().finish())
}
