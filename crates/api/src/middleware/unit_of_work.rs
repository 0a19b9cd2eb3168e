use std::borrow::Cow;
use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use actix_web::body::{BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::middleware::Next;
use actix_web::{HttpMessage, web};
use berth_database::{Database, Outcome, Session, SessionOptions, Usage};

use crate::error::ApiError;
use crate::request_id::RequestId;
use crate::route_pattern::RoutePattern;
use crate::settings::Server;

/// Gives the request one session and ends it before the answer leaves.
///
/// Success commits; an error status, an error and running out of time roll back. A commit that fails becomes the
/// answer. A panic and a client that leaves drop this future, and with it the session, which rolls back.
pub async fn unit_of_work(
    database: web::Data<Database>,
    server: web::Data<Server>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, actix_web::Error> {
    let unit = UnitOfWork::of(&request, &database, server.request_timeout);
    request.extensions_mut().insert(unit.clone());
    let Ok(outcome) = tokio::time::timeout(server.request_timeout, next.call(request)).await else {
        unit.end(Outcome::Rollback).await.ok();
        return Err(ApiError::TookTooLong(server.request_timeout).into());
    };
    let response = outcome?;
    match unit.end(outcome_of(&response)).await {
        Ok(()) => Ok(response.map_into_left_body()),
        Err(error) => Ok(failed(error, response).map_into_right_body()),
    }
}

/// What a request does in the database, from its first statement to its end.
#[derive(Clone, Debug)]
pub struct UnitOfWork(Rc<Unit>);

#[derive(Debug)]
struct Unit {
    database: Database,
    label: Cow<'static, str>,
    request_id: Option<RequestId>,
    reads_only: bool,
    deadline: Duration,
    /// Empty until a handler asks: most of what is not the API needs no session at all.
    session: OnceCell<Session>,
}

impl UnitOfWork {
    fn of(request: &ServiceRequest, database: &Database, request_timeout: Duration) -> Self {
        Self(Rc::new(Unit {
            database: database.clone(),
            label: format!("{} {}", request.method(), RoutePattern::of(request).as_str()).into(),
            request_id: request.extensions().get::<RequestId>().cloned(),
            reads_only: is_safe(request.method()),
            deadline: request_timeout,
            session: OnceCell::new(),
        }))
    }

    /// The request's session, made at first need. Its deadline is the request's.
    pub fn session(&self) -> &Session {
        self.0.session.get_or_init(|| {
            let options = self.options().deadline(self.0.deadline);
            let options = if self.0.reads_only {
                options.autocommit_reads()
            } else {
                options
            };
            self.0.database.session(options)
        })
    }

    /// A session of the body's own, for reading what is sent after the request's has ended.
    ///
    /// It reads in autocommit and has no deadline but that of each statement: a body takes as long as its reader.
    pub fn body_session(&self) -> Session {
        self.0.database.session(self.options().autocommit_reads())
    }

    /// What it has cost in the database so far, if it has been there.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.0.session.get().map(Session::usage)
    }

    fn options(&self) -> SessionOptions {
        let options = SessionOptions::new(self.0.label.clone());
        match &self.0.request_id {
            Some(id) => options.request_id(id.as_str()),
            None => options,
        }
    }

    async fn end(&self, outcome: Outcome) -> Result<(), berth_database::Error> {
        match self.0.session.get() {
            Some(session) => session.end(outcome).await,
            None => Ok(()),
        }
    }
}

fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

fn outcome_of<B>(response: &ServiceResponse<B>) -> Outcome {
    let status = response.status();
    let success = status.is_success() || status.is_redirection();
    if success && response.response().error().is_none() {
        Outcome::Commit
    } else {
        Outcome::Rollback
    }
}

/// An answer that is an error already stays what it is: that the rollback failed too changes nothing for anyone.
fn failed<B: MessageBody + 'static>(
    error: berth_database::Error,
    response: ServiceResponse<B>,
) -> ServiceResponse<BoxBody> {
    if outcome_of(&response) == Outcome::Rollback {
        tracing::debug!(error = %error, "rollback failed; the connection was dropped");
        return response.map_into_boxed_body();
    }
    let (request, _) = response.into_parts();
    ServiceResponse::from_err(ApiError::Database(error), request)
}
