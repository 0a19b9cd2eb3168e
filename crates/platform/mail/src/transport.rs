//! Transports: SMTP, files, or the log.

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls as SmtpTls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use uuid::Uuid;

use crate::settings::{Settings, Tls, TransportKind};
use crate::{Error, Mail};

/// A way to send mails.
#[derive(Debug)]
pub(crate) enum Transport {
    Log,
    File(PathBuf),
    Smtp {
        server: AsyncSmtpTransport<Tokio1Executor>,
        timeout: Duration,
    },
}

impl Transport {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        match settings.transport {
            TransportKind::Log => Ok(Self::Log),
            TransportKind::File => Ok(Self::File(settings.folder.clone())),
            TransportKind::Smtp => smtp(settings),
        }
    }

    /// Sends a mail, and returns when the server has taken it over.
    pub(crate) async fn send(&self, id: Uuid, from: &Mailbox, mail: &Mail) -> Result<(), Error> {
        let message = mail.message(id, from)?;
        match self {
            Self::Log => {
                tracing::info!(mail.id = %id, "a mail, by transport \"log\":\n{}", mail.shown());
                Ok(())
            }
            Self::File(folder) => write(folder.clone(), id, message).await,
            Self::Smtp { server, timeout } => {
                let sent = tokio::time::timeout(*timeout, server.send(message)).await;
                sent.map_err(|_| Error::Timeout)?.map_err(Error::Smtp).map(drop)
            }
        }
    }
}

fn smtp(settings: &Settings) -> Result<Transport, Error> {
    let host = settings.host.clone().unwrap_or_default();
    let mut server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&host)
        .port(settings.port)
        .timeout(Some(settings.timeout))
        .tls(match settings.tls {
            Tls::StartTls => SmtpTls::Required(tls(settings, host)?),
            Tls::Implicit => SmtpTls::Wrapper(tls(settings, host)?),
            Tls::None => SmtpTls::None,
        });
    if let (Some(user), Some(password)) = (&settings.user, &settings.password) {
        server = server.credentials(Credentials::new(user.clone(), password.reveal().to_owned()));
    }
    Ok(Transport::Smtp {
        server: server.build(),
        timeout: settings.timeout,
    })
}

fn tls(settings: &Settings, host: String) -> Result<TlsParameters, Error> {
    let mut tls = TlsParameters::builder(host);
    if let Some(file) = &settings.root_certificate {
        let pem = std::fs::read(file).map_err(|error| Error::RootCertificate(error.into()))?;
        let authority = Certificate::from_pem(&pem);
        tls = tls.add_root_certificate(authority.map_err(|error| Error::RootCertificate(error.into()))?);
    }
    tls.build().map_err(Error::Tls)
}

/// Writes `{id}.eml`. The same mail sent again replaces its file.
async fn write(folder: PathBuf, id: Uuid, message: Message) -> Result<(), Error> {
    let write = move || {
        std::fs::create_dir_all(&folder)?;
        let unfinished = folder.join(format!(".{id}.eml"));
        std::fs::write(&unfinished, message.formatted())?;
        std::fs::rename(unfinished, folder.join(format!("{id}.eml")))
    };
    let written = tokio::task::spawn_blocking(write).await;
    written
        .map_err(std::io::Error::other)
        .flatten()
        .map_err(Error::File)
}
