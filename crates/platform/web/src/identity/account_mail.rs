//! The job that sends the mails of accounts.

use std::sync::Arc;

use berth_auth::{AccountMails, Auth, Purpose};
use berth_jobs::{Job, JobError, JobOptions, OnConflict, Work};
use berth_mail::{Mail, Mailer};
use berth_service::Clock;
use serde::{Deserialize, Serialize};

/// Sends a mail with a link to an address, if an account has it. The request that stores it does not look, and so cannot
/// tell.
#[derive(Deserialize, Serialize)]
pub(crate) struct AccountMail {
    pub(crate) purpose: Purpose,
    pub(crate) email: String,
}

/// What the job needs.
#[derive(Clone)]
pub(crate) struct AccountMailer {
    pub(crate) auth: Auth,
    pub(crate) mails: Arc<dyn AccountMails>,
    pub(crate) mailer: Mailer,
    /// Where the pages are that the links open.
    pub(crate) public_url: String,
}

impl std::fmt::Debug for AccountMailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountMailer").finish_non_exhaustive()
    }
}

impl Job for AccountMail {
    const NAME: &'static str = "account_mail";
    type State = AccountMailer;

    /// A mail that waits is not stored twice.
    fn options(&self) -> JobOptions {
        let key = format!("{:?} {}", self.purpose, self.email);
        berth_mail::options().unique(key, OnConflict::Keep)
    }

    async fn run(self, state: &AccountMailer, work: &Work) -> Result<(), JobError> {
        let session = work.session();
        let Some(account) = state.mails.account(session, &self.email).await? else {
            return Ok(());
        };
        let mail = (self.purpose, &*self.email, work.id());
        let now = Clock::system().now();
        match state
            .auth
            .local()?
            .email_token(session, &account, mail, now)
            .await?
        {
            Some(token) => state.mailer.deliver(work, &self.mail(state, &token)?).await,
            None => Ok(()),
        }
    }
}

impl AccountMail {
    /// The token is behind `#`, so that a browser sends it to no server.
    fn mail(&self, state: &AccountMailer, token: &str) -> Result<Mail, JobError> {
        let page = match self.purpose {
            Purpose::VerifyEmail => "verify-email",
            Purpose::ResetPassword => "reset-password",
        };
        let link = format!("{}/{page}#token={token}", state.public_url);
        let letter = state.mails.write(self.purpose, &link)?;
        let mail = Mail::new(&self.email, letter.subject, letter.text);
        Ok(mail.map_err(JobError::permanent)?.html(letter.html))
    }
}
