//! The health of the process. Anyone may see it: no hosts, no driver's text.

use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, web};
use berth_database::{Status, StatusHandle};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app_state::AppInfo;
use crate::observability::{Monitor, NotReady, PoolStatus, PoolSummary, Readiness};

/// The process and its database.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    #[schema(example = "ok")]
    status: &'static str,
    version: &'static str,
    database: DatabaseHealth,
}

#[derive(Debug, Serialize, ToSchema)]
struct DatabaseHealth {
    /// `ok`, `saturated`, or what keeps the process from being ready.
    #[schema(value_type = String, example = "ok")]
    status: DatabaseStatus,
    pool: PoolSummary,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", untagged)]
enum DatabaseStatus {
    Fine(&'static str),
    Not(NotReady),
}

/// Whether the process is ready for requests.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ready {
    #[schema(example = "ready")]
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    reason: Option<NotReady>,
}

/// The process is alive.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Live {
    #[schema(example = "alive")]
    status: &'static str,
}

/// Returns the health of the process and its database, without a query
#[utoipa::path(get, path = "/health", tag = "service",
    responses((status = 200, body = Health), (status = 503, body = Health, description = "The process is not ready for requests")))]
pub async fn health(
    app: web::Data<AppInfo>,
    pool: web::Data<StatusHandle>,
    readiness: web::Data<Readiness>,
) -> HttpResponse {
    let status = pool.status();
    let verdict = look(&readiness, &status);
    let body = Health {
        status: if verdict.is_none() { "ok" } else { "unavailable" },
        version: app.version,
        database: DatabaseHealth {
            status: match verdict {
                Some(reason) => DatabaseStatus::Not(reason),
                None if status.waiting > 0 => DatabaseStatus::Fine("saturated"),
                None => DatabaseStatus::Fine("ok"),
            },
            pool: PoolStatus::summary(&status),
        },
    };
    answer(verdict, &body)
}

/// Returns 200 as long as the process responds, whatever the state of its database
#[utoipa::path(get, path = "/health/live", tag = "service", responses((status = 200, body = Live)))]
pub async fn live() -> HttpResponse {
    answer(None, &Live { status: "alive" })
}

/// Returns whether the process is ready for requests, without a query
///
/// A process whose connections are all in use stays ready: otherwise the other instances would receive its requests
/// too.
#[utoipa::path(get, path = "/health/ready", tag = "service",
    responses((status = 200, body = Ready), (status = 503, body = Ready, description = "The process is not ready for requests")))]
pub async fn ready(pool: web::Data<StatusHandle>, readiness: web::Data<Readiness>) -> HttpResponse {
    let reason = look(&readiness, &pool.status());
    let status = if reason.is_none() { "ready" } else { "not ready" };
    answer(reason, &Ready { status, reason })
}

/// Returns the numbers of the connection pool
#[utoipa::path(get, path = "/health/db-pool", tag = "service", responses((status = 200, body = PoolStatus)))]
pub async fn pool(pool: web::Data<StatusHandle>, monitor: web::Data<Monitor>) -> HttpResponse {
    answer(None, &PoolStatus::of(&pool.snapshot(), monitor.settings()))
}

fn look(readiness: &Readiness, status: &Status) -> Option<NotReady> {
    readiness.refresh(status);
    readiness.check(status)
}

fn answer(verdict: Option<NotReady>, body: &impl Serialize) -> HttpResponse {
    let status = match verdict {
        None => StatusCode::OK,
        Some(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    HttpResponse::build(status)
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(body)
}
