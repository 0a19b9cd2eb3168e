//! `GET /debug/db-pool`: the pool and the sessions that hold connections, as a page or as JSON.

use actix_web::http::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, WWW_AUTHENTICATE,
};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use berth_database::{DatabaseClient, Holder, HolderState, StatusHandle};
use berth_jobs::{Depth, Jobs, Status};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::Error;
use crate::app_state::AppInfo;
use crate::extract::Query;
use crate::observability::{ConnectedClients, Monitor, PoolStatus, Sample, whole_millis};
use crate::settings::{Debug as Settings, Environment};

const PAGE: &str = include_str!("../pages/db-pool.html");
/// The page is one file: it loads nothing from elsewhere and talks to this service only.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
    img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DebugQuery {
    /// Whether to include the last minutes.
    #[serde(default)]
    history: bool,
}

#[derive(Debug, Serialize)]
struct DebugResponse {
    version: &'static str,
    /// The database's URL, without the password.
    database: String,
    /// The name of this process in the server's activity view.
    instance: Option<String>,
    pool: PoolStatus,
    /// What the pooler or server answered to the last connection attempt that was refused or failed.
    last_failed_attempt: Option<FailedAttemptStatus>,
    holders: Vec<HolderStatus>,
    jobs: JobsStatus,
    /// The age from which a lease counts as long.
    leak_detection_threshold_ms: u64,
    /// The clients of the database, by name, from the last time the server was asked.
    clients: Option<Vec<DatabaseClient>>,
    clients_age_ms: Option<u64>,
    /// The pool at the moment of the answer.
    sample: Sample,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<Sample>>,
}

#[derive(Debug, Serialize)]
struct JobsStatus {
    /// The attempts that run in this process.
    running: Vec<RunningJobStatus>,
    /// The queue, as this process counted it last.
    queue: Option<Depth>,
}

#[derive(Debug, Serialize)]
struct RunningJobStatus {
    id: uuid::Uuid,
    name: &'static str,
    attempt: u16,
    age_ms: u64,
}

#[derive(Debug, Serialize)]
struct FailedAttemptStatus {
    answer: String,
    age_ms: u64,
}

#[derive(Debug, Serialize)]
struct HolderStatus {
    slot: u64,
    /// The route or job.
    label: String,
    request_id: Option<String>,
    age_ms: u64,
    state: HolderState,
    state_ms: u64,
    /// The statement under way or the last one, without its parameters.
    statement: Option<String>,
    statements: u32,
    backend_pid: Option<i32>,
}

/// `GET /debug/db-pool`. It is not in the API's description: in production it is off unless a token is set.
///
/// # Errors
///
/// [`Error::NoRoute`] where it is off, and [`Error::Request`] for an unknown query.
pub async fn pool(
    request: HttpRequest,
    app: web::Data<AppInfo>,
    settings: web::Data<Settings>,
    status: web::Data<StatusHandle>,
    monitor: web::Data<Monitor>,
    clients: web::Data<ConnectedClients>,
    jobs: web::Data<Jobs>,
) -> Result<HttpResponse, Error> {
    if let Some(challenge) = challenge(&request, &app, &settings)? {
        return Ok(challenge);
    }
    if wants_page(&request) {
        return Ok(page());
    }
    let Query(query) = Query::<DebugQuery>::of(&request)?;
    // Before the server is asked for its clients: that takes a lease, which would show up among the holders.
    let snapshot = status.snapshot();
    let (age, listed) = clients.list().await.unzip();
    let pool = PoolStatus::of(&snapshot, monitor.settings());
    let (now, holders) = snapshot;
    let body = DebugResponse {
        version: app.version,
        database: status.settings().url.to_string(),
        instance: status.instance().map(str::to_owned),
        pool,
        last_failed_attempt: now
            .last_failed_attempt
            .as_ref()
            .map(|failed| FailedAttemptStatus {
                answer: failed.answer.clone(),
                age_ms: whole_millis(failed.ago),
            }),
        holders: holders.into_iter().map(HolderStatus::from).collect(),
        jobs: jobs.status().into(),
        leak_detection_threshold_ms: whole_millis(monitor.settings().leak_detection_threshold),
        clients: listed,
        clients_age_ms: age.map(whole_millis),
        sample: Sample::of(&now),
        history: query.history.then(|| monitor.history().samples()),
    };
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(body))
}

/// Asks for the token where one is set; in production without a token the page does not exist.
pub(super) fn challenge(
    request: &HttpRequest,
    app: &AppInfo,
    settings: &Settings,
) -> Result<Option<HttpResponse>, Error> {
    let Some(token) = &settings.token else {
        return match app.environment {
            Environment::Production => Err(Error::NoRoute),
            Environment::Development | Environment::Test => Ok(None),
        };
    };
    let given = request.headers().get(AUTHORIZATION);
    let admitted = given.is_some_and(|given| opens(given.as_bytes(), token.reveal()));
    // Basic: browsers ask their user for it by themselves.
    let ask = (
        WWW_AUTHENTICATE,
        "Basic realm=\"user debug, password the token\", charset=\"UTF-8\"",
    );
    Ok((!admitted).then(|| HttpResponse::Unauthorized().insert_header(ask).finish()))
}

/// Compares in constant time, which does not reveal how much of the token was right.
fn opens(given: &[u8], token: &str) -> bool {
    let bearer = format!("Bearer {token}");
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("debug:{token}")));
    let matches = given.ct_eq(bearer.as_bytes()) | given.ct_eq(basic.as_bytes());
    matches.into()
}

fn wants_page(request: &HttpRequest) -> bool {
    let accept = request
        .headers()
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

fn page() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .body(PAGE)
}

impl From<Status> for JobsStatus {
    fn from(status: Status) -> Self {
        let running = status.running.into_iter().map(|job| RunningJobStatus {
            id: job.id,
            name: job.name,
            attempt: job.attempt,
            age_ms: whole_millis(job.running_for),
        });
        Self {
            running: running.collect(),
            queue: status.depth,
        }
    }
}

impl From<Holder> for HolderStatus {
    fn from(holder: Holder) -> Self {
        Self {
            slot: holder.slot,
            label: holder.label.into_owned(),
            request_id: holder.request_id,
            age_ms: whole_millis(holder.held),
            state: holder.state,
            state_ms: whole_millis(holder.for_time),
            statement: holder.statement,
            statements: holder.statements,
            backend_pid: holder.pid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_opens_as_bearer_and_as_a_browsers_password() {
        assert!(opens(b"Bearer sesame", "sesame"));
        assert!(opens(b"Basic ZGVidWc6c2VzYW1l", "sesame"));
        for wrong in [
            "",
            "sesame",
            "Bearer sesam",
            "Bearer sesame ",
            "bearer sesame",
            "Basic c2VzYW1l",
        ] {
            assert!(!opens(wrong.as_bytes(), "sesame"), "{wrong}");
        }
    }
}
