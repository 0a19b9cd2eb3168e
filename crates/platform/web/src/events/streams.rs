//! Answers whose body goes on: their number, their comments against silence, and their end.

use std::convert::Infallible;
use std::future::{Ready, pending, ready};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::dev::Payload;
use actix_web::http::header::{ACCEPT, CACHE_CONTROL, ContentEncoding};
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use async_stream::stream;
use berth_auth::Mode;
use futures_util::{Stream, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::ServerEvent;
use crate::Error;
use crate::identity::CurrentUser;
use crate::settings::Settings;

const MEDIA_TYPE: &str = "text/event-stream";
/// Events between a stream and the task that drives it.
const BUFFER: usize = 64;
/// Clients of an instance that stops connect again after 1 to so many milliseconds, not all at once.
const RETRY_MS: std::ops::Range<u64> = 1000..5000;

/// How many streams there may be, and when they end.
#[derive(Clone, Debug)]
pub(crate) struct StreamLimits {
    permits: Arc<Semaphore>,
    heartbeat: Duration,
    /// How long after its end a token is accepted.
    leeway: Duration,
    stopped: watch::Sender<bool>,
}

impl StreamLimits {
    pub(crate) fn new(settings: &Settings) -> Self {
        let leeway = match settings.auth.mode {
            Mode::Local => Duration::ZERO,
            Mode::Jwks => settings.auth.leeway,
        };
        Self {
            permits: Arc::new(Semaphore::new(settings.events.max_streams)),
            heartbeat: settings.events.heartbeat,
            // Tokens are compared in whole seconds.
            leeway: leeway + Duration::from_secs(1),
            stopped: watch::Sender::new(false),
        }
    }

    /// Ends every stream, and each later one at once.
    pub(crate) fn stop(&self) {
        self.stopped.send_replace(true);
    }
}

/// Makes answers of server-sent events; for handlers to extract.
#[derive(Clone, Debug)]
pub struct EventStreams(web::Data<StreamLimits>);

/// The place of a stream; dropped unused, it is free again.
#[derive(Debug)]
pub struct ReservedStream {
    limits: StreamLimits,
    permit: OwnedSemaphorePermit,
}

/// What becomes of a stream when the process stops.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AtStop {
    /// It ends at once: the client resumes elsewhere.
    End,
    /// It goes on to its own end, within `server.shutdown_timeout`.
    Finish,
}

impl EventStreams {
    /// Whether a request prefers events to one answer: by `text/event-stream` in its header `Accept`.
    pub fn are_wanted(request: &HttpRequest) -> bool {
        let accepts = request.headers().get_all(ACCEPT);
        let mut accepts = accepts.filter_map(|value| value.to_str().ok());
        accepts.any(|value| value.contains(MEDIA_TYPE))
    }

    /// Reserves the place of a stream, before anything is done for it.
    ///
    /// # Errors
    ///
    /// [`Error::Overloaded`] where `events.max_streams` are open.
    pub fn reserve(&self) -> Result<ReservedStream, Error> {
        let limits = self.0.get_ref().clone();
        match limits.permits.clone().try_acquire_owned() {
            Ok(permit) => Ok(ReservedStream { limits, permit }),
            Err(_) => Err(Error::Overloaded),
        }
    }
}

impl ReservedStream {
    /// An answer whose body are these events, until their end or the end of the user's token. A comment is sent where there
    /// is no event for `events.heartbeat`, so that proxies keep the connection and a client that has left is noticed.
    ///
    /// The body is never compressed, which would hold events back.
    pub fn send(
        self,
        user: &CurrentUser,
        at_stop: AtStop,
        events: impl Stream<Item = ServerEvent> + 'static,
    ) -> HttpResponse {
        let Self { limits, permit } = self;
        let expires = expiry(user).and_then(|end| end.checked_add(limits.leeway));
        let body = stream! {
            let _permit = permit;
            yield Ok::<_, Infallible>(Bytes::from(format!("retry: {}\n\n", retry())));
            let mut events = pin!(events);
            let mut stopped = limits.stopped.subscribe();
            loop {
                let silent = Instant::now() + limits.heartbeat;
                let next = tokio::select! {
                    biased;
                    _ = stopped.wait_for(|stopped| *stopped && at_stop == AtStop::End) => return,
                    () = until(expires) => return,
                    next = timeout_at(silent, events.next()) => next,
                };
                match next {
                    Ok(Some(event)) => yield Ok(event.into_bytes()),
                    Ok(None) => return,
                    Err(_) => yield Ok(Bytes::from_static(b":\n\n")),
                }
            }
        };
        HttpResponse::Ok()
            .content_type(MEDIA_TYPE)
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header(ContentEncoding::Identity)
            // nginx would collect the body before it passes it on.
            .insert_header(("x-accel-buffering", "no"))
            .streaming(body)
    }
}

impl FromRequest for EventStreams {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let limits = request.app_data::<web::Data<StreamLimits>>().cloned();
        ready(limits.map(Self).ok_or(Error::Overloaded))
    }
}

/// Drives a stream to its end in a task of its own, also when the client that reads it leaves: for work that is worth
/// finishing. The task ends with the process's HTTP server.
pub fn to_the_end<T: Send + 'static>(work: impl Stream<Item = T> + Send + 'static) -> impl Stream<Item = T> {
    let (sender, mut receiver) = mpsc::channel(BUFFER);
    drop(tokio::spawn(async move {
        let mut work = pin!(work);
        while let Some(item) = work.next().await {
            // Fails where the client has left.
            let _ = sender.send(item).await;
        }
    }));
    stream! {
        while let Some(item) = receiver.recv().await {
            yield item;
        }
    }
}

/// When the user's token ends.
fn expiry(user: &CurrentUser) -> Option<Instant> {
    let expires = user.claims().get("exp")?.as_f64()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let left = Duration::try_from_secs_f64(expires - now.as_secs_f64()).unwrap_or_default();
    Instant::now().checked_add(left)
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => sleep_until(end).await,
        None => pending().await,
    }
}

fn retry() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let spread = RETRY_MS.end - RETRY_MS.start;
    RETRY_MS.start + now.map_or(0, |now| u64::from(now.subsec_micros()) % spread)
}
