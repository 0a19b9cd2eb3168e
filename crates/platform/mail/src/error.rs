//! Errors of mails.

use std::io;

use lettre::address::AddressError;
use lettre::transport::smtp;

/// Why a mail cannot be made or sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The recipient or the sender is not an e-mail address.
    #[error("not an e-mail address")]
    Address(#[source] AddressError),
    /// The message cannot be written as SMTP requires it.
    #[error("cannot write the message: {0}")]
    Message(#[source] lettre::error::Error),
    /// The file `mail.root_certificate` cannot be read, or contains no certificate.
    #[error("cannot use mail.root_certificate: {0}")]
    RootCertificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// TLS cannot be set up.
    #[error("cannot set up TLS for mail: {0}")]
    Tls(#[source] smtp::Error),
    /// The server refused the mail, or cannot be reached.
    #[error("cannot send the mail: {0}")]
    Smtp(#[source] smtp::Error),
    /// The server did not finish within `mail.timeout`.
    #[error("cannot send the mail: no answer within mail.timeout")]
    Timeout,
    /// The file cannot be written.
    #[error("cannot write the mail into mail.folder: {0}")]
    File(#[source] io::Error),
}

impl Error {
    /// Whether the same mail will be refused again.
    ///
    /// A status from 500 on is permanent, except those about the login (530, 534, 535 and 538): the mail is not the reason,
    /// and it can be sent when the settings are corrected.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Address(_) | Self::Message(_) => true,
            Self::Smtp(error) => error.is_permanent() && !is_about_login(error),
            _ => false,
        }
    }
}

fn is_about_login(error: &smtp::Error) -> bool {
    let status = error.status().map(u16::from);
    matches!(status, Some(530 | 534 | 535 | 538))
}
