//! Answers whose body goes on: their number, their comments against silence, and their end.

use std::convert::Infallible;
use std::future::{Ready, pending, ready};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::dev::Payload;
use actix_web::http::header::{CACHE_CONTROL, ContentEncoding};
use actix_web::web::Bytes;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use async_stream::stream;
use berth_auth::Mode;
use futures_util::{Stream, StreamExt};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::ServerEvent;
use crate::Error;
use crate::identity::CurrentUser;
use crate::settings::Settings;

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

impl EventStreams {
    /// An answer whose body are these events, until their end or the end of the user's token. A comment is sent where there
    /// is no event for `events.heartbeat`, so that proxies keep the connection and a client that has left is noticed.
    ///
    /// The body is never compressed, which would hold events back. It ends at once when the process stops.
    ///
    /// # Errors
    ///
    /// [`Error::Overloaded`] where `events.max_streams` are open.
    pub fn open(
        &self,
        user: &CurrentUser,
        events: impl Stream<Item = ServerEvent> + 'static,
    ) -> Result<HttpResponse, Error> {
        let limits = self.0.get_ref().clone();
        let permit = limits.permits.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Error::Overloaded)?;
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
                    _ = stopped.wait_for(|stopped| *stopped) => return,
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
        Ok(HttpResponse::Ok()
            .content_type("text/event-stream")
            .insert_header((CACHE_CONTROL, "no-store"))
            .insert_header(ContentEncoding::Identity)
            // nginx would collect the body before it passes it on.
            .insert_header(("x-accel-buffering", "no"))
            .streaming(body))
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
