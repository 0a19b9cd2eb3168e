//! A relay beside each TLS connection, because sqlx 0.9.0 leaves its sockets without TCP_NODELAY.
//!
//! The last small writes of a TLS handshake then wait for acknowledgements that the server delays: 92 ms for a
//! fresh connection, where 5 ms would do without TLS (`make bench ARGS=tls`). sqlx gives no way to its socket, but it
//! speaks TLS over Unix sockets too. So it gets one of those, and a task passes its bytes on over TCP that
//! sends them at once. TLS stays between sqlx and the server, names and certificates included.
//!
//! The relay's socket also notices a server whose host has vanished, which would say nothing for ever: see `KEEPALIVE`.
//! A connection without TLS has the driver's own socket, without that; there the limit of each statement bounds the wait.
//!
//! sqlx's main branch sets the option again ([#4336](https://github.com/launchbadge/sqlx/pull/4336)). With
//! the first release that has it this file goes, and [`connect`] chooses an address and no more.

use std::io;
use std::sync::Arc;

use sqlx::Error as SqlxError;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::connect::address::AddressChooser;
use crate::connect::login::Connect;

/// The task beside a connection. Dropped, it ends, and the connection with it.
#[derive(Debug, Default)]
pub(crate) struct Relay(JoinSet<()>);

impl Relay {
    /// Waits until the last bytes are on their way and the socket to the server is closed.
    pub(crate) async fn ended(mut self) {
        while self.0.join_next().await.is_some() {}
    }

    /// Lets it live for as long as its connection does.
    pub(crate) fn detach(mut self) {
        self.0.detach_all();
    }
}

/// Whether a connection goes through a relay.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Route {
    /// Where TLS may be spoken over TCP.
    Fastest,
    /// Wherever there is TCP: dropping the relay ends a connection that the driver does not let go of.
    Relayed,
}

/// A socket to the server on which TLS has been asked for, for a connection that may be made later. Dropped, it is closed.
///
/// It takes three round trips off that connection. A server does not count it as a client, since it names no user before
/// the connection is wanted.
#[derive(Debug)]
pub(crate) struct PreparedSocket {
    dialling: JoinSet<io::Result<(TcpStream, u8)>>,
    wanted: oneshot::Receiver<()>,
}

impl PreparedSocket {
    /// Dials the server in a task; none where no relay is used. The connection made over the socket waits in its TLS
    /// handshake until the sender says that it is wanted.
    pub(crate) fn dial(
        options: &PgConnectOptions,
        addresses: &Arc<AddressChooser>,
    ) -> Option<(Self, oneshot::Sender<()>)> {
        #[cfg(target_os = "linux")]
        if linux::is_wanted(options, Route::Fastest) {
            let mut dialling = JoinSet::new();
            let (options, addresses) = (options.clone(), addresses.clone());
            dialling.spawn(async move { linux::dial(&addresses, &options).await });
            let (want, wanted) = oneshot::channel();
            return Some((Self { dialling, wanted }, want));
        }
        let _ = (options, addresses);
        None
    }

    /// The socket, with the server's answer; what waits for the connection to be wanted where it could not be had.
    #[cfg(target_os = "linux")]
    async fn ready(mut self) -> Result<(TcpStream, linux::Held), oneshot::Receiver<()>> {
        let wanted = self.wanted;
        match self.dialling.join_next().await {
            Some(Ok(Ok((server, answer)))) => Ok((server, linux::Held { answer, wanted })),
            _ => Err(wanted),
        }
    }
}

/// Connects, past a relay where the route says so.
///
/// # Errors
/// Those of sqlx. The server's address is looked up and dialled here, so they are told apart as well.
///
/// # Cancel safety
/// Dropping the future drops both sockets.
pub(crate) async fn connect<C>(
    options: &PgConnectOptions,
    addresses: &AddressChooser,
    route: Route,
    prepared: Option<PreparedSocket>,
    connect: Connect<'_, C>,
) -> Result<(C, Relay), SqlxError> {
    #[cfg(target_os = "linux")]
    if linux::is_wanted(options, route) {
        return linux::connect(options, addresses, prepared, connect).await;
    }
    drop(prepared);
    let connection = connect_directly(options, addresses, connect).await?;
    Ok((connection, Relay::default()))
}

/// Connects without a relay. With TLS sqlx needs the host's name for the certificate and tries the addresses in turn.
async fn connect_directly<C>(
    options: &PgConnectOptions,
    addresses: &AddressChooser,
    connect: Connect<'_, C>,
) -> Result<C, SqlxError> {
    let chosen = if speaks_tls(options) || is_local_socket(options) {
        None
    } else {
        addresses.choose(options.get_host(), options.get_port()).await?
    };
    let Some(address) = chosen else {
        return connect(options.clone()).await;
    };
    // Until it has succeeded: an attempt that is given up says as much against the address as one that fails.
    addresses.forget();
    let connection = connect(options.clone().host(&address.to_string())).await?;
    addresses.remember(address);
    Ok(connection)
}

fn speaks_tls(options: &PgConnectOptions) -> bool {
    !matches!(options.get_ssl_mode(), PgSslMode::Disable | PgSslMode::Allow)
}

fn is_local_socket(options: &PgConnectOptions) -> bool {
    options.get_socket().is_some() || options.get_host().starts_with('/')
}

