//! Sends mails.

use std::sync::Arc;

use berth_database::Session;
use berth_jobs::{JobError, Jobs, Work};
use lettre::message::Mailbox;
use uuid::Uuid;

use crate::transport::Transport;
use crate::{Error, Mail, SendMail, Settings};

/// Sends mails, in the way of the settings. A clone is cheap and shares everything.
#[derive(Clone, Debug)]
pub struct Mailer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    from: Mailbox,
    transport: Transport,
    jobs: Jobs,
}

impl Mailer {
    /// Makes a mailer. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`Error::Address`] for `mail.from`, [`Error::RootCertificate`] and [`Error::Tls`].
    pub fn new(settings: &Settings, jobs: Jobs) -> Result<Self, Error> {
        Ok(Self(Arc::new(Inner {
            from: settings.from.parse().map_err(Error::Address)?,
            transport: Transport::new(settings)?,
            jobs,
        })))
    }

    /// Stores a mail in the session's transaction. A worker sends it after the commit, and not at all after a rollback.
    ///
    /// The content is in the table `jobs` until the job is deleted. A mail with a secret, such as a token, is made by a job of
    /// its own, which calls [`deliver`](Self::deliver).
    ///
    /// Slot cost: one statement of the session.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn send(&self, session: &Session, mail: Mail) -> Result<(), berth_database::Error> {
        self.0.jobs.enqueue(session, SendMail(mail)).await.map(drop)
    }

    /// Sends a mail now, for a job that makes it. Commits the job's session before, so that no connection is held.
    ///
    /// The `Message-ID` is made from the job's id: a mail that is sent twice can be recognised.
    ///
    /// # Errors
    ///
    /// A permanent one where the same mail would be refused again, as by a status of 550, and one that may pass otherwise.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, the mail may have been sent.
    pub async fn deliver(&self, work: &Work, mail: &Mail) -> Result<(), JobError> {
        work.session().commit().await?;
        let sent = self.transmit(work.id(), mail).await;
        sent.map_err(|error| match error.is_permanent() {
            true => JobError::permanent(error),
            false => JobError::from(error),
        })
    }

    /// Sends a mail now, outside of a job. Its `Message-ID` is made from `id`. Let no session hold a connection meanwhile.
    ///
    /// # Errors
    ///
    /// Why the mail is not sent; [`Error::is_permanent`] says whether trying again is of use.
    ///
    /// # Cancel safety
    ///
    /// As [`deliver`](Self::deliver).
    pub async fn transmit(&self, id: Uuid, mail: &Mail) -> Result<(), Error> {
        self.0.transport.send(id, &self.0.from, mail).await
    }
}
