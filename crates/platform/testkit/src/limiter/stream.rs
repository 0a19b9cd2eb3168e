//! The two ends of a relay.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

use crate::certificates::{Certificate, Certificates};

/// A client's connection, with or without TLS.
pub(super) type Client = Box<dyn Stream>;

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

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
