//! Links from mails over HTTP: to verify an address, and to reset a password.

use actix_web::HttpResponse;
use berth_auth::{Accounts, Purpose};
use berth_service::rules::email_address;
use berth_service::{Clock, Error as ServiceError, normalized_email};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{AccountMail, Logins};
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
    /// Sends a mail with a link to an address once the session commits, and answers with 202, whether an account has the
    /// address or not: the request does not look for it.
    ///
    /// # Errors
    ///
    /// 422 for what is not an address; as [`mail_to`](Self::mail_to).
    pub async fn mail(&self, purpose: Purpose, address: EmailAddress) -> Result<HttpResponse, Error> {
        let email = normalized_email(&address.email);
        email_address(&email, &()).map_err(|rule| ServiceError::invalid("email", rule.to_string()))?;
        self.mail_to(purpose, email).await?;
        Ok(HttpResponse::Accepted().finish())
    }

    /// Sends a mail with a link to a normalized address once the session commits, if an account has it then.
    ///
    /// Slot cost: one statement of the session.
    ///
    /// # Errors
    ///
    /// 404 where issuers make the tokens, and 429 where too many mails were asked for the address or from the client.
    pub async fn mail_to(&self, purpose: Purpose, email: String) -> Result<(), Error> {
        self.local()?.count_mail(&email, self.client())?;
        let mail = AccountMail { purpose, email };
        self.jobs().enqueue(self.session(), mail).await?;
        Ok(())
    }

    /// Marks the address of a user as verified, and answers with 204.
    ///
    /// # Errors
    ///
    /// 422 for a token that is not valid.
    pub async fn verify_email(
        &self,
        accounts: &impl Accounts,
        given: EmailToken,
    ) -> Result<HttpResponse, Error> {
        let now = Clock::system().now();
        let local = self.local()?;
        let verified = local.verify_email(self.session(), accounts, &given.token, now);
        verified.await?;
        Ok(HttpResponse::NoContent().finish())
    }

    /// Sets a new password, ends all logins of the user, and answers with 204. No connection is held while the password is hashed.
    ///
    /// # Errors
    ///
    /// 422 for a token that is not valid and for a password that is too short, and 503.
    pub async fn reset_password(
        &self,
        accounts: &impl Accounts,
        reset: ResetPassword,
    ) -> Result<HttpResponse, Error> {
        let now = Clock::system().now();
        let given = (&*reset.token, &*reset.new_password);
        let changed = self.local()?.reset_password(self.session(), accounts, given, now);
        changed.await?;
        Ok(HttpResponse::NoContent().finish())
    }
}

super::logins::show_nothing_of! { EmailToken ResetPassword EmailAddress }
