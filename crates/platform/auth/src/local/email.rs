//! Verifies an address and resets a password with the token of a mail.

use std::net::IpAddr;

use berth_database::Session;
use berth_service::normalized_email;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Account, Accounts, Local};
use crate::email_token::{self, Purpose};
use crate::{Error, password, refresh_token};

impl Local {
    /// Counts a requested mail, whether the account exists or not: as many mails are allowed as failed logins.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyAttempts`] where too many were asked for the account, or from the address.
    pub fn count_mail(&self, email: &str, address: Option<IpAddr>) -> Result<(), Error> {
        self.mails.begin(&normalized_email(email), address)?.failed();
        Ok(())
    }

    /// Makes the token for the link of a mail. The same `mail` gives the same token, so that a mail can be sent twice. It
    /// invalidates the tokens of earlier mails for the purpose.
    ///
    /// Returns none where there is nothing to send: the address is verified already, or the token was used or replaced
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn email_token(
        &self,
        session: &Session,
        account: &Account,
        (purpose, email, mail): (Purpose, &str, Uuid),
        now: DateTime<Utc>,
    ) -> Result<Option<String>, Error> {
        let lifetime = match purpose {
            Purpose::VerifyEmail if account.email_verified_at.is_some() => return Ok(None),
            Purpose::VerifyEmail => self.verify_lifetime,
            Purpose::ResetPassword => self.reset_lifetime,
        };
        let token = self.email_tokens.derive(mail);
        let row = email_token::Model {
            token_hash: String::new(),
            user_id: account.id,
            purpose,
            email: normalized_email(email),
            expires_at: now + lifetime,
            spent_at: None,
        };
        let is_valid = email_token::issue(session, &token, row, now).await?;
        Ok(is_valid.then_some(token))
    }

    /// Marks the address of a user as verified, by the token of a mail to it.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidEmailToken`], also where the user has another address meanwhile, and the database's.
    pub async fn verify_email(
        &self,
        session: &Session,
        accounts: &impl Accounts,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let row = email_token::redeem(session, token, Purpose::VerifyEmail, now).await?;
        verified(accounts, &row, now).await
    }

    /// Sets a new password by the token of a mail, ends all logins of the user, and marks the address as verified.
    ///
    /// The token is looked at before the password is hashed, so that a stranger's costs nothing, and is used afterwards. The
    /// session is committed in between: no connection is held while the password is hashed.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidEmailToken`], a validation error for the password, [`Error::Busy`], and the database's.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, it has changed nothing.
    pub async fn reset_password(
        &self,
        session: &Session,
        accounts: &impl Accounts,
        (token, new): (&str, &str),
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        password::check_length("new_password", new)?;
        let found = email_token::find(session, token, Purpose::ResetPassword, now).await?;
        found.ok_or(Error::InvalidEmailToken)?;
        session.commit().await?;
        let hash = self.passwords.hash(new).await?;
        let row = email_token::redeem(session, token, Purpose::ResetPassword, now).await?;
        verified(accounts, &row, now).await?;
        accounts.set_password_hash(row.user_id, hash).await?;
        refresh_token::revoke_all(session, row.user_id).await
    }
}

/// Marks the address that a token was sent to as verified.
async fn verified(
    accounts: &impl Accounts,
    token: &email_token::Model,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    match accounts
        .set_email_verified(token.user_id, &token.email, now)
        .await?
    {
        true => Ok(()),
        false => Err(Error::InvalidEmailToken),
    }
}
