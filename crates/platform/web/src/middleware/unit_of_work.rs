//! Unit of work: gives each request one session, and commits or rolls back before the response leaves.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::{HttpMessage, web};
use berth_database::{Database, Outcome, Session, SessionOptions, Usage};
use berth_service::idempotency::{Claim, StoredAnswer};
use futures_util::FutureExt;
use sea_orm::ConnectionTrait;

use super::idempotency::{self, Fingerprints};
use crate::Error;
use crate::identity::{CurrentUser, Sender};
use crate::request_id::RequestId;
use crate::route_pattern::RoutePattern;
use crate::settings::Settings;

/// Makes the sessions of requests. Only [`unit_of_work`] can use it: a handler that takes it from the app's data can do
/// nothing with it.
#[derive(Clone, Debug)]
pub struct Sessions {
    database: Database,
    request_timeout: Duration,
    row_level_security: bool,
    keep_keys_for: Duration,
    fingerprints: Fingerprints,
}

/// With whose rights the statements of a session run, where row-level security is on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rights {
    /// The role of the request's token.
    User,
    /// The role that the service logs in with.
    Service,
}

impl Sessions {
    pub(crate) fn new(database: Database, settings: &Settings) -> Self {
        Self {
            database,
            request_timeout: settings.server.request_timeout,
            row_level_security: settings.auth.row_level_security,
            keep_keys_for: settings.idempotency.keep_for,
            fingerprints: Fingerprints::new(&settings.app),
        }
    }

    /// A session beside the request's own, while that holds nothing.
    fn aside(&self, label: &'static str) -> Session {
        let options = SessionOptions::new(label).deadline(self.request_timeout);
        self.database.session(options)
    }
}

/// Gives the request one session and ends it before the answer leaves.
///
/// A status below 400 commits; an error status, an error and a timeout roll back. A commit that fails becomes the
/// answer. A panic and a client that leaves drop this future, and with it the session, which rolls back.
///
/// A request with an `Idempotency-Key` first claims the key in a short transaction of its own, or gets the answer of the
/// first request with it. Its answer is stored in the transaction of its work; one that is an error, after the rollback.
/// An error that another attempt may not meet gives the key back. A client that leaves keeps the key claimed until its
/// request can no longer commit.
///
/// # Errors
///
/// [`Error::Timeout`] after `server.request_timeout`, and those of the inner middleware.
pub async fn unit_of_work(
    sessions: web::Data<Sessions>,
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let keyed = idempotency::keyed(
        &mut request,
        &sessions.fingerprints,
        sessions.request_timeout,
        sessions.keep_keys_for,
    );
    let Some(keyed) = keyed.await? else {
        return work(&sessions, request, next, None).await;
    };
    let state = idempotency::claim(sessions.aside("idempotency key"), &keyed).await?;
    match idempotency::claimed(state)? {
        Ok(claim) => {
            let done = AssertUnwindSafe(work(&sessions, request, next, Some(&claim))).catch_unwind();
            let outcome = done.await.unwrap_or_else(|_| Err(Error::Panic.into()));
            if outcome.is_err() {
                idempotency::settle(sessions.aside("idempotency key"), &claim, None).await;
            }
            outcome
        }
        Err(replayed) => Ok(request.into_response(replayed)),
    }
}

async fn work(
    sessions: &web::Data<Sessions>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
    claim: Option<&Claim>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let unit = UnitOfWork::of(&request, sessions);
    request.extensions_mut().insert(unit.clone());
    let Ok(outcome) = tokio::time::timeout(sessions.request_timeout, next.call(request)).await else {
        unit.end(Outcome::Rollback).await.ok();
        return Err(Error::Timeout(sessions.request_timeout).into());
    };
    let response = outcome?;
    let (response, answer) = match claim {
        Some(_) => {
            let (response, answer) = idempotency::to_store(response).await;
            (response.map_into_boxed_body(), answer)
        }
        None => (response.map_into_boxed_body(), None),
    };
    let outcome = outcome_of(&response);
    let ended = match (claim, &answer) {
        (Some(claim), Some(answer)) if outcome == Outcome::Commit => {
            unit.end_with(claim, answer.clone()).await
        }
        _ => unit.end(outcome).await.map_err(Error::from),
    };
    // After a failed commit the key stays claimed: the commit may have been stored, with its answer.
    if let (Some(claim), Ok(())) = (claim, &ended)
        && (outcome == Outcome::Rollback || answer.is_none())
    {
        idempotency::settle(sessions.aside("idempotency key"), claim, answer).await;
    }
    match ended {
        Ok(()) => Ok(response),
        Err(error) => Ok(failed(error, response)),
    }
}

