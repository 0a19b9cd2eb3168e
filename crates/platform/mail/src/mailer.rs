//! Sends mails.

use std::sync::Arc;

use lettre::message::Mailbox;
use uuid::Uuid;

use crate::transport::Transport;
use crate::{Error, Mail, Settings};

/// Sends mails, in the way of the settings. A clone is cheap and shares everything.
#[derive(Clone, Debug)]
pub struct Mailer(Arc<Sender>);

#[derive(Debug)]
struct Sender {
    from: Mailbox,
    transport: Transport,
}

impl Mailer {
    /// Makes a mailer. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`Error::Address`] for `mail.from`, [`Error::RootCertificate`] and [`Error::Tls`].
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        Ok(Self(Arc::new(Sender {
            from: settings.from.parse().map_err(Error::Address)?,
            transport: Transport::new(settings)?,
        })))
    }

    /// Sends a mail at once, for a job that makes it while it runs. Its `Message-ID` is made from `id`: give the job's, so that a
    /// mail that is sent twice can be recognised. End the session's transaction before, so that no connection is held.
    ///
    /// # Errors
    ///
    /// Why the mail is not sent; [`Error::is_permanent`] tells whether to try again.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, the mail may have been sent.
    pub async fn deliver(&self, id: Uuid, mail: &Mail) -> Result<(), Error> {
        self.0.transport.send(id, &self.0.from, mail).await
    }
}
