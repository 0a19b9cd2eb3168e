//! `Idempotency-Key`: a retried request gets the response of the first and is processed once.

use std::time::Duration;

use actix_web::body::{self, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION, RETRY_AFTER,
};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, Bytes};
use actix_web::{HttpMessage, HttpResponse};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use berth_database::Session;
use berth_service::idempotency::{self, Claim, KeyState, KeyedRequest, StoredAnswer};
use berth_settings::Secret;
use chrono::Utc;
use ring::hmac;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::app_state::BodyLimits;
use crate::error::RequestError;
use crate::extract::unread;
use crate::identity::Sender;
use crate::settings::App;
use crate::{Error, Problem};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const LONGEST_KEY: usize = 255;
/// Bytes of an answer that is stored. A larger one is not: its request can be sent again.
const LARGEST_ANSWER: usize = 1024 * 1024;
/// After the end of the request's time its COMMIT may still be on its way.
const COMMIT_TIME: Duration = Duration::from_secs(10);

/// Makes the fingerprints of requests, with a key that follows from `app.secret`: a body may contain a password, and who
/// reads the table cannot try passwords without the secret.
#[derive(Clone, Debug)]
pub(super) struct Fingerprints {
    key: hmac::Key,
    previous: Option<hmac::Key>,
}

impl Fingerprints {
    pub(super) fn new(app: &App) -> Self {
        let key = |secret: &Secret| {
            let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
            let derived = hmac::sign(&secret, b"fingerprints of idempotent requests");
            hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
        };
        Self {
            key: key(&app.secret),
            previous: app.previous_secret.as_ref().map(key),
        }
    }
}

/// What is stored beside the body of an answer.
#[derive(Deserialize, Serialize)]
struct Head {
    headers: Vec<(String, String)>,
    problem: Option<Problem>,
}

