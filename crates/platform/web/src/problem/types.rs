//! The platform's problem types, and the pages that explain them.

use actix_web::{HttpResponse, web};

use super::Problem;
use crate::Error;

/// A type of problem: `/problems/{name}` explains it.
#[derive(Debug)]
pub struct ProblemType {
    /// The last part of its URL.
    pub name: &'static str,
    /// The HTTP status it comes with.
    pub status: u16,
    /// A short text for people, the same each time.
    pub title: &'static str,
    /// What its problems say unless they have something of their own to say.
    pub detail: Option<&'static str>,
    /// What it means and what a client can do about it.
    pub explanation: &'static str,
}

/// The types of problems that a service explains: the platform's and its own.
#[derive(Clone, Debug)]
pub struct ProblemTypes(Vec<&'static ProblemType>);

/// 409: a unique, foreign key or exclusion constraint refuses the change.
pub static CONFLICT: ProblemType = ProblemType {
    name: "conflict",
    status: 409,
    title: "Conflict",
    detail: None,
    explanation: "The request contradicts what is stored: something with the same key exists already, or it refers \
        to something that does not exist, or something still refers to it. Changes that were not committed yet were rolled back. Read the present \
        state and send a request that fits it.",
};

/// 409: a concurrent transaction changed the same data.
pub static CONCURRENT_CHANGE: ProblemType = ProblemType {
    name: "concurrent-change",
    status: 409,
    title: "Concurrent change",
    detail: None,
    explanation: "Another request changed the same data at the same time. Changes that were not committed yet were rolled back. Send the request again.",
};

/// 503: the database cannot be reached.
pub static DATABASE_UNAVAILABLE: ProblemType = ProblemType {
    name: "database-unavailable",
    status: 503,
    title: "Database unavailable",
    detail: None,
    explanation: "The service cannot reach its database at present and looks for it by itself. Send the request \
        again after the seconds in the Retry-After header.",
};

/// 403: the database does not permit the change.
pub static FORBIDDEN: ProblemType = ProblemType {
    name: "forbidden",
    status: 403,
    title: "Forbidden",
    detail: Some("You may not do this."),
    explanation: "The caller may not read or change this. Nothing was stored.",
};

/// 409: another request with the same key runs.
pub static IDEMPOTENCY_KEY_IN_USE: ProblemType = ProblemType {
    name: "idempotency-key-in-use",
    status: 409,
    title: "Idempotency key in use",
    detail: None,
    explanation: "Another request with the same Idempotency-Key runs at present. Send the request again after the \
        seconds in the Retry-After header, to get its answer.",
};

/// 422: the key was used for another request.
pub static IDEMPOTENCY_KEY_REUSED: ProblemType = ProblemType {
    name: "idempotency-key-reused",
    status: 422,
    title: "Idempotency key reused",
    detail: None,
    explanation: "The Idempotency-Key was used before with another method, address or body. Nothing was done. Use a new \
        key for each request, and the same one only to send the same request again.",
};

/// 403: the caller lacks a role.
pub static INSUFFICIENT_ROLE: ProblemType = ProblemType {
    name: "insufficient-role",
    status: 403,
    title: "Insufficient role",
    detail: Some("You do not have the role that this requires."),
    explanation: "The caller is known, and does not have the role that the route requires. Nothing was stored.",
};

/// 401: a login failed.
pub static INVALID_CREDENTIALS: ProblemType = ProblemType {
    name: "invalid-credentials",
    status: 401,
    title: "Invalid credentials",
    detail: Some("The e-mail address or the password is wrong."),
    explanation: "The account does not exist, or the password is another one: the answer does not say which.",
};

/// 422: the input breaks rules.
pub static INVALID_INPUT: ProblemType = ProblemType {
    name: "invalid-input",
    status: 422,
    title: "Invalid input",
    detail: None,
    explanation: "The request can be read and breaks rules. Where they are known, `errors` lists the fields and the \
        rules. Correct them and send the request again.",
};

/// 400: a variable part of the path cannot be parsed.
pub static INVALID_PATH: ProblemType = ProblemType {
    name: "invalid-path",
    status: 400,
    title: "Invalid path",
    detail: None,
    explanation: "A variable part of the path has the wrong form, for example an id that is not a UUID.",
};

/// 503: the keys of an identity provider cannot be read.
pub static ISSUER_UNAVAILABLE: ProblemType = ProblemType {
    name: "issuer-unavailable",
    status: 503,
    title: "Identity provider unavailable",
    detail: None,
    explanation: "The service cannot read the keys with which the identity provider signs tokens, so it cannot tell \
        whether the token is valid. Send the request again after the seconds in the Retry-After header.",
};

/// 503: too many logins at once.
pub static LOGINS_BUSY: ProblemType = ProblemType {
    name: "logins-busy",
    status: 503,
    title: "Too many logins at once",
    detail: None,
    explanation: "Checking a password takes time, and too many wait for it. Send the request again after the seconds \
        in the Retry-After header. Requests with a token are not affected.",
};

/// 400: the body is not JSON.
pub static MALFORMED_JSON: ProblemType = ProblemType {
    name: "malformed-json",
    status: 400,
    title: "Malformed JSON",
    detail: None,
    explanation: "The body of the request is not JSON. The detail names the line and column where parsing stopped.",
};

/// 404: it does not exist, or the caller may not see it.
pub static NOT_FOUND: ProblemType = ProblemType {
    name: "not-found",
    status: 404,
    title: "Not found",
    detail: Some("It does not exist, or it belongs to someone else."),
    explanation: "What the address names does not exist, or it belongs to someone else: the answer does not say which.",
};

/// 500: the connection was lost during COMMIT.
pub static OUTCOME_UNKNOWN: ProblemType = ProblemType {
    name: "outcome-unknown",
    status: 500,
    title: "Outcome unknown",
    detail: None,
    explanation: "The database connection was lost while the change was being committed, so it may or may not be \
        stored. If the request had an Idempotency-Key, send it again with the same key: it gets the answer of the first \
        if that was stored, and is done otherwise. Without one, read the data before you send the request again.",
};

/// 503: more requests at once than the service admits.
pub static OVERLOADED: ProblemType = ProblemType {
    name: "overloaded",
    status: 503,
    title: "Overloaded",
    detail: None,
    explanation: "The service answers as many requests at once as it admits. Nothing was done. Send the request again \
        after the seconds in the Retry-After header.",
};

/// 412: it has another version than the request is for.
pub static PRECONDITION_FAILED: ProblemType = ProblemType {
    name: "precondition-failed",
    status: 412,
    title: "Precondition failed",
    detail: Some("It has changed since the version in If-Match."),
    explanation: "What the request would change has another version than the header If-Match names. Nothing was \
        changed. Read it again, and send the change with its new ETag.",
};

/// 429: the client has used its quota.
pub static RATE_LIMITED: ProblemType = ProblemType {
    name: "rate-limited",
    status: 429,
    title: "Too many requests",
    detail: None,
    explanation: "The user or the address has sent more requests than it may. Nothing was done. The headers \
        RateLimit-Policy and RateLimit state the quotas and what is left of them. Send the request again after the \
        seconds in the Retry-After header.",
};

/// 503: all connections are in use.
pub static SATURATED: ProblemType = ProblemType {
    name: "saturated",
    status: 503,
    title: "All database connections are in use",
    detail: None,
    explanation: "The request waited for a database connection and none came free in time. Send it again after the \
        seconds in the Retry-After header, which follow the rate at which connections come free.",
};

/// 503: the process is about to end.
pub static SHUTTING_DOWN: ProblemType = ProblemType {
    name: "shutting-down",
    status: 503,
    title: "Shutting down",
    detail: None,
    explanation: "This instance of the service is shutting down. Send the request again; another instance answers it.",
};

/// 502: a service that this one depends on failed.
pub static UPSTREAM_FAILED: ProblemType = ProblemType {
    name: "upstream-failed",
    status: 502,
    title: "Upstream service failed",
    detail: None,
    explanation: "This service depends on another one, which failed. The detail says what was stored all the same.",
};

/// 429: too many failed logins.
pub static TOO_MANY_ATTEMPTS: ProblemType = ProblemType {
    name: "too-many-attempts",
    status: 429,
    title: "Too many attempts",
    detail: Some("Too many logins have failed."),
    explanation: "Too many logins of this account, or from this address, have failed. Wait for the seconds in the \
        Retry-After header.",
};

/// 401: no valid token.
pub static UNAUTHENTICATED: ProblemType = ProblemType {
    name: "unauthenticated",
    status: 401,
    title: "Unauthenticated",
    detail: Some("Send a valid access token as `Authorization: Bearer`."),
    explanation: "The request has no access token, or one that is not valid. The header WWW-Authenticate says why. Log \
        in, or exchange the refresh token, and send the request again with the new token.",
};

/// 503: the request took longer than allowed.
pub static TIMEOUT: ProblemType = ProblemType {
    name: "timeout",
    status: 503,
    title: "Timeout",
    detail: Some("The request was stopped because it took too long."),
    explanation: "The request took longer than the service allows. It was stopped and rolled back.",
};

const PLATFORM: [&ProblemType; 24] = [
    &CONCURRENT_CHANGE,
    &CONFLICT,
    &DATABASE_UNAVAILABLE,
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
    /// The platform's types and these.
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
