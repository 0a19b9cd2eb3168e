//! A relay beside each TLS connection, because sqlx 0.9.0 leaves its sockets without TCP_NODELAY.
//!
//! The last small writes of a TLS handshake then wait for acknowledgements that the server delays: 92 ms for a
//! fresh connection, where 5 ms would do without TLS (`make bench ARGS=tls`). sqlx gives no way to its socket, but it
//! speaks TLS over Unix sockets too. So it gets one of those, and a task passes its bytes on over TCP that
//! sends them at once. TLS stays between sqlx and the server, names and certificates included.
//!
//! sqlx's main branch sets the option again ([#4336](https://github.com/launchbadge/sqlx/pull/4336)). With
//! the first release that has it this file goes, and [`connect`] chooses an address and no more.

use sqlx::Error as SqlxError;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
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
    connect: Connect<'_, C>,
) -> Result<(C, Relay), SqlxError> {
    #[cfg(target_os = "linux")]
    if linux::is_wanted(options, route) {
        return linux::connect(options, addresses, connect).await;
    }
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
    use sqlx::Error as SqlxError;
    use sqlx::postgres::PgConnectOptions;
    use tokio::io::{AsyncWriteExt, copy, sink};
    use tokio::net::{TcpStream, UnixListener, UnixStream};

    use super::{Relay, Route};
    use crate::connect::address::AddressChooser;
    use crate::connect::login::Connect;

    pub(super) fn is_wanted(options: &PgConnectOptions, route: Route) -> bool {
        (route == Route::Relayed || super::speaks_tls(options)) && !super::is_local_socket(options)
    }

    pub(super) async fn connect<C>(
        options: &PgConnectOptions,
        addresses: &AddressChooser,
        connect: Connect<'_, C>,
    ) -> Result<(C, Relay), SqlxError> {
        // A name that begins with NUL is not a file. sqlx appends what PostgreSQL calls its sockets.
        let folder = format!("\0berth-{:016x}", fastrand::u64(..));
        let Ok(listener) = UnixListener::bind(format!("{folder}/.s.PGSQL.{}", options.get_port())) else {
            // Some sandbox has none of these: slower is better than not at all.
            return Ok((connect(options.clone()).await?, Relay::default()));
        };
        let server = addresses.connect(options.get_host(), options.get_port()).await?;
        server.set_nodelay(true)?;
        let mut relay = Relay::default();
        relay.0.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // Any process of this machine may connect; the name is this relay's own until the driver has connected.
                if is_ours(&client) {
                    drop(listener);
                    return pass(client, server).await;
                }
            }
        });
        let connection = connect(options.clone().socket(folder)).await?;
        Ok((connection, relay))
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
