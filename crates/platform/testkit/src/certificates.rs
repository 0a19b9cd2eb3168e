//! Certificates of a cluster: its own authority, and a stranger's.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// Where the certificates of a cluster lie.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// The certificates in `folder`, which may be yet to be written.
    pub(crate) fn new(folder: PathBuf) -> Certificates {
        Certificates { folder }
    }

    /// Writes two authorities, each with a certificate for `localhost` and `127.0.0.1`.
    pub(crate) fn write(&self) {
        for name in ["own", "stranger"] {
            authority(&self.folder, name);
        }
    }

    /// The certificate of the authority that signed for the servers, or of one that did not.
    pub(crate) fn authority(&self, trusted: bool) -> PathBuf {
        self.folder.join(format!("{}-ca.pem", name(trusted)))
    }

    /// The server's certificate.
    pub(crate) fn chain(&self, trusted: bool) -> PathBuf {
        self.folder.join(format!("{}.pem", name(trusted)))
    }

    /// The server's key.
    pub(crate) fn key(&self, trusted: bool) -> PathBuf {
        self.folder.join(format!("{}.key", name(trusted)))
    }
}

fn name(trusted: bool) -> &'static str {
    if trusted { "own" } else { "stranger" }
}

fn authority(folder: &Path, name: &str) {
    let key = KeyPair::generate().expect("a key pair");
    let mut params = CertificateParams::new(Vec::new()).expect("no names, none wrong");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, format!("testkit's {name} authority"));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).expect("signed by its own key");
    write(&folder.join(format!("{name}-ca.pem")), &certificate.pem());

    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key pair");
    let names = ["localhost", "127.0.0.1"].map(String::from);
    let params = CertificateParams::new(names).expect("valid names");
    let certificate = params.signed_by(&key, &issuer).expect("signed by the authority");
    write(&folder.join(format!("{name}.pem")), &certificate.pem());
    write(&folder.join(format!("{name}.key")), &key.serialize_pem());
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("the folder of the certificates can be written");
}
