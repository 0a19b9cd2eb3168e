//! The body of a request: its timeout, and discarding what no handler reads.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::BoxedPayloadStream;
use actix_web::HttpMessage;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::web::Bytes;
use futures_util::stream::{self, Stream};
use pin_project_lite::pin_project;

/// The body of one request. It is kept until the answer is sent.
///
/// actix closes a connection after the answer where a body that is unread is still there. One that was dropped it reads
/// on, where it is chunked for as long as the client likes.
#[derive(Clone, Default)]
pub(super) struct RequestBody(Rc<RefCell<Option<Payload>>>);

impl RequestBody {
    /// The request's, made at the first call.
    pub(super) fn of(request: &ServiceRequest) -> Self {
        let known = request.extensions().get::<Self>().cloned();
        known.unwrap_or_else(|| {
            let body = Self::default();
            request.extensions_mut().insert(body.clone());
            body
        })
    }

    /// Lets the body fail after this time: whatever reads it ends, and holds nothing longer for a slow client.
    pub(super) fn bound(self, request: &mut ServiceRequest, time: Duration) {
        let payload = request.take_payload();
        if matches!(payload, Payload::None) {
            return;
        }
        *self.0.borrow_mut() = Some(payload);
        let sleep = Box::pin(tokio::time::sleep(time));
        let body = stream::unfold(Some((self, sleep)), |state| async {
            let (body, mut sleep) = state?;
            let next = poll_fn(|context| match body.poll(context) {
                Poll::Pending => sleep.as_mut().poll(context).map(Err),
                Poll::Ready(part) => Poll::Ready(Ok(part)),
            });
            match next.await {
                Ok(part) => part.map(|part| (part, Some((body, sleep)))),
                Err(()) => Some((Err(PayloadError::Io(io::ErrorKind::TimedOut.into())), None)),
            }
        });
        let payload: BoxedPayloadStream = Box::pin(body);
        request.set_payload(Payload::Stream { payload });
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, PayloadError>>> {
        match &mut *self.0.borrow_mut() {
            Some(payload) => Pin::new(payload).poll_next(context),
            None => Poll::Ready(None),
        }
    }

    /// Keeps what is unread until the answer is sent.
    pub(super) fn kept_by(self, answer: BoxBody) -> BoxBody {
        let has_body = self.0.borrow().is_some();
        match has_body {
            true => BoxBody::new(Answer {
                body: answer,
                _unread: self,
            }),
            false => answer,
        }
    }
}

pin_project! {
    /// The body of an answer, and that of its request.
    struct Answer<B> {
        #[pin]
        body: B,
        _unread: RequestBody,
    }
}

impl<B: MessageBody> MessageBody for Answer<B> {
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, B::Error>>> {
        self.project().body.poll_next(context)
    }
}
