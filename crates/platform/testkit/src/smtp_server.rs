//! An SMTP server that keeps the mails it receives.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mail_parser::{Message, MessageParser};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use self::connection::Service;
use crate::certificates::{Certificate, Certificates};
use crate::free_port;

mod connection;

/// An SMTP server on 127.0.0.1 that keeps the mails it receives; it stops when it is dropped.
///
/// The protocol is the crate mailin's, so that a client is not tested against its own idea of SMTP.
#[derive(Debug)]
pub struct SmtpServer {
    port: u16,
    certificates: TempDir,
    received: Arc<Received>,
    task: AbortHandle,
}

/// How an [`SmtpServer`] is set up.
#[derive(Clone, Debug, Default)]
pub struct SmtpOptions {
    /// The port; by default a free one.
    pub port: Option<u16>,
    /// How connections are encrypted.
    pub encryption: Encryption,
    /// The certificate, for `localhost` and `127.0.0.1`.
    pub certificate: Certificate,
    /// The user and the password that it requires. It accepts them over TLS only.
    pub login: Option<(&'static str, &'static str)>,
}

/// How connections to an [`SmtpServer`] are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Not at all.
    #[default]
    None,
    /// After the command STARTTLS.
    StartTls,
    /// From the first byte.
    Tls,
}

/// A mail that an [`SmtpServer`] has received.
#[derive(Clone, Debug)]
pub struct ReceivedMail {
    /// The sender of the envelope.
    pub from: String,
    /// The recipients of the envelope.
    pub to: Vec<String>,
    /// The message with its headers, as it was sent.
    pub raw: String,
}

/// What the connections of one server share.
#[derive(Debug, Default)]
struct Received {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    mails: Vec<ReceivedMail>,
    /// How many recipients clients have named.
    recipients: usize,
    /// The status that each recipient is answered with, unless they are accepted.
    refusal: Option<u16>,
}

impl Received {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SmtpServer {
    /// Starts a server, which runs in the present runtime.
    ///
    /// # Panics
    ///
    /// When the port is taken.
    pub async fn start(options: SmtpOptions) -> SmtpServer {
        let folder = TempDir::new().expect("a folder for temporary files");
        let certificates = Certificates {
            folder: folder.path().to_owned(),
        };
        certificates.write();
        let port = options.port.unwrap_or_else(free_port);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).await.expect("the port is free");
        let received = Arc::new(Received::default());
        let acceptor = certificates.acceptor(options.certificate);
        let service = Arc::new(Service::new(options, acceptor, received.clone()));
        let accept = async move {
            while let Ok((socket, client)) = listener.accept().await {
                // A client that breaks off has its reasons.
                let service = service.clone();
                tokio::spawn(async move { drop(service.serve(socket, client.ip()).await) });
            }
        };
        SmtpServer {
            port,
            certificates: folder,
            received,
            task: tokio::spawn(accept).abort_handle(),
        }
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the file with the certificate of the authority that signed the trusted certificate.
    pub fn authority(&self) -> PathBuf {
        let folder = self.certificates.path().to_owned();
        Certificates { folder }.authority(Certificate::Trusted)
    }

    /// Answers each recipient with this status from now on, such as 550 or 451; `None` accepts them.
    pub fn refuse_recipients(&self, status: Option<u16>) {
        self.received.lock().refusal = status;
    }

    /// Returns how many recipients clients have named, accepted or not.
    pub fn recipients(&self) -> usize {
        self.received.lock().recipients
    }

    /// Returns the mails received so far, oldest first.
    pub fn mails(&self) -> Vec<ReceivedMail> {
        self.received.lock().mails.clone()
    }

    /// Waits for at most 10 seconds until `number` mails have been received, and returns the last one.
    ///
    /// # Panics
    ///
    /// When the time is over.
    #[track_caller]
    pub fn mail(&self, number: usize) -> impl Future<Output = ReceivedMail> {
        let received = self.received.clone();
        let arrived = crate::eventually({
            let received = received.clone();
            async move || received.lock().mails.len() >= number
        });
        async move {
            arrived.await;
            received.lock().mails[number - 1].clone()
        }
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ReceivedMail {
    /// Returns a header, decoded.
    pub fn header(&self, name: &str) -> Option<String> {
        let message = self.parsed();
        let value = message.header_raw(name)?.trim().to_owned();
        let decoded = message.header(name).and_then(|value| value.as_text());
        Some(decoded.map_or(value, str::to_owned))
    }

    /// Returns the part with plain text, decoded.
    pub fn text(&self) -> Option<String> {
        self.part("text/plain")
    }

    /// Returns the part with HTML, decoded.
    pub fn html(&self) -> Option<String> {
        self.part("text/html")
    }

    fn part(&self, wanted: &str) -> Option<String> {
        use mail_parser::MimeHeaders;

        let message = self.parsed();
        let is_wanted = |part: &&mail_parser::MessagePart<'_>| {
            let found = part.content_type();
            found
                .is_some_and(|found| format!("{}/{}", found.ctype(), found.subtype().unwrap_or("")) == wanted)
        };
        let part = message.parts.iter().find(is_wanted)?;
        part.text_contents().map(str::to_owned)
    }

    fn parsed(&self) -> Message<'_> {
        let parsed = MessageParser::default().parse(&self.raw);
        parsed.expect("a message with headers")
    }
}
