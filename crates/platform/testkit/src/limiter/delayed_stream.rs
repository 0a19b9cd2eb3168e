//! The wire between a client and the limiter: latency, black holes and cuts happen here, below TLS.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::connection_state::{ConnectionState, Cut, Fate};
use super::state::State;

/// How much is under way in one direction before the sender has to wait.
const CAPACITY: usize = 4 << 20;

/// A client's socket seen through a network.
///
/// What is read arrives, and what is written leaves, one latency later; any number of bytes can be under way.
/// With no latency and nothing under way it is the bare socket.
#[derive(Debug)]
pub(super) struct DelayedStream {
    socket: TcpStream,
    flow: Arc<ConnectionState>,
    state: Arc<State>,
    opened: Instant,
    inbound: Transit,
    outbound: Transit,
    alarm: Option<Instant>,
}

/// Bytes under way in one direction.
#[derive(Debug, Default)]
struct Transit {
    parcels: VecDeque<Parcel>,
    bytes: usize,
    ended: bool,
}

/// Some bytes, or an empty parcel for the end of them.
#[derive(Debug)]
struct Parcel {
    due: Instant,
    bytes: Vec<u8>,
    taken: usize,
}

impl DelayedStream {
    pub(super) fn new(socket: TcpStream, flow: Arc<ConnectionState>, state: Arc<State>) -> DelayedStream {
        let (inbound, outbound) = (Transit::default(), Transit::default());
        DelayedStream {
            socket,
            flow,
            state,
            opened: Instant::now(),
            inbound,
            outbound,
            alarm: None,
        }
    }

    /// Registers for changes of fate and tells whether bytes travel at all.
    fn passable(&self, context: &Context<'_>) -> io::Result<bool> {
        self.flow.watch(context);
        match self.flow.fate() {
            Fate::Open => Ok(true),
            Fate::Silent => Ok(false),
            Fate::Over(_) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    fn due(&self, latency: Duration) -> Instant {
        // Before the first byte of a connection leaves, its handshake has travelled there and back.
        Instant::now().max(self.opened + 2 * latency) + latency
    }

    /// Takes all that the client has sent into transit.
    fn collect(&mut self, context: &mut Context<'_>) {
        let mut scratch = [0; 16 << 10];
        while !self.inbound.ended && self.inbound.bytes < CAPACITY {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = Pin::new(&mut self.socket).poll_read(context, &mut buffer);
            if read.is_pending() {
                return;
            }
            let due = self.due(self.state.latency());
            // A client that reset its connection is as gone as one that closed it: both are an empty parcel.
            self.inbound.push(due, buffer.filled());
        }
    }

    /// Sends what is due.
    fn pump(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(parcel) = self.outbound.parcels.front() {
            if parcel.due > Instant::now() {
                let due = parcel.due;
                self.wake_at(due, context);
                return Poll::Pending;
            }
            if parcel.bytes.is_empty() {
                ready!(Pin::new(&mut self.socket).poll_shutdown(context))?;
                self.outbound.parcels.pop_front();
            } else {
                let sent =
                    ready!(Pin::new(&mut self.socket).poll_write(context, &parcel.bytes[parcel.taken..]))?;
                self.outbound.take(sent);
            }
        }
        Poll::Ready(Ok(()))
    }

    fn wake_at(&mut self, due: Instant, context: &Context<'_>) {
        let now = Instant::now();
        if self.alarm.is_none_or(|alarm| due < alarm || alarm <= now) {
            self.alarm = Some(due);
            self.state.clock.wake_at(due, context.waker().clone());
        }
    }
}

impl AsyncRead for DelayedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        let passable = line.passable(context)?;
        let is_bare = passable && line.pump(context)?.is_ready();
        if is_bare && line.state.latency().is_zero() && line.inbound.is_empty() {
            return Pin::new(&mut line.socket).poll_read(context, buffer);
        }
        line.collect(context);
        if !passable {
            // Behind a black hole nobody hears of a close. For the tests' sake the limiter does, unless told not to.
            let noticed = line.inbound.ended && !line.state.keeps_ghosts();
            return if noticed {
                Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
            } else {
                Poll::Pending
            };
        }
        let Some(parcel) = line.inbound.parcels.front() else {
            // All has been delivered; the end, if it was, is delivered for ever.
            return if line.inbound.ended {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            };
        };
        if parcel.due > Instant::now() {
            let due = parcel.due;
            line.wake_at(due, context);
            return Poll::Pending;
        }
        let rest = &parcel.bytes[parcel.taken..];
        let taken = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..taken]);
        line.inbound.take(taken);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for DelayedStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let line = self.get_mut();
        let latency = line.state.latency();
        if line.passable(context)? {
            let sent = line.pump(context)?;
            if sent.is_ready() && latency.is_zero() {
                return Pin::new(&mut line.socket).poll_write(context, bytes);
            }
        }
        if line.outbound.bytes >= CAPACITY {
            return Poll::Pending;
        }
        line.outbound.push(Instant::now() + latency, bytes);
        // Only the alarm or the writable socket that this registers is of interest.
        if line.passable(context)? {
            let _ = line.pump(context)?;
        }
        Poll::Ready(Ok(bytes.len()))
    }

    /// Is done when everything has left.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        if line.outbound.is_empty() {
            return Pin::new(&mut line.socket).poll_flush(context);
        }
        if line.passable(context)? {
            line.pump(context)
        } else {
            Poll::Pending
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        if !line.outbound.ended {
            let due = Instant::now() + line.state.latency();
            line.outbound.push(due, &[]);
        }
        if line.passable(context)? {
            line.pump(context)
        } else {
            Poll::Pending
        }
    }
}

impl Drop for DelayedStream {
    fn drop(&mut self) {
        if self.flow.fate() == Fate::Over(Cut::Reset) {
            // If it cannot be reset any more, it is closed already.
            let _ = self.socket.set_zero_linger();
        }
    }
}

impl Transit {
    fn is_empty(&self) -> bool {
        self.parcels.is_empty() && !self.ended
    }

    fn push(&mut self, due: Instant, bytes: &[u8]) {
        self.ended = bytes.is_empty();
        self.bytes += bytes.len();
        self.parcels.push_back(Parcel {
            due,
            bytes: bytes.to_vec(),
            taken: 0,
        });
    }

    fn take(&mut self, count: usize) {
        self.bytes -= count;
        if let Some(parcel) = self.parcels.front_mut() {
            parcel.taken += count;
            if parcel.taken == parcel.bytes.len() {
                self.parcels.pop_front();
            }
        }
    }
}
