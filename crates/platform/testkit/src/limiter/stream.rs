//! The two ends of a relay.

use std::io;
use std::path::PathBuf;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// A client's connection, with or without TLS.
pub(super) type Client = Box<dyn Stream>;

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Where the limiter's own connections go.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    /// The server, or another pooler.
    pub(super) port: u16,
    /// PostgreSQL's Unix socket, where it asks for no password.
    pub(super) socket: PathBuf,
}

impl Upstream {
    pub(super) async fn connect(&self) -> io::Result<TcpStream> {
        let server = TcpStream::connect(("127.0.0.1", self.port)).await?;
        server.set_nodelay(true)?;
        Ok(server)
    }

    pub(super) async fn connect_trusted(&self) -> io::Result<UnixStream> {
        UnixStream::connect(&self.socket).await
    }
}
