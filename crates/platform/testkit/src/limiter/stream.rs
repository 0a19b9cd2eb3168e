//! The two ends of a relay.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};
use tokio_rustls::server::TlsStream;

use super::delayed_stream::DelayedStream;
use crate::certificates::{Certificate, Certificates};

/// A client, with or without TLS.
#[derive(Debug)]
pub(super) enum Client {
    Plain(DelayedStream),
    Secured(Box<TlsStream<DelayedStream>>),
}

impl Client {
    /// Answers a TLS handshake.
    ///
    /// # Errors
    ///
    /// When the client goes, or trusts no such certificate, or has TLS already.
    pub(super) async fn secured(self, acceptor: &TlsAcceptor) -> io::Result<Client> {
        match self {
            Client::Plain(stream) => Ok(Client::Secured(Box::new(acceptor.accept(stream).await?))),
            Client::Secured(_) => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    /// Whether it has TLS.
    pub(super) fn is_secured(&self) -> bool {
        matches!(self, Client::Secured(_))
    }
}

/// Returns an acceptor with the cluster's trusted or untrusted certificate.
pub(super) fn acceptor(certificates: &Certificates, which: Certificate) -> TlsAcceptor {
    let read = |path: &Path| fs::read(path).expect("the cluster's certificates can be read");
    let chain = CertificateDer::from_pem_slice(&read(&certificates.chain(which))).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(&read(&certificates.key(which))).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring knows TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .expect("the key is that of the certificate");
    TlsAcceptor::from(Arc::new(config))
}

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

impl AsyncRead for Client {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Client::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Client::Secured(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Client {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Client::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Client::Secured(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Client::Plain(stream) => Pin::new(stream).poll_flush(context),
            Client::Secured(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Client::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Client::Secured(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
