//! Certificates of a cluster, signed by an authority that its clients trust and by one that they do not.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

/// Which authority signed a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificate {
    /// [`Cluster::authority`](crate::Cluster::authority) signed it, for `localhost` and `127.0.0.1`.
    #[default]
    Trusted,
    /// [`Cluster::untrusted_authority`](crate::Cluster::untrusted_authority) signed it, for the same names.
    Untrusted,
}

/// The folder with the certificates of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    pub(crate) folder: PathBuf,
}

impl Certificates {
    /// Writes two authorities, each with a certificate for `localhost` and `127.0.0.1`.
    pub(crate) fn write(&self) {
        for name in [Certificate::Trusted.name(), Certificate::Untrusted.name()] {
            write(&self.folder, name);
        }
    }

    /// Returns the path of the authority's own certificate.
    pub(crate) fn authority(&self, which: Certificate) -> PathBuf {
        self.folder.join(format!("{}-ca.pem", which.name()))
    }

    /// Returns the path of the server's certificate.
    pub(crate) fn chain(&self, which: Certificate) -> PathBuf {
        self.folder.join(format!("{}.pem", which.name()))
    }

    /// Returns the path of the server's key.
    pub(crate) fn key(&self, which: Certificate) -> PathBuf {
        self.folder.join(format!("{}.key", which.name()))
    }

    /// Returns an acceptor of TLS with the server's certificate.
    pub(crate) fn acceptor(&self, which: Certificate) -> TlsAcceptor {
        let read = |path: &Path| fs::read(path).expect("the certificates can be read");
        let chain = CertificateDer::from_pem_slice(&read(&self.chain(which))).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(&read(&self.key(which))).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring knows TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)
            .expect("the key is that of the certificate");
        TlsAcceptor::from(Arc::new(config))
    }
}

impl Certificate {
    fn name(self) -> &'static str {
        match self {
            Certificate::Trusted => "trusted",
            Certificate::Untrusted => "untrusted",
        }
    }
}

fn write(folder: &Path, name: &str) {
    let file = |suffix: &str, text: &str| {
        fs::write(folder.join(format!("{name}{suffix}")), text).expect("the folder can be written");
    };
    let key = KeyPair::generate().expect("a key pair");
    let mut params = CertificateParams::new(Vec::new()).expect("no names, none wrong");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let title = format!("testkit's {name} authority");
    params.distinguished_name.push(DnType::CommonName, title);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).expect("signed by its own key");
    file("-ca.pem", &certificate.pem());

    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key pair");
    let names = ["localhost", "127.0.0.1"].map(String::from);
    let params = CertificateParams::new(names).expect("valid names");
    let certificate = params.signed_by(&key, &issuer).expect("signed by the authority");
    file(".pem", &certificate.pem());
    file(".key", &key.serialize_pem());
}
