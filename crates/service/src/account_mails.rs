//! The mails of accounts: to verify an address, and to reset a password. Their words are in `templates`.

use askama::Template;
use async_trait::async_trait;
use berth_auth::{Account, AccountMails, Accounts, Letter, Purpose};
use berth_database::Session;

use crate::{Error, Services};

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

#[async_trait]
impl AccountMails for Services {
    async fn account(&self, session: &Session, email: &str) -> Result<Option<Account>, Error> {
        self.users(session).by_email(email).await
    }

    fn write(
        &self,
        purpose: Purpose,
        link: &str,
    ) -> Result<Letter, Box<dyn std::error::Error + Send + Sync>> {
        let (subject, text, html) = match purpose {
            Purpose::VerifyEmail => (
                "Confirm your e-mail address",
                VerifyText { link }.render()?,
                VerifyHtml { link }.render()?,
            ),
            Purpose::ResetPassword => (
                "Choose a new password",
                ResetText { link }.render()?,
                ResetHtml { link }.render()?,
            ),
        };
        let subject = subject.to_owned();
        Ok(Letter { subject, text, html })
    }
}
