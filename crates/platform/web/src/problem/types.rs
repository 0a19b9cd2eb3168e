//! The platform's problem types, and the pages that explain them.

use actix_web::{HttpResponse, web};

use super::Problem;
use crate::Error;

/// A type of problem, explained by `/problems/{name}`.
#[derive(Debug)]
pub struct ProblemType {
    /// The last part of its URL.
    pub name: &'static str,
    /// The HTTP status of its responses.
    pub status: u16,
    /// A short text for people, the same for every occurrence.
    pub title: &'static str,
    /// The default detail of its problems.
    pub detail: Option<&'static str>,
    /// What the problem means, and what a client can do about it.
    pub explanation: &'static str,
}

/// The problem types of a service: the platform's and its own.
#[derive(Clone, Debug)]
pub struct ProblemTypes(Vec<&'static ProblemType>);

/// 409: a unique, foreign key or exclusion constraint refuses the change.
pub static CONFLICT: ProblemType = ProblemType {
    name: "conflict",
    status: 409,
    title: "Conflict",
    detail: None,
    explanation: "The request conflicts with stored data: a record with the same unique value exists, a record \
        that it refers to does not exist, or another record still refers to this one. Uncommitted changes were \
        rolled back. Read the current state and adapt the request.",
};

/// 409: a concurrent transaction changed the same data.
pub static CONCURRENT_CHANGE: ProblemType = ProblemType {
    name: "concurrent-change",
    status: 409,
    title: "Concurrent change",
    detail: None,
    explanation: "Another request changed the same data at the same time. Uncommitted changes were rolled back. \
        Send the request again.",
};

/// 503: the database cannot be reached.
pub static DATABASE_UNAVAILABLE: ProblemType = ProblemType {
    name: "database-unavailable",
    status: 503,
    title: "Database unavailable",
    detail: None,
    explanation: "The service cannot reach its database and keeps trying to connect. Retry after the number of \
        seconds in the Retry-After header.",
};

/// 403: the address of the account is not verified.
pub static EMAIL_NOT_VERIFIED: ProblemType = ProblemType {
    name: "email-not-verified",
    status: 403,
    title: "E-mail address not verified",
    detail: Some("Open the link in the e-mail that was sent to this address, or ask for another one."),
    explanation: "The password is right, and the service requires that the user shows the e-mail address to be the \
        user's own. Open the link in the e-mail, or ask for another e-mail, then log in again.",
};

/// 403: the database does not permit the change.
pub static FORBIDDEN: ProblemType = ProblemType {
    name: "forbidden",
    status: 403,
    title: "Forbidden",
    detail: Some("You do not have permission to do this."),
    explanation: "The caller does not have permission to read or change this. Nothing was stored.",
};

/// 409: a request with the same key is still being processed.
pub static IDEMPOTENCY_KEY_IN_USE: ProblemType = ProblemType {
    name: "idempotency-key-in-use",
    status: 409,
    title: "Idempotency key in use",
    detail: None,
    explanation: "A request with the same Idempotency-Key is still being processed. Retry after the number of \
        seconds in the Retry-After header to get its response.",
};

/// 422: the key was already used for another request.
pub static IDEMPOTENCY_KEY_REUSED: ProblemType = ProblemType {
    name: "idempotency-key-reused",
    status: 422,
    title: "Idempotency key reused",
    detail: None,
    explanation: "The Idempotency-Key was already used with another method, path or body. Nothing was done. Use \
        a new key for each request, and the same key only to retry the same request.",
};

/// 403: the caller lacks a role.
pub static INSUFFICIENT_ROLE: ProblemType = ProblemType {
    name: "insufficient-role",
    status: 403,
    title: "Insufficient role",
    detail: Some("This requires a role that you do not have."),
    explanation: "The caller is authenticated but does not have the role that the route requires. Nothing was \
        stored.",
};

/// 401: a login failed.
pub static INVALID_CREDENTIALS: ProblemType = ProblemType {
    name: "invalid-credentials",
    status: 401,
    title: "Invalid credentials",
    detail: Some("The e-mail address or the password is wrong."),
    explanation: "The account does not exist, or the password is wrong. For security the response does not \
        distinguish the two.",
};

/// 422: the input breaks validation rules.
pub static INVALID_INPUT: ProblemType = ProblemType {
    name: "invalid-input",
    status: 422,
    title: "Invalid input",
    detail: None,
    explanation: "The request is well-formed but breaks validation rules. `errors` lists the invalid fields \
        where they are known. Correct them and send the request again.",
};

/// 400: a path parameter cannot be parsed.
pub static INVALID_PATH: ProblemType = ProblemType {
    name: "invalid-path",
    status: 400,
    title: "Invalid path",
    detail: None,
    explanation: "A path parameter is malformed, for example an id that is not a UUID.",
};

/// 503: the keys of an identity provider cannot be read.
pub static ISSUER_UNAVAILABLE: ProblemType = ProblemType {
    name: "issuer-unavailable",
    status: 503,
    title: "Identity provider unavailable",
    detail: None,
    explanation: "The service cannot fetch the keys with which the identity provider signs tokens, so it cannot \
        verify the token. Retry after the number of seconds in the Retry-After header.",
};

/// 503: too many logins at once.
pub static LOGINS_BUSY: ProblemType = ProblemType {
    name: "logins-busy",
    status: 503,
    title: "Too many logins at once",
    detail: None,
    explanation: "Checking a password takes time, and too many logins are waiting for it. Retry after the \
        number of seconds in the Retry-After header. Requests with an access token are not affected.",
};

/// 400: the body is not JSON.
pub static MALFORMED_JSON: ProblemType = ProblemType {
    name: "malformed-json",
    status: 400,
    title: "Malformed JSON",
    detail: None,
    explanation: "The request body is not valid JSON. The detail gives the line and column of the error.",
};

/// 404: it does not exist, or the caller may not see it.
pub static NOT_FOUND: ProblemType = ProblemType {
    name: "not-found",
    status: 404,
    title: "Not found",
    detail: Some("It does not exist, or it belongs to another user."),
    explanation: "The resource does not exist, or it belongs to another user. For privacy the response does not \
        distinguish the two.",
};

/// 500: the connection was lost during COMMIT.
pub static OUTCOME_UNKNOWN: ProblemType = ProblemType {
    name: "outcome-unknown",
    status: 500,
    title: "Outcome unknown",
    detail: None,
    explanation: "The database connection was lost while the change was being committed, so the change may or \
        may not have been stored. If the request had an Idempotency-Key, retry it with the same key: it returns \
        the first response if the change was stored, and is processed otherwise. Without a key, read the data \
        before you retry.",
};

/// 503: the service processes as many requests as it admits.
pub static OVERLOADED: ProblemType = ProblemType {
    name: "overloaded",
    status: 503,
    title: "Overloaded",
    detail: None,
    explanation: "The service is already processing as many requests as it admits. Nothing was done. Retry \
        after the number of seconds in the Retry-After header.",
};

/// 412: the resource is no longer at the version in `If-Match`.
pub static PRECONDITION_FAILED: ProblemType = ProblemType {
    name: "precondition-failed",
    status: 412,
    title: "Precondition failed",
    detail: Some("The resource has changed since the version in If-Match."),
    explanation: "The resource is no longer at the version in the If-Match header. Nothing was changed. Read it \
        again, and send the change with the new ETag.",
};

/// 429: the client has exceeded its quota.
pub static RATE_LIMITED: ProblemType = ProblemType {
    name: "rate-limited",
    status: 429,
    title: "Too many requests",
    detail: None,
    explanation: "The user or the address has exceeded its quota of requests. Nothing was done. The \
        RateLimit-Policy and RateLimit headers state the quotas and what remains of them. Retry after the \
        number of seconds in the Retry-After header.",
};

/// 503: all connections are in use.
pub static SATURATED: ProblemType = ProblemType {
    name: "saturated",
    status: 503,
    title: "All database connections are in use",
    detail: None,
    explanation: "The request waited for a database connection, but none became free in time. Retry after the \
        number of seconds in the Retry-After header; it follows the rate at which connections become free.",
};

/// 503: the process is about to end.
pub static SHUTTING_DOWN: ProblemType = ProblemType {
    name: "shutting-down",
    status: 503,
    title: "Shutting down",
    detail: None,
    explanation: "This instance of the service is shutting down. Send the request again; another instance will \
        handle it.",
};

/// 502: a service that this one depends on failed.
pub static UPSTREAM_FAILED: ProblemType = ProblemType {
    name: "upstream-failed",
    status: 502,
    title: "Upstream service failed",
    detail: None,
    explanation: "Another service that this one depends on failed. The detail says what was stored nevertheless.",
};

/// 429: too many failed logins.
pub static TOO_MANY_ATTEMPTS: ProblemType = ProblemType {
    name: "too-many-attempts",
    status: 429,
    title: "Too many attempts",
    detail: Some("Too many failed logins."),
    explanation: "Too many logins have failed for this account or from this address. Retry after the number of \
        seconds in the Retry-After header.",
};

/// 401: no valid token.
pub static UNAUTHENTICATED: ProblemType = ProblemType {
    name: "unauthenticated",
    status: 401,
    title: "Unauthenticated",
    detail: Some("Send a valid access token as `Authorization: Bearer`."),
    explanation: "The request has no access token, or an invalid one. The WWW-Authenticate header gives the \
        reason. Log in, or exchange the refresh token, and retry with the new token.",
};

/// 503: the request took longer than allowed.
pub static TIMEOUT: ProblemType = ProblemType {
    name: "timeout",
    status: 503,
    title: "Timeout",
    detail: Some("The request was stopped because it took too long."),
    explanation: "The request took longer than the service allows. It was stopped and rolled back.",
};

const PLATFORM: [&ProblemType; 25] = [
    &CONCURRENT_CHANGE,
    &CONFLICT,
    &DATABASE_UNAVAILABLE,
    &EMAIL_NOT_VERIFIED,
    &FORBIDDEN,
    &IDEMPOTENCY_KEY_IN_USE,
    &IDEMPOTENCY_KEY_REUSED,
    &INSUFFICIENT_ROLE,
    &INVALID_CREDENTIALS,
    &INVALID_INPUT,
    &INVALID_PATH,
    &ISSUER_UNAVAILABLE,
    &LOGINS_BUSY,
    &MALFORMED_JSON,
    &NOT_FOUND,
    &OUTCOME_UNKNOWN,
    &OVERLOADED,
    &PRECONDITION_FAILED,
    &RATE_LIMITED,
    &SATURATED,
    &SHUTTING_DOWN,
    &TIMEOUT,
    &TOO_MANY_ATTEMPTS,
    &UNAUTHENTICATED,
    &UPSTREAM_FAILED,
];

impl ProblemTypes {
    /// Creates the list of the platform's types and `own`.
    pub fn new(own: &[&'static ProblemType]) -> Self {
        Self(PLATFORM.iter().chain(own).copied().collect())
    }

    fn find(&self, name: &str) -> Option<&'static ProblemType> {
        self.0.iter().copied().find(|kind| kind.name == name)
    }
}

/// `GET /problems/{name}`: explains a type of problem.
///
/// # Errors
///
/// [`Error::NoRoute`] for a name that is not a type.
pub async fn explain(types: web::Data<ProblemTypes>, name: web::Path<String>) -> Result<HttpResponse, Error> {
    let kind = types.find(&name).ok_or(Error::NoRoute)?;
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>body{{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;\
         padding:0 1rem;color-scheme:light dark}}</style><h1>{title}</h1><p>HTTP status {status}</p><p>{explanation}</p>\n",
        title = kind.title,
        status = kind.status,
        explanation = kind.explanation,
    );
    Ok(HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .body(page))
}

impl Problem {
    /// Whether the problem is of this type.
    pub fn is(&self, kind: &ProblemType) -> bool {
        self.kind.strip_prefix("/problems/") == Some(kind.name)
    }
}
