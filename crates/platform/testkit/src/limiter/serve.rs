//! Serves one client: startup, admission, relay, end.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsAcceptor;

use super::connection_state::{Cut, LinkState};
use super::delayed_stream::DelayedStream;
use super::fault::{Action, Passing};
use super::options::{CancelRequests, TlsSupport};
use super::pooler_kind::{Phase, PoolerKind};
use super::relay::{End, relay};
use super::state::{Admission, ConnectionGuard, SlotGuard, State};
use super::stream::{Client, Upstream};
use super::wire::{self, Opening};

/// What serving a client needs.
pub(super) struct Service {
    pub(super) state: Arc<State>,
    pub(super) upstream: Upstream,
    pub(super) acceptor: TlsAcceptor,
    /// The server's messages after a login, for clients that log in without a server connection.
    pub(super) greeting: OnceCell<Vec<u8>>,
}

impl Service {
    /// Serves one client to its end.
    pub(super) async fn serve(self: Arc<Self>, socket: TcpStream) {
        let guard = self.state.enter();
        // Its errors are those of a client or a server that disconnected, which the other side sees.
        let _ = socket.set_nodelay(true);
        let stream = DelayedStream::new(socket, Arc::clone(&guard.connection), Arc::clone(&self.state));
        let _ = self.converse(&guard, stream).await;
    }

    async fn converse(&self, guard: &ConnectionGuard, stream: DelayedStream) -> io::Result<()> {
        let mut client: Client = Box::new(stream);
        let mut is_secured = false;
        let startup = loop {
            match wire::read_opening(&mut client).await? {
                Opening::Ssl if is_secured || self.state.tls() == TlsSupport::Refused => {
                    say(&mut client, b"N").await?
                }
                Opening::Ssl => {
                    say(&mut client, b"S").await?;
                    client = Box::new(self.acceptor.accept(client).await?);
                    is_secured = true;
                }
                Opening::Gss => say(&mut client, b"N").await?,
                Opening::Cancel(packet) => return self.cancel(&packet).await,
                Opening::Startup(packet) => break packet,
            }
        };
        match self.state.faults.look(Passing::Startup) {
            Some(action @ (Action::Delay(_) | Action::Hold)) => self.state.faults.pause(&action).await,
            Some(action) => return self.act_on_startup(guard, client, action).await,
            None => {}
        }
        match self.state.admit() {
            Admission::Admitted(slot) => self.admit(guard, client, &startup, slot).await,
            Admission::Refused(refusal, phase) => refuse(client, &refusal.encode(), phase).await,
            Admission::Waits(timeout) => self.wait(guard, client, &startup, timeout).await,
        }
    }

    /// Carries out a fault that fired at a startup packet.
    async fn act_on_startup(
        &self,
        guard: &ConnectionGuard,
        mut client: Client,
        action: Action,
    ) -> io::Result<()> {
        let error = match &action {
            Action::Fatal(error) => error.encode(),
            Action::Error(error) => wire::error("ERROR", &error.code, &error.message),
            Action::Silence => {
                guard.connection.set(LinkState::Silent);
                return client.read_to_end(&mut Vec::new()).await.map(drop);
            }
            Action::Reset => {
                guard.cut(Cut::Reset);
                return Ok(());
            }
            Action::Cut | Action::Delay(_) | Action::Hold => return Ok(()),
        };
        let phase = self.state.refuse_startup();
        refuse(client, &error, phase).await
    }

    async fn cancel(&self, packet: &[u8]) -> io::Result<()> {
        if self.state.count_cancel() == CancelRequests::Dropped {
            return Ok(());
        }
        let mut server = self.upstream.connect().await?;
        server.write_all(packet).await?;
        // The server closes when it has handled the request, and the client waits for this side to close.
        server.read_to_end(&mut Vec::new()).await.map(drop)
    }

    async fn admit(
        &self,
        guard: &ConnectionGuard,
        client: Client,
        startup: &[u8],
        slot: SlotGuard,
    ) -> io::Result<()> {
        let mut server = self.upstream.connect().await?;
        server.write_all(startup).await?;
        self.pass(guard, client, server, &[]).await;
        drop(slot);
        Ok(())
    }

    /// Logs the client in and makes its first statement wait for a slot.
    async fn wait(
        &self,
        guard: &ConnectionGuard,
        mut client: Client,
        startup: &[u8],
        timeout: Duration,
    ) -> io::Result<()> {
        let greeting = self.greeting.get_or_try_init(|| self.log_in(startup)).await?;
        say(&mut client, greeting).await?;
        let mut first = Vec::new();
        if client.read_buf(&mut first).await? == 0 || first.starts_with(b"X") {
            return Ok(());
        }
        let mut queue = self.state.queue();
        let timer = tokio::time::sleep(timeout);
        tokio::pin!(timer);
        let slot = loop {
            tokio::select! {
                Ok(slot) = &mut queue => break slot,
                read = client.read_buf(&mut first) => if read? == 0 { return Ok(()) },
                () = &mut timer => {
                    self.state.count_refused();
                    let refusal = PoolerKind::PgBouncerWait(timeout).refusal(0);
                    say(&mut client, &refusal.encode()).await?;
                    return client.shutdown().await;
                }
            }
        };
        let mut server = self.upstream.connect_trusted().await?;
        server.write_all(startup).await?;
        wire::read_until_ready(&mut server).await?;
        self.pass(guard, client, server, &first).await;
        drop(slot);
        Ok(())
    }

    /// Logs in without a password and returns the server's messages.
    async fn log_in(&self, startup: &[u8]) -> io::Result<Vec<u8>> {
        let mut server = self.upstream.connect_trusted().await?;
        server.write_all(startup).await?;
        wire::read_until_ready(&mut server).await
    }

    /// Relays, and closes both sides before it returns.
    async fn pass<S>(&self, guard: &ConnectionGuard, mut client: Client, mut server: S, first: &[u8])
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let end = relay(&mut client, &mut server, &guard.connection, &self.state, first).await;
        drop(server);
        match end {
            End::ClientLeft => {}
            End::ServerLeft => close(&mut client).await,
            End::Fault(Action::Fatal(error)) => {
                let _ = client.write_all(&error.encode()).await;
                close(&mut client).await;
            }
            End::Fault(Action::Reset) => guard.cut(Cut::Reset),
            End::Fault(_) => guard.cut(Cut::Close),
        }
    }
}

async fn refuse(mut client: Client, error: &[u8], phase: Phase) -> io::Result<()> {
    if phase == Phase::AfterAuthentication {
        client.write_all(wire::AUTHENTICATION_OK).await?;
    }
    say(&mut client, error).await?;
    client.shutdown().await
}

async fn say(client: &mut Client, bytes: &[u8]) -> io::Result<()> {
    client.write_all(bytes).await?;
    client.flush().await
}

/// Closes once all has been delivered or the client has disconnected.
async fn close(client: &mut Client) {
    poll_fn(|context| {
        if Pin::new(&mut *client).poll_shutdown(context).is_ready() {
            return Poll::Ready(());
        }
        let mut scratch = [0; 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *client).poll_read(context, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    })
    .await;
}
