//! The way of one client: opening, admission, relay, end.

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

use super::connection_state::{Cut, Fate};
use super::delayed_stream::DelayedStream;
use super::fault::{Action, Passing};
use super::options::CancelRequests;
use super::pooler_kind::{Phase, PoolerKind};
use super::relay::{End, relay};
use super::state::{Admission, Entry, Place, State};
use super::stream::{Client, Upstream};
use super::wire::{self, Opening};

/// All that serving a client takes.
pub(super) struct Service {
    pub(super) state: Arc<State>,
    pub(super) upstream: Upstream,
    pub(super) acceptor: TlsAcceptor,
    /// What a client hears that is let in without a server connection: the server's greeting to another one.
    pub(super) greeting: OnceCell<Vec<u8>>,
}

impl Service {
    /// Serves one client to its end.
    pub(super) async fn serve(self: Arc<Self>, socket: TcpStream) {
        let entry = self.state.enter();
        // The errors of this conversation are those of a client or a server that left, which is no fault here.
        let _ = socket.set_nodelay(true);
        let line = DelayedStream::new(socket, Arc::clone(&entry.flow), Arc::clone(&self.state));
        let _ = self.converse(&entry, line).await;
    }

    async fn converse(&self, entry: &Entry, line: DelayedStream) -> io::Result<()> {
        let mut client = Client::Plain(line);
        let startup = loop {
            match wire::read_opening(&mut client).await? {
                Opening::Ssl if self.state.refuses_tls() || client.is_secured() => {
                    say(&mut client, b"N").await?
                }
                Opening::Ssl => {
                    say(&mut client, b"S").await?;
                    client = client.secured(&self.acceptor).await?;
                }
                Opening::Gss => say(&mut client, b"N").await?,
                Opening::Cancel(packet) => return self.cancel(&packet).await,
                Opening::Startup(packet) => break packet,
            }
        };
        match self.state.faults.look(Passing::Startup) {
            Some(action @ (Action::Delay(_) | Action::Hold)) => self.state.faults.pause(&action).await,
            Some(action) => return self.strike_startup(entry, client, action).await,
            None => {}
        }
        match self.state.admit() {
            Admission::Admitted(place) => self.admit(entry, client, &startup, place).await,
            Admission::Refused(refusal, phase) => refuse(client, &refusal.encode(), phase).await,
            Admission::Waits(timeout) => self.wait(entry, client, &startup, timeout).await,
        }
    }

    /// Does to a client that sent its startup packet what a fault says.
    async fn strike_startup(&self, entry: &Entry, mut client: Client, action: Action) -> io::Result<()> {
        let error = match &action {
            Action::Fatal(error) => error.encode(),
            Action::Error(error) => wire::error("ERROR", &error.code, &error.message),
            Action::Silence => {
                entry.flow.set(Fate::Silent);
                return client.read_to_end(&mut Vec::new()).await.map(drop);
            }
            Action::Reset => {
                entry.cut(Cut::Reset);
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
        // The server closes when it has passed the request on, and the client waits for our close.
        server.read_to_end(&mut Vec::new()).await.map(drop)
    }

    async fn admit(&self, entry: &Entry, client: Client, startup: &[u8], place: Place) -> io::Result<()> {
        let mut server = self.upstream.connect().await?;
        server.write_all(startup).await?;
        self.pass(entry, client, server, &[]).await;
        drop(place);
        Ok(())
    }

    /// Lets the client in and makes its first statement wait for a place.
    async fn wait(
        &self,
        entry: &Entry,
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
        let place = loop {
            tokio::select! {
                Ok(place) = &mut queue => break place,
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
        self.pass(entry, client, server, &first).await;
        drop(place);
        Ok(())
    }

    /// Logs in without a password, for what the server says then.
    async fn log_in(&self, startup: &[u8]) -> io::Result<Vec<u8>> {
        let mut server = self.upstream.connect_trusted().await?;
        server.write_all(startup).await?;
        wire::read_until_ready(&mut server).await
    }

    /// Relays, and closes both sides before it returns.
    async fn pass<S>(&self, entry: &Entry, mut client: Client, mut server: S, first: &[u8])
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let end = relay(&mut client, &mut server, &entry.flow, &self.state, first).await;
        drop(server);
        match end {
            End::ClientLeft => {}
            End::ServerLeft => close(&mut client).await,
            End::Struck(Action::Fatal(error)) => {
                let _ = client.write_all(&error.encode()).await;
                close(&mut client).await;
            }
            End::Struck(Action::Reset) => entry.cut(Cut::Reset),
            End::Struck(_) => entry.cut(Cut::Close),
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

/// Closes once all has been delivered, or the client has left before.
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