/// The database work of one request, from its first statement to its end.
#[derive(Clone, Debug)]
pub(crate) struct UnitOfWork(Rc<Unit>);

#[derive(Debug)]
struct Unit {
    sessions: web::Data<Sessions>,
    label: Cow<'static, str>,
    request_id: Option<RequestId>,
    reads_only: bool,
    /// Empty until a handler asks: most addresses outside the API need no session at all.
    session: OnceCell<(Rights, Session)>,
    /// The sender, where its role counts.
    sender: Option<CurrentUser>,
    streaming: OnceCell<()>,
}

impl UnitOfWork {
    fn of(request: &ServiceRequest, sessions: &web::Data<Sessions>) -> Self {
        let sender = request.extensions().get::<Sender>().cloned();
        let sender = sender.and_then(Result::ok);
        Self(Rc::new(Unit {
            sessions: sessions.clone(),
            label: format!("{} {}", request.method(), RoutePattern::of(request).as_str()).into(),
            request_id: request.extensions().get::<RequestId>().cloned(),
            reads_only: is_safe(request.method()),
            session: OnceCell::new(),
            sender: sender.filter(|_| sessions.row_level_security),
            streaming: OnceCell::new(),
        }))
    }

    /// The request's session, made when it is first needed. Its deadline is the request's.
    ///
    /// # Errors
    ///
    /// [`berth_database::Error::SessionBusy`] where a handler asks for both rights: one request has one session.
    pub(crate) fn session(&self, rights: Rights) -> Result<&Session, berth_database::Error> {
        let (of, session) = self.0.session.get_or_init(|| {
            let options = self.options().deadline(self.0.sessions.request_timeout);
            let options = match self.0.reads_only {
                true => options.autocommit_reads(),
                false => options,
            };
            let options = match self.0.sender.as_ref().filter(|_| rights == Rights::User) {
                Some(user) => {
                    let role = user.identity().role().unwrap_or_default();
                    options.role(role, user.claims().to_json())
                }
                None => options,
            };
            (rights, self.0.sessions.database.session(options))
        });
        if *of == rights {
            Ok(session)
        } else {
            Err(berth_database::Error::SessionBusy)
        }
    }

    /// Commits and ends the request's session, and makes the one from which the body of the answer is read.
    ///
    /// It reads in autocommit and has no deadline but that of each statement: a body takes as long as its reader.
    ///
    /// # Errors
    ///
    /// The commit's; [`berth_database::Error::SessionClosed`] where the session has ended before.
    pub(crate) async fn into_streaming(self) -> Result<Session, berth_database::Error> {
        self.0
            .streaming
            .set(())
            .map_err(|()| berth_database::Error::SessionClosed)?;
        let (_, session) = self.0.session.get().ok_or(berth_database::Error::SessionClosed)?;
        session.clone().into_streaming().await
    }

    /// What it has cost in the database so far, if it used the database.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.0.session.get().map(|(_, session)| session.usage())
    }

    fn options(&self) -> SessionOptions {
        let options = SessionOptions::new(self.0.label.clone());
        match &self.0.request_id {
            Some(id) => options.request_id(id.as_str()),
            None => options,
        }
    }

    /// Stores the answer and commits both with the work.
    async fn end_with(&self, claim: &Claim, answer: StoredAnswer) -> Result<(), Error> {
        let session = match self.0.session.get() {
            Some((Rights::User, session)) if self.0.sender.is_some() => {
                // The table is the service's: a user's role may not write it.
                let reset = session.execute_unprepared("SET LOCAL ROLE NONE").await;
                reset.map_err(berth_database::Error::from)?;
                session
            }
            Some((_, session)) => session,
            None => self.session(Rights::Service)?,
        };
        if let Err(error) = claim.store(session, answer).await {
            self.end(Outcome::Rollback).await.ok();
            return Err(idempotency::of_store(error));
        }
        Ok(self.end(Outcome::Commit).await?)
    }

    async fn end(&self, outcome: Outcome) -> Result<(), berth_database::Error> {
        match self.0.session.get() {
            Some((_, session)) if self.0.streaming.get().is_none() => session.end(outcome).await,
            _ => Ok(()),
        }
    }
}

fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

fn outcome_of<B>(response: &ServiceResponse<B>) -> Outcome {
    let status = response.status();
    let success = status.as_u16() < 400;
    if success && response.response().error().is_none() {
        Outcome::Commit
    } else {
        Outcome::Rollback
    }
}

/// An error answer stays what it is, even if the rollback failed too.
fn failed(error: Error, response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    if outcome_of(&response) == Outcome::Rollback {
        tracing::debug!(error = %error, "rollback failed; the connection was dropped");
        return response;
    }
    let (request, _) = response.into_parts();
    ServiceResponse::from_err(error, request)
}
