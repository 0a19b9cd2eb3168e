//! Which sessions hold connections, for operators: as JSON for programs, as a page for people.

use actix_web::http::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, WWW_AUTHENTICATE,
};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use berth_database::{DatabaseClient, Holder, HolderState, StatusHandle};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::Error;
use crate::app_state::AppInfo;
use crate::extract::Query;
use crate::observability::{ConnectedClients, Monitor, PoolStatus, Sample, whole_millis};
use crate::settings::{Debug as Settings, Environment};

const PAGE: &str = include_str!("../pages/db-pool.html");
/// The page is one file: it loads nothing from anywhere and speaks to nobody but us.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
    img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Whether to tell the last minutes too.
    #[serde(default)]
    history: bool,
}

#[derive(Debug, Serialize)]
struct DebugResponse {
    version: &'static str,
    /// This process in the server's activity view.
    instance: Option<String>,
    pool: PoolStatus,
    holders: Vec<HolderStatus>,
    /// From which age a holder is one for long.
    long_lease_ms: u64,
    /// Who is connected to the same database, by name, when it was last to be asked without keeping anybody waiting.
    neighbours: Option<Vec<DatabaseClient>>,
    neighbours_age_ms: Option<u64>,
    /// The pool as it was when all this was told, and where asked for, as it was before.
    sample: Sample,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<Sample>>,
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

/// `GET /debug/db-pool`. It is no part of the API's description: in production it is off unless a token is set.
pub async fn pool(
    request: HttpRequest,
    app: web::Data<AppInfo>,
    settings: web::Data<Settings>,
    status: web::Data<StatusHandle>,
    monitor: web::Data<Monitor>,
    clients: web::Data<ConnectedClients>,
) -> Result<HttpResponse, Error> {
    if let Some(challenge) = challenge(&request, &app, &settings)? {
        return Ok(challenge);
    }
    if wants_page(&request) {
        return Ok(page());
    }
    let Query(wanted) = Query::<Wanted>::of(&request)?;
    // Before we ask the server ourselves, or we would always find ourselves among the holders.
    let snapshot = status.snapshot();
    let (age, neighbours) = clients.list().await.unzip();
    let pool = PoolStatus::of(&snapshot, monitor.settings());
    let (now, holders) = snapshot;
    let body = DebugResponse {
        version: app.version,
        instance: status.instance().map(str::to_owned),
        pool,
        holders: holders.into_iter().map(HolderStatus::from).collect(),
        long_lease_ms: whole_millis(monitor.settings().leak_detection_threshold),
        neighbours,
        neighbours_age_ms: age.map(whole_millis),
        sample: Sample::of(&now),
        history: wanted.history.then(|| monitor.history().samples()),
    };
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(body))
}

/// Nobody without the token, where one is set; nobody at all in production, where none is.
fn challenge(
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
    let shown = given.is_some_and(|given| shows(given.as_bytes(), token.reveal()));
    // Basic, because browsers ask their user for it by themselves.
    let ask = (
        WWW_AUTHENTICATE,
        "Basic realm=\"user debug, password the token\", charset=\"UTF-8\"",
    );
    Ok((!shown).then(|| HttpResponse::Unauthorized().insert_header(ask).finish()))
}

/// Compares in a time that does not tell how much of the token was right.
fn shows(given: &[u8], token: &str) -> bool {
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
        assert!(shows(b"Bearer sesame", "sesame"));
        assert!(shows(b"Basic ZGVidWc6c2VzYW1l", "sesame"));
        for wrong in [
            "",
            "sesame",
            "Bearer sesam",
            "Bearer sesame ",
            "bearer sesame",
            "Basic c2VzYW1l",
        ] {
            assert!(!shows(wrong.as_bytes(), "sesame"), "{wrong}");
        }
    }
}
