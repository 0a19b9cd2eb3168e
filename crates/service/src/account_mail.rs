//! The mails of an account: to verify an address, and to reset a password. Their texts are in `templates`.

use askama::Template;
use berth_auth::{Auth, Purpose};
use berth_jobs::{Job, JobError, JobOptions, OnConflict, Work};
use berth_mail::{Mail, Mailer};
use serde::{Deserialize, Serialize};

use crate::Services;

/// Sends a mail to an address if an account has it. The response does not reveal whether one does.
#[derive(Debug, Deserialize, Serialize)]
pub struct AccountMail {
    pub(crate) purpose: Purpose,
    pub(crate) email: String,
}

/// What these jobs need.
#[derive(Clone, Debug)]
pub struct AccountMails {
    /// Finds the account.
    pub services: Services,
    /// Makes the token.
    pub auth: Auth,
    /// Sends the mail.
    pub mailer: Mailer,
    /// Where the pages are that the links open.
    pub public_url: String,
}

impl Job for AccountMail {
    const NAME: &'static str = "account_mail";
    type State = AccountMails;

    /// A mail that waits is not asked for twice.
    fn options(&self) -> JobOptions {
        let key = format!("{:?} {}", self.purpose, self.email);
        berth_mail::options().unique(key, OnConflict::Keep)
    }

    async fn run(self, state: &AccountMails, work: &Work) -> Result<(), JobError> {
        let users = state.services.users(work.session());
        let mail = (self.purpose, &*self.email, work.id());
        let (local, now) = (state.auth.local()?, state.services.clock().now());
        match local.email_token(work.session(), &users, mail, now).await? {
            Some(token) => {
                state
                    .mailer
                    .deliver(work, &self.mail(&state.public_url, &token)?)
                    .await
            }
            None => Ok(()),
        }
    }
}

impl AccountMail {
    /// The token is behind `#`, so that a browser sends it to no server.
    fn mail(&self, public_url: &str, token: &str) -> Result<Mail, JobError> {
        let (subject, page) = match self.purpose {
            Purpose::VerifyEmail => ("Confirm your e-mail address", "verify-email"),
            Purpose::ResetPassword => ("Choose a new password", "reset-password"),
        };
        let link = &*format!("{public_url}/{page}#token={token}");
        let (text, html) = match self.purpose {
            Purpose::VerifyEmail => (VerifyText { link }.render()?, VerifyHtml { link }.render()?),
            Purpose::ResetPassword => (ResetText { link }.render()?, ResetHtml { link }.render()?),
        };
        Ok(Mail::new(&self.email, subject, text)
            .map_err(JobError::permanent)?
            .html(html))
    }
}

#[derive(Template)]
#[template(path = "verify_email.txt")]
struct VerifyText<'a> {
    link: &'a str,
}

#[derive(Template)]
#[template(path = "verify_email.html")]
struct VerifyHtml<'a> {
    link: &'a str,
}

#[derive(Template)]
#[template(path = "reset_password.txt")]
struct ResetText<'a> {
    link: &'a str,
}

#[derive(Template)]
#[template(path = "reset_password.html")]
struct ResetHtml<'a> {
    link: &'a str,
}
