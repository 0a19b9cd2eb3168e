//! Whether the process lives, and whether it should be sent requests. Told to anybody: no hosts, no driver's words.

use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, web};
use berth_database::{Database, Status};
use serde::Serialize;
use utoipa::ToSchema;

use crate::observe::{Health as Evidence, Monitor, NotReady, PoolInBrief, PoolWords};

/// The process and its database in brief.
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
    pool: PoolInBrief,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", untagged)]
enum DatabaseStatus {
    Fine(&'static str),
    Not(NotReady),
}

/// Whether to send requests.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ready {
    #[schema(example = "ready")]
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    reason: Option<NotReady>,
}

/// The process lives.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Live {
    #[schema(example = "alive")]
    status: &'static str,
}

/// Tells how the process and its database are, without asking the database
#[utoipa::path(get, path = "/health", tag = "service",
    responses((status = 200, body = Health), (status = 503, body = Health, description = "It should not be sent requests")))]
pub(crate) async fn health(database: web::Data<Database>, evidence: web::Data<Evidence>) -> HttpResponse {
    let status = database.status();
    let verdict = look(&evidence, &status);
    let body = Health {
        status: if verdict.is_none() { "ok" } else { "unavailable" },
        version: env!("CARGO_PKG_VERSION"),
        database: DatabaseHealth {
            status: match verdict {
                Some(reason) => DatabaseStatus::Not(reason),
                None if status.waiting > 0 => DatabaseStatus::Fine("saturated"),
                None => DatabaseStatus::Fine("ok"),
            },
            pool: PoolWords::brief(&status),
        },
    };
    answer(verdict, &body)
}

/// Tells that the process answers, whatever its database does
#[utoipa::path(get, path = "/health/live", tag = "service", responses((status = 200, body = Live)))]
pub(crate) async fn live() -> HttpResponse {
    answer(None, &Live { status: "alive" })
}

/// Tells whether to send requests, by what is known already
///
/// Saturation alone does not make it 503: the other instances would only get more.
#[utoipa::path(get, path = "/health/ready", tag = "service",
    responses((status = 200, body = Ready), (status = 503, body = Ready, description = "Send them elsewhere")))]
pub(crate) async fn ready(database: web::Data<Database>, evidence: web::Data<Evidence>) -> HttpResponse {
    let reason = look(&evidence, &database.status());
    let status = if reason.is_none() { "ready" } else { "not ready" };
    answer(reason, &Ready { status, reason })
}

/// Tells the pool's numbers, for dashboards
#[utoipa::path(get, path = "/health/db-pool", tag = "service", responses((status = 200, body = PoolWords)))]
pub(crate) async fn pool(database: web::Data<Database>, monitor: web::Data<Monitor>) -> HttpResponse {
    answer(None, &PoolWords::of(&database.snapshot(), monitor.settings()))
}

fn look(evidence: &Evidence, status: &Status) -> Option<NotReady> {
    evidence.refresh(status);
    evidence.verdict(status)
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