/// Linux has names for sockets that are not files: they need no folder and leave nothing behind.
#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::time::Duration;

    use socket2::{SockRef, TcpKeepalive};
    use sqlx::Error as SqlxError;
    use sqlx::postgres::PgConnectOptions;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
    use tokio::net::{TcpStream, UnixListener, UnixStream};
    use tokio::sync::oneshot;

    use super::{PreparedSocket, Relay, Route};
    use crate::connect::address::AddressChooser;
    use crate::connect::login::Connect;

    /// A server whose host vanished is noticed within about a minute: the same times as the server has for its clients.
    const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    /// How long the server's host may leave what was sent to it unacknowledged.
    const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

    /// The message that asks for TLS, which is the first of a connection; the answer is one byte.
    const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    /// What a TLS message begins with: its kind, the version, and the length of the rest.
    const TLS_HEADER: usize = 5;

    pub(super) fn is_wanted(options: &PgConnectOptions, route: Route) -> bool {
        (route == Route::Relayed || super::speaks_tls(options)) && !super::is_local_socket(options)
    }

    pub(super) async fn connect<C>(
        options: &PgConnectOptions,
        addresses: &AddressChooser,
        prepared: Option<PreparedSocket>,
        connect: Connect<'_, C>,
    ) -> Result<(C, Relay), SqlxError> {
        // A name that begins with NUL is not a file. sqlx appends what PostgreSQL calls its sockets.
        let folder = format!("\0berth-{:016x}", fastrand::u64(..));
        let Ok(listener) = UnixListener::bind(format!("{folder}/.s.PGSQL.{}", options.get_port())) else {
            // Some sandbox has none of these: slower is better than not at all.
            return Ok((connect(options.clone()).await?, Relay::default()));
        };
        let (mut server, held) = match prepared {
            Some(prepared) => match prepared.ready().await {
                Ok((server, held)) => (server, Some(held)),
                Err(wanted) => {
                    wanted.await.map_err(|_| abandoned())?;
                    (connect_to(addresses, options).await?, None)
                }
            },
            None => (connect_to(addresses, options).await?, None),
        };
        let mut relay = Relay::default();
        relay.0.spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                // Any process of this machine may connect; the name is this relay's own until the driver has connected.
                if is_ours(&client) {
                    drop(listener);
                    if let Some(held) = held
                        && held.until_wanted(&mut client, &mut server).await.is_err()
                    {
                        return;
                    }
                    return pass(client, server).await;
                }
            }
        });
        let connection = connect(options.clone().socket(folder)).await?;
        Ok((connection, relay))
    }

    async fn connect_to(addresses: &AddressChooser, options: &PgConnectOptions) -> io::Result<TcpStream> {
        let server = addresses.connect(options.get_host(), options.get_port()).await?;
        server.set_nodelay(true)?;
        let socket = SockRef::from(&server);
        socket.set_tcp_keepalive(&KEEPALIVE)?;
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
        Ok(server)
    }

    /// Connects, and asks whether the server speaks TLS.
    pub(super) async fn dial(
        addresses: &AddressChooser,
        options: &PgConnectOptions,
    ) -> io::Result<(TcpStream, u8)> {
        let mut server = connect_to(addresses, options).await?;
        server.write_all(&SSL_REQUEST).await?;
        let answer = server.read_u8().await?;
        Ok((server, answer))
    }

    /// A connection that waits in its TLS handshake.
    #[derive(Debug)]
    pub(super) struct Held {
        /// The server's answer to the question for TLS.
        pub(super) answer: u8,
        pub(super) wanted: oneshot::Receiver<()>,
    }

    impl Held {
        /// Answers the driver's question, which the server has been asked already, lets its first TLS message pass, and
        /// waits. The second names the user.
        async fn until_wanted(self, client: &mut UnixStream, server: &mut TcpStream) -> io::Result<()> {
            client.read_exact(&mut [0; SSL_REQUEST.len()]).await?;
            client.write_u8(self.answer).await?;
            if self.answer == b'S' {
                let mut record = vec![0; TLS_HEADER];
                client.read_exact(&mut record).await?;
                let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
                record.resize(TLS_HEADER + length, 0);
                client.read_exact(&mut record[TLS_HEADER..]).await?;
                server.write_all(&record).await?;
            }
            self.wanted.await.map_err(|_| abandoned())
        }
    }

    fn abandoned() -> io::Error {
        io::Error::new(io::ErrorKind::ConnectionAborted, "the connection is not wanted")
    }

    /// A sandbox may not report the peer; then no other process can connect.
    fn is_ours(client: &UnixStream) -> bool {
        let pid = client.peer_cred().ok().and_then(|peer| peer.pid());
        pid.is_none_or(|pid| i32::try_from(std::process::id()) == Ok(pid))
    }

    /// Passes bytes both ways until either side has ended, and drops both sockets. What the server said before it
    /// closed waits for a client that speaks first, as it would in a socket of its own.
    async fn pass(client: UnixStream, server: TcpStream) {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        // The server's way first: its last words shall arrive, even where it takes no more of ours.
        tokio::select! {
            biased;
            _ended = copy(&mut from_server, &mut to_client) => {}
            _ended = copy(&mut from_client, &mut to_server) => return,
        }
        drop((from_server, to_server));
        let _ = to_client.shutdown().await;
        let _ = copy(&mut from_client, &mut sink()).await;
    }
}
