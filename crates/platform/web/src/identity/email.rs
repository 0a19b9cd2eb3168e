//! Links from mails over HTTP: to verify an address, and to reset a password.

use berth_auth::Accounts;
use berth_service::rules::email_address;
use berth_service::{Clock, Error as ServiceError};
use serde::Deserialize;
use utoipa::ToSchema;

use super::Logins;
use crate::Error;

/// The e-mail address of an account, whether it exists or not.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailAddress {
    #[schema(format = Email, max_length = 254)]
    email: String,
}

/// The token from the link of a mail, which is used once.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailToken {
    token: String,
}

/// The token from the link of a mail, and the new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetPassword {
    token: String,
    #[schema(format = Password, min_length = 8, max_length = 200)]
    new_password: String,
}

impl Logins {
    /// Counts a mail that a request sends to an address.
    ///
    /// # Errors
    ///
    /// 404 where issuers make the tokens, and 429 where too many mails were asked for the account or from the client.
    pub fn count_mail(&self, email: &str) -> Result<(), Error> {
        Ok(self.local()?.count_mail(email, self.client())?)
    }

    /// Returns the address that a mail was asked for, in lower case, and counts the mail.
    ///
    /// # Errors
    ///
    /// 422 for what is not an address; as [`count_mail`](Self::count_mail).
    pub fn recipient(&self, address: EmailAddress) -> Result<String, Error> {
        let email = address.email.trim().to_lowercase();
        email_address(&email, &()).map_err(|rule| ServiceError::invalid("email", rule.to_string()))?;
        self.count_mail(&email)?;
        Ok(email)
    }

    /// Marks the address of a user as verified.
    ///
    /// # Errors
    ///
    /// 422 for a token that is not valid.
    pub async fn verify_email(&self, accounts: &impl Accounts, given: EmailToken) -> Result<(), Error> {
        let now = Clock::system().now();
        let local = self.local()?;
        let verified = local.verify_email(self.session(), accounts, &given.token, now);
        Ok(verified.await?)
    }

    /// Sets a new password, and ends all logins of the user. No connection is held while the password is hashed.
    ///
    /// # Errors
    ///
    /// 422 for a token that is not valid and for a password that is too short, and 503.
    pub async fn reset_password(&self, accounts: &impl Accounts, reset: ResetPassword) -> Result<(), Error> {
        let now = Clock::system().now();
        let given = (&*reset.token, &*reset.new_password);
        let changed = self.local()?.reset_password(self.session(), accounts, given, now);
        Ok(changed.await?)
    }
}

super::logins::show_nothing_of! { EmailToken ResetPassword EmailAddress }
