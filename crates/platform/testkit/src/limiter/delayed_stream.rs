//! The socket between a client and the limiter, with latency, black holes and cuts, below TLS.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::connection_state::{ConnectionState, Cut, LinkState};
use super::state::State;

/// How much is under way in one direction before the sender has to wait.
const CAPACITY: usize = 4 << 20;

/// A client's socket behind a simulated network.
///
/// What is read arrives, and what is written leaves, one latency later; any number of bytes can be under way.
/// With no latency and nothing under way it is the bare socket.
#[derive(Debug)]
pub(super) struct DelayedStream {
    socket: TcpStream,
    connection: Arc<ConnectionState>,
    state: Arc<State>,
    opened: Instant,
    inbound: DelayQueue,
    outbound: DelayQueue,
    wakeup: Option<Instant>,
    /// Whether the client has sent something since it was last sent something.
    asked: bool,
}

/// Bytes under way in one direction.
#[derive(Debug, Default)]
struct DelayQueue {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    ended: bool,
}

/// Some bytes, or an empty chunk for the end of them.
#[derive(Debug)]
struct Chunk {
    due: Instant,
    bytes: Vec<u8>,
    taken: usize,
}

impl DelayedStream {
    pub(super) fn new(
        socket: TcpStream,
        connection: Arc<ConnectionState>,
        state: Arc<State>,
    ) -> DelayedStream {
        let (inbound, outbound) = (DelayQueue::default(), DelayQueue::default());
        state.count_round_trip();
        DelayedStream {
            socket,
            connection,
            state,
            opened: Instant::now(),
            inbound,
            outbound,
            wakeup: None,
            asked: false,
        }
    }

    /// Registers for changes of the link and returns whether bytes pass.
    fn passable(&self, context: &Context<'_>) -> io::Result<bool> {
        self.connection.watch(context);
        match self.connection.link() {
            LinkState::Open => Ok(true),
            LinkState::Silent => Ok(false),
            LinkState::Closed(_) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    fn due(&self, latency: Duration) -> Instant {
        // Before the first byte of a connection leaves, its handshake has taken a round trip.
        Instant::now().max(self.opened + 2 * latency) + latency
    }

    /// Takes all that the client has sent into transit.
    fn receive(&mut self, context: &mut Context<'_>) {
        let mut scratch = [0; 16 << 10];
        while !self.inbound.ended && self.inbound.bytes < CAPACITY {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = Pin::new(&mut self.socket).poll_read(context, &mut buffer);
            if read.is_pending() {
                return;
            }
            self.asked |= !buffer.filled().is_empty();
            let due = self.due(self.state.latency());
            // A client that resets its connection ends it as one that closes it: both are an empty chunk.
            self.inbound.push(due, buffer.filled());
        }
    }

    /// Sends what is due.
    fn send_due(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(chunk) = self.outbound.chunks.front() {
            if chunk.due > Instant::now() {
                let due = chunk.due;
                self.wake_at(due, context);
                return Poll::Pending;
            }
            if chunk.bytes.is_empty() {
                ready!(Pin::new(&mut self.socket).poll_shutdown(context))?;
                self.outbound.chunks.pop_front();
            } else {
                self.state.count_answer(&mut self.asked);
                let sent =
                    ready!(Pin::new(&mut self.socket).poll_write(context, &chunk.bytes[chunk.taken..]))?;
                self.outbound.take(sent);
            }
        }
        Poll::Ready(Ok(()))
    }

    fn wake_at(&mut self, due: Instant, context: &Context<'_>) {
        let now = Instant::now();
        if self.wakeup.is_none_or(|wakeup| due < wakeup || wakeup <= now) {
            self.wakeup = Some(due);
            self.state.timer.wake_at(due, context.waker().clone());
        }
    }
}

impl AsyncRead for DelayedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let passable = stream.passable(context)?;
        let is_bare = passable && stream.send_due(context)?.is_ready();
        if is_bare && stream.state.latency().is_zero() && stream.inbound.is_empty() {
            let before = buffer.filled().len();
            let read = Pin::new(&mut stream.socket).poll_read(context, buffer);
            stream.asked |= buffer.filled().len() > before;
            return read;
        }
        stream.receive(context);
        if !passable {
            // A real black hole hides a close; the limiter notices it, so that slots are free after a test.
            return if stream.inbound.ended {
                Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
            } else {
                Poll::Pending
            };
        }
        let Some(chunk) = stream.inbound.chunks.front() else {
            // All has been delivered; the end is delivered again and again.
            return if stream.inbound.ended {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            };
        };
        if chunk.due > Instant::now() {
            let due = chunk.due;
            stream.wake_at(due, context);
            return Poll::Pending;
        }
        let rest = &chunk.bytes[chunk.taken..];
        let taken = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..taken]);
        stream.inbound.take(taken);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for DelayedStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        let latency = stream.state.latency();
        if stream.passable(context)? {
            let sent = stream.send_due(context)?;
            if sent.is_ready() && latency.is_zero() {
                stream.state.count_answer(&mut stream.asked);
                return Pin::new(&mut stream.socket).poll_write(context, bytes);
            }
        }
        if stream.outbound.bytes >= CAPACITY {
            return Poll::Pending;
        }
        stream.outbound.push(Instant::now() + latency, bytes);
        // The result does not matter: the call registers a wake-up or waits for the socket.
        if stream.passable(context)? {
            let _ = stream.send_due(context)?;
        }
        Poll::Ready(Ok(bytes.len()))
    }

    /// Is done when everything has left.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if stream.outbound.is_empty() {
            return Pin::new(&mut stream.socket).poll_flush(context);
        }
        if stream.passable(context)? {
            stream.send_due(context)
        } else {
            Poll::Pending
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if !stream.outbound.ended {
            let due = Instant::now() + stream.state.latency();
            stream.outbound.push(due, &[]);
        }
        if stream.passable(context)? {
            stream.send_due(context)
        } else {
            Poll::Pending
        }
    }
}

impl Drop for DelayedStream {
    fn drop(&mut self) {
        if self.connection.link() == LinkState::Closed(Cut::Reset) {
            // If it cannot be reset any more, it is closed already.
            let _ = self.socket.set_zero_linger();
        }
    }
}

impl DelayQueue {
    fn is_empty(&self) -> bool {
        self.chunks.is_empty() && !self.ended
    }

    fn push(&mut self, due: Instant, bytes: &[u8]) {
        self.ended = bytes.is_empty();
        self.bytes += bytes.len();
        self.chunks.push_back(Chunk {
            due,
            bytes: bytes.to_vec(),
            taken: 0,
        });
    }

    fn take(&mut self, count: usize) {
        self.bytes -= count;
        if let Some(chunk) = self.chunks.front_mut() {
            chunk.taken += count;
            if chunk.taken == chunk.bytes.len() {
                self.chunks.pop_front();
            }
        }
    }
}