/// The request's key, if it has one that counts: with an unsafe method, and of a user, since keys are the users' own.
///
/// Reads the body, before any connection is leased, and gives it back.
pub(super) async fn keyed(
    request: &mut ServiceRequest,
    fingerprints: &Fingerprints,
    request_timeout: Duration,
    keep_for: Duration,
) -> Result<Option<KeyedRequest>, Error> {
    let user = request.extensions().get::<Sender>().cloned().and_then(Result::ok);
    let (Some(given), Some(user)) = (request.headers().get(KEY).cloned(), user) else {
        return Ok(None);
    };
    if ![Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(request.method()) {
        return Ok(None);
    }
    let is_valid =
        (1..=LONGEST_KEY).contains(&given.len()) && given.as_bytes().iter().all(u8::is_ascii_graphic);
    if !is_valid {
        return Err(RequestError::IdempotencyKey.into());
    }
    let limits = request
        .app_data::<web::Data<BodyLimits>>()
        .map(|limits| limits.bytes);
    let body = request.extract::<Bytes>().await;
    let body = body.map_err(|error| unread(&error, limits.unwrap_or_default()))?;
    let now = Utc::now();
    let uri = request.uri().to_string();
    let asked = [request.method().as_str().as_bytes(), uri.as_bytes(), &body];
    let keyed = KeyedRequest {
        key: hash(&[user.id().as_bytes(), given.as_bytes()]),
        fingerprint: fingerprint(&fingerprints.key, &asked),
        previous_fingerprint: fingerprints.previous.as_ref().map(|key| fingerprint(key, &asked)),
        now,
        claimed_until: now + request_timeout + COMMIT_TIME,
        expires_at: now + keep_for,
    };
    request.set_payload(Payload::from(body));
    Ok(Some(keyed))
}

/// The claim of a key, or the answer where there is none.
pub(super) fn claimed(state: KeyState) -> Result<Result<Claim, HttpResponse>, Error> {
    match state {
        KeyState::Claimed(claim) => Ok(Ok(claim)),
        KeyState::Answered(answer) => Ok(Err(replayed(answer)?)),
        KeyState::Mismatch => Err(Error::KeyReused),
        KeyState::Running(until) => {
            let wait = (until - Utc::now()).to_std().unwrap_or_default();
            Err(Error::KeyInUse {
                // Most requests take less than their longest time.
                retry_after: wait.min(Duration::from_secs(1)),
            })
        }
    }
}

/// Whether the answer is the last word: another attempt would get the same.
fn is_final<B: MessageBody>(response: &ServiceResponse<B>) -> bool {
    let (status, headers) = (response.status(), response.headers());
    let retryable = status.is_server_error() || headers.contains_key(RETRY_AFTER);
    let unstored = [
        StatusCode::UNAUTHORIZED,
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::SWITCHING_PROTOCOLS,
    ];
    let secret = headers
        .get(CACHE_CONTROL)
        .is_some_and(|value| value.as_bytes() == b"no-store");
    let sized = matches!(
        response.response().body().size(),
        body::BodySize::None | body::BodySize::Sized(_)
    );
    !retryable && !unstored.contains(&status) && !secret && sized
}

/// Takes the answer apart for the store, if it is to be stored, and puts it together again.
pub(super) async fn to_store<B: MessageBody>(
    response: ServiceResponse<B>,
) -> (
    ServiceResponse<actix_web::body::EitherBody<Bytes, B>>,
    Option<StoredAnswer>,
) {
    if !is_final(&response) || size(&response) > LARGEST_ANSWER {
        return (response.map_body(|_, body| body::EitherBody::right(body)), None);
    }
    let (request, response) = response.into_parts();
    let (response, body) = response.into_parts();
    let bytes = body::to_bytes(body).await.unwrap_or_default();
    let answer = StoredAnswer {
        status: response.status().as_u16(),
        head: head(&response),
        body: bytes.to_vec(),
    };
    let response = response.set_body(body::EitherBody::left(bytes));
    (ServiceResponse::new(request, response), Some(answer))
}

fn size<B: MessageBody>(response: &ServiceResponse<B>) -> usize {
    match response.response().body().size() {
        body::BodySize::Sized(size) => usize::try_from(size).unwrap_or(usize::MAX),
        _ => 0,
    }
}

fn head(response: &HttpResponse<()>) -> String {
    let kept = [CONTENT_TYPE, LOCATION, ETAG].into_iter().filter_map(|name| {
        let value = response.headers().get(&name)?.to_str().ok()?;
        Some((name.to_string(), value.to_owned()))
    });
    let head = Head {
        headers: kept.collect(),
        problem: response.extensions().get::<Problem>().cloned(),
    };
    serde_json::to_string(&head).unwrap_or_default()
}

fn replayed(answer: StoredAnswer) -> Result<HttpResponse, Error> {
    let head: Head = serde_json::from_str(&answer.head).map_err(|_| Error::KeyReused)?;
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    for header in head.headers {
        response.insert_header(header);
    }
    response.insert_header((REPLAYED, HeaderValue::from_static("true")));
    let mut response = match answer.body.is_empty() {
        true => response.finish(),
        false => response.body(answer.body),
    };
    if let Some(problem) = head.problem {
        response.extensions_mut().insert(problem);
    }
    Ok(response)
}

/// Claims the key in a session of its own, which has ended when this returns.
pub(super) async fn claim(session: Session, keyed: &KeyedRequest) -> Result<KeyState, Error> {
    let state = idempotency::claim(&session, keyed).await.map_err(of_store)?;
    session.end(berth_database::Outcome::Commit).await?;
    Ok(state)
}

/// Stores an answer that is an error, or gives the key back; the work was rolled back before. A failure is logged only:
/// the key is free again when its claim is over.
pub(super) async fn settle(session: Session, claim: &Claim, answer: Option<StoredAnswer>) {
    let settled = async {
        match answer {
            Some(answer) => claim.store(&session, answer).await?,
            None => claim.release(&session).await?,
        }
        session.end(berth_database::Outcome::Commit).await?;
        Ok::<_, berth_service::Error>(())
    };
    if let Err(error) = settled.await {
        tracing::warn!(error = %error, "the idempotency key of a failed request stays claimed until it expires");
    }
}

pub(super) fn of_store(error: berth_service::Error) -> Error {
    match error {
        berth_service::Error::Database(error) => error.into(),
        _ => Error::KeyInUse {
            retry_after: Duration::from_secs(1),
        },
    }
}

fn hash(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    BASE64_URL_SAFE_NO_PAD.encode(hash.finalize())
}

fn fingerprint(key: &hmac::Key, parts: &[&[u8]]) -> String {
    let mut tag = hmac::Context::with_key(key);
    for part in parts {
        tag.update(&(part.len() as u64).to_be_bytes());
        tag.update(part);
    }
    BASE64_URL_SAFE_NO_PAD.encode(tag.sign())
}
