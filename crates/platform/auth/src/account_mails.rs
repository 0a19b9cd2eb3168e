//! The mails of accounts: who gets them, and what is in them.

use async_trait::async_trait;
use berth_database::Session;

use crate::{Account, Purpose, SubjectError};

/// Finds accounts for mails, and writes the mails; the service's.
#[async_trait]
pub trait AccountMails: Send + Sync {
    /// Finds the account with an e-mail address, whatever its case.
    ///
    /// # Errors
    ///
    /// The database's.
    async fn account(&self, session: &Session, email: &str) -> Result<Option<Account>, SubjectError>;

    /// Writes the mail in which a link leads to the page for the purpose.
    ///
    /// # Errors
    ///
    /// A template fails.
    fn write(&self, purpose: Purpose, link: &str)
    -> Result<Letter, Box<dyn std::error::Error + Send + Sync>>;
}

/// The content of a mail. It contains a token: it has no `Debug` that shows it.
pub struct Letter {
    /// The subject.
    pub subject: String,
    /// The mail as plain text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}

impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Letter").finish_non_exhaustive()
    }
}
