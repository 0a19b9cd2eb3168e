//! Passes bytes between a client and its server connection, and shows its messages to the faults.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection_state::{ConnectionState, LinkState};
use super::fault::{Action, Passing, Sender};
use super::state::State;
use super::wire;

const BUFFER: usize = 16 << 10;

/// Why a relay ended.
#[derive(Debug)]
pub(super) enum End {
    /// The client closed, or was cut.
    ClientLeft,
    /// The server closed.
    ServerLeft,
    /// A fault fired.
    Fault(Action),
}

/// Passes bytes both ways until one side is done; `first` goes to the server before what the client sends.
pub(super) async fn relay<C, S>(
    client: &mut C,
    server: &mut S,
    connection: &ConnectionState,
    state: &State,
    first: &[u8],
) -> End
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let observer = Observer { connection, state };
    let mut upward = Direction::new(Sender::Client);
    let mut downward = Direction::new(Sender::Server);
    upward.feed(first, &observer);
    std::future::poll_fn(|context| {
        if let Poll::Ready(ended) = downward.poll(context, server, client, &observer) {
            return Poll::Ready(ended);
        }
        upward.poll(context, client, server, &observer)
    })
    .await
}

/// The connection's and the limiter's state, for the messages that pass.
#[derive(Debug)]
struct Observer<'a> {
    connection: &'a ConnectionState,
    state: &'a State,
}

/// One direction.
///
/// `sent <= cleared <= filled` are positions in the buffer; `next`, where the next message begins, may be beyond.
struct Direction {
    sender: Sender,
    buffer: Vec<u8>,
    sent: usize,
    cleared: usize,
    filled: usize,
    next: usize,
    unflushed: bool,
    fired: Option<Action>,
    /// Ends when the message before `next` may be sent.
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    statements: u64,
}

impl Direction {
    fn new(sender: Sender) -> Direction {
        let buffer = vec![0; BUFFER];
        Direction {
            sender,
            buffer,
            sent: 0,
            cleared: 0,
            filled: 0,
            next: 0,
            unflushed: false,
            fired: None,
            pause: None,
            statements: 0,
        }
    }

    fn feed(&mut self, bytes: &[u8], observer: &Observer<'_>) {
        self.buffer.resize(self.buffer.len().max(bytes.len()), 0);
        self.buffer[..bytes.len()].copy_from_slice(bytes);
        self.filled = bytes.len();
        self.inspect(observer);
    }

    fn poll<R, W>(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        observer: &Observer<'_>,
    ) -> Poll<End>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            if let Some(end) = ready!(self.pass(context, reader, writer, observer)) {
                return Poll::Ready(end);
            }
        }
    }

    /// Sends what may be sent and reads once.
    fn pass<R, W>(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        observer: &Observer<'_>,
    ) -> Poll<Option<End>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        if self.sender == Sender::Client && observer.connection.link() == LinkState::Silent {
            // Nothing more reaches the server until the link changes or the client closes.
            observer.connection.watch(context);
            if self.sent < self.cleared {
                return Poll::Pending;
            }
        }
        if ready!(self.send(context, writer, observer)).is_err() {
            return Poll::Ready(Some(self.end_of_writer()));
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
            self.inspect(observer);
            return Poll::Ready(None);
        }
        if let Some(action) = self.fired.take_if(|_| !self.unflushed) {
            if action != Action::Silence {
                return Poll::Ready(Some(End::Fault(action)));
            }
            observer.connection.set(LinkState::Silent);
            self.skip_messages();
            return Poll::Ready(None);
        } else if self.fired.is_some() {
            return Poll::Pending;
        }
        self.make_room();
        let mut free = ReadBuf::new(&mut self.buffer[self.filled..]);
        let result = ready!(Pin::new(reader).poll_read(context, &mut free));
        let read = free.filled().len();
        if read == 0 || result.is_err() {
            return Poll::Ready(Some(self.end_of_reader()));
        }
        self.filled += read;
        self.inspect(observer);
        Poll::Ready(None)
    }

    /// Sends what may be sent.
    fn send<W>(
        &mut self,
        context: &mut Context<'_>,
        writer: &mut W,
        observer: &Observer<'_>,
    ) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
    {
        while self.sent < self.cleared {
            let bytes = &self.buffer[self.sent..self.cleared];
            let sent = ready!(Pin::new(&mut *writer).poll_write(context, bytes))?;
            self.sent += sent;
            self.unflushed = true;
            observer.state.count_bytes(self.sender, sent);
        }
        if self.unflushed {
            // Not waited for: bytes that are delayed must not stop those after them.
            self.unflushed = Pin::new(writer).poll_flush(context)?.is_pending();
        }
        Poll::Ready(Ok(()))
    }

    fn end_of_reader(&self) -> End {
        if self.sender == Sender::Client {
            End::ClientLeft
        } else {
            End::ServerLeft
        }
    }

    fn end_of_writer(&self) -> End {
        if self.sender == Sender::Client {
            End::ServerLeft
        } else {
            End::ClientLeft
        }
    }

    /// Follows the messages and clears them for sending; while faults are armed, only whole ones, one by one.
    fn inspect(&mut self, observer: &Observer<'_>) {
        let each = observer.state.faults.watch_each_message();
        let mut last = None;
        while let Some(end) = self.end_of_message() {
            if each && end > self.filled {
                break;
            }
            let tag = self.buffer[self.next];
            self.statements += u64::from(self.sender == Sender::Client && matches!(tag, b'Q' | b'P'));
            if each && !self.show(end, observer) {
                break;
            }
            last = Some(tag);
            self.next = self.end_of_message().unwrap_or(end);
        }
        if self.pause.is_none() {
            self.cleared = self.next.min(self.filled);
        }
        match self.sender {
            Sender::Client => observer.connection.asked(),
            // ReadyForQuery with nothing behind it answers all requests that the client has sent.
            Sender::Server if last == Some(b'Z') && self.next <= self.filled => {
                observer.connection.answered()
            }
            Sender::Server => {}
        }
    }

    /// Shows the whole message at `next` to the faults; returns whether it passes, perhaps in other words.
    fn show(&mut self, end: usize, observer: &Observer<'_>) -> bool {
        let faults = &observer.state.faults;
        let message = &self.buffer[self.next..end];
        let is_statement = matches!(message[0], b'Q' | b'P');
        let action = faults.look(Passing::Message {
            sender: self.sender,
            bytes: message,
            is_first_statement: is_statement && self.statements == 1,
        });
        let replacement = match action {
            None if self.sender == Sender::Server => faults.texts.replaced(message),
            None => None,
            Some(Action::Error(error)) => Some(faults.texts.failing(message, error)),
            Some(action @ (Action::Delay(_) | Action::Hold)) => {
                self.pause = Some(Box::pin(faults.pause(&action)));
                self.cleared = self.next;
                self.next = end;
                return false;
            }
            Some(action) => {
                self.fired = Some(action);
                return false;
            }
        };
        if let Some(replacement) = replacement {
            self.filled = self.filled - (end - self.next) + replacement.len();
            self.buffer.splice(self.next..end, replacement);
        }
        true
    }

    /// Where the message at `next` ends, if its head is here.
    fn end_of_message(&self) -> Option<usize> {
        let head = self.buffer[..self.filled].get(self.next..self.next.checked_add(5)?)?;
        Some(self.next + 1 + wire::number(&head[1..]).max(4) as usize)
    }

    fn skip_messages(&mut self) {
        while let Some(end) = self.end_of_message() {
            self.next = end;
        }
        self.cleared = self.next.min(self.filled);
    }

    /// Makes room to read into.
    fn make_room(&mut self) {
        if self.sent > 0 && (self.sent == self.filled || self.filled == self.buffer.len()) {
            self.buffer.copy_within(self.sent..self.filled, 0);
            self.filled -= self.sent;
            self.next -= self.sent;
            (self.sent, self.cleared) = (0, 0);
        }
        if self.filled == self.buffer.len() {
            self.buffer.resize(2 * self.filled, 0);
        }
    }
}
