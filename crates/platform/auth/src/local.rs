//! Local accounts: registration, login, refresh and logout with passwords stored by this service.

mod email;

use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use berth_database::Session;
use berth_service::{Error as ServiceError, normalized_email};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::access_token::AccessTokens;
use crate::email_token::EmailTokens;
use crate::{Application, Attempts, Error, Passwords, Settings, password, refresh_token};

/// The logins of this service: its passwords and tokens.
#[derive(Debug)]
pub struct Local {
    passwords: Passwords,
    attempts: Attempts,
    /// The mails that were asked for, apart from failed logins: asking for mails locks no account.
    mails: Attempts,
    access_tokens: AccessTokens,
    refresh_lifetime: TimeDelta,
    email_tokens: EmailTokens,
    verify_lifetime: TimeDelta,
    reset_lifetime: TimeDelta,
    requires_verified_email: bool,
}

/// What a login needs to know of a user.
#[derive(Clone, PartialEq)]
pub struct Account {
    /// The user's key.
    pub id: Uuid,
    /// The user's role, which goes into the token.
    pub role: String,
    /// The hash of the password, for users who have one.
    pub password_hash: Option<String>,
    /// When the user has shown that the e-mail address is the user's own.
    pub email_verified_at: Option<DateTime<Utc>>,
}

/// The table of users, as logins use it; the service's.
pub trait Accounts {
    /// Finds the account with an e-mail address, whatever its case.
    fn by_email(&self, email: &str) -> impl Future<Output = Result<Option<Account>, ServiceError>>;
    /// Finds the account of a user.
    fn by_user(&self, user: Uuid) -> impl Future<Output = Result<Option<Account>, ServiceError>>;
    /// Stores the hash of a new password.
    fn set_password_hash(&self, user: Uuid, hash: String) -> impl Future<Output = Result<(), ServiceError>>;
    /// Stores that the address is the user's own. Returns false, and stores nothing, where the user has another address.
    fn set_email_verified(
        &self,
        user: Uuid,
        email: &str,
        now: DateTime<Utc>,
    ) -> impl Future<Output = Result<bool, ServiceError>>;
}

/// The e-mail address and the password of a login, and where it comes from.
#[derive(Clone)]
pub struct Credentials {
    /// The e-mail address.
    pub email: String,
    /// The password.
    pub password: String,
    /// The client's address, where it is known.
    pub address: Option<IpAddr>,
}

/// An access token and a refresh token, as OAuth 2 (RFC 6749) writes them.
#[derive(Clone, Serialize)]
pub struct Tokens {
    /// The access token, a JWT.
    pub access_token: String,
    /// `Bearer`.
    pub token_type: &'static str,
    /// Seconds that the access token is valid.
    pub expires_in: u64,
    /// The refresh token, for one use.
    pub refresh_token: String,
}

impl Local {
    /// Starts the threads that hash passwords.
    ///
    /// # Errors
    ///
    /// As [`Passwords::new`].
    pub(crate) fn new(settings: &Settings, application: &Application) -> Result<Self, Error> {
        let delta = |lifetime: Duration| TimeDelta::from_std(lifetime).unwrap_or(TimeDelta::MAX);
        Ok(Self {
            passwords: Passwords::new(settings)?,
            attempts: Attempts::new(settings),
            mails: Attempts::new(settings),
            access_tokens: AccessTokens::new(application, settings.access_token_lifetime),
            refresh_lifetime: delta(settings.refresh_token_lifetime),
            email_tokens: EmailTokens::new(application),
            verify_lifetime: delta(settings.verify_token_lifetime),
            reset_lifetime: delta(settings.reset_token_lifetime),
            requires_verified_email: settings.require_verified_email,
        })
    }

    /// Hashes passwords.
    pub fn passwords(&self) -> &Passwords {
        &self.passwords
    }

    /// Signs and verifies access tokens.
    pub fn access_tokens(&self) -> &AccessTokens {
        &self.access_tokens
    }

    /// Checks a password and issues tokens.
    ///
    /// Commits the session before the password is hashed, so that no connection is held meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidCredentials`], [`Error::EmailNotVerified`], [`Error::TooManyAttempts`], [`Error::Busy`], and the
    /// database's.
    ///
    /// # Cancel safety
    ///
    /// Dropped early, it has issued nothing.
    pub async fn login(
        &self,
        session: &Session,
        accounts: &impl Accounts,
        credentials: &Credentials,
        now: DateTime<Utc>,
    ) -> Result<Tokens, Error> {
        let email = normalized_email(&credentials.email);
        let attempt = self.attempts.begin(&email, credentials.address)?;
        let account = accounts.by_email(&email).await?;
        session.commit().await?;
        let hash = account
            .as_ref()
            .and_then(|account| account.password_hash.as_deref());
        let checked = self.passwords.check(&credentials.password, hash).await?;
        let Some(account) = account.filter(|_| checked.matches) else {
            attempt.failed();
            return Err(Error::InvalidCredentials);
        };
        attempt.succeeded();
        if self.requires_verified_email && account.email_verified_at.is_none() {
            return Err(Error::EmailNotVerified);
        }
        let rehashed = match checked.outdated {
            true => self.passwords.hash(&credentials.password).await.ok(),
            false => None,
        };
        let account = unchanged(accounts, &account).await?;
        if let Some(hash) = rehashed {
            accounts.set_password_hash(account.id, hash).await?;
        }
        self.tokens(session, &account, now).await
    }

    /// Exchanges a refresh token for new tokens.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidRefreshToken`], and the database's.
    pub async fn refresh(
        &self,
        session: &Session,
        accounts: &impl Accounts,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<Tokens, Error> {
        let (user, next) = refresh_token::rotate(session, token, now, self.refresh_lifetime).await?;
        let account = accounts.by_user(user).await?.ok_or(Error::InvalidRefreshToken)?;
        self.with_access_token(&account, next)
    }

    /// Changes the password of a user, ends all logins and begins a new one.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidCredentials`] for a wrong old password, a validation error for the new one, [`Error::TooManyAttempts`], [`Error::Busy`], and the
    /// database's.
    pub async fn change_password(
        &self,
        session: &Session,
        accounts: &impl Accounts,
        user: Uuid,
        (old, new): (&str, &str),
        now: DateTime<Utc>,
    ) -> Result<Tokens, Error> {
        password::check_length("new_password", new)?;
        let attempt = self.attempts.begin(&user.to_string(), None)?;
        let account = accounts.by_user(user).await?;
        session.commit().await?;
        let hash = account
            .as_ref()
            .and_then(|account| account.password_hash.as_deref());
        let checked = self.passwords.check(old, hash).await?;
        let Some(account) = account.filter(|_| checked.matches) else {
            attempt.failed();
            return Err(Error::InvalidCredentials);
        };
        attempt.succeeded();
        let hash = self.passwords.hash(new).await?;
        let account = unchanged(accounts, &account).await?;
        accounts.set_password_hash(user, hash).await?;
        refresh_token::revoke_all(session, user).await?;
        self.tokens(session, &account, now).await
    }

    /// Begins a login without a password, for the development user.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn tokens(
        &self,
        session: &Session,
        account: &Account,
        now: DateTime<Utc>,
    ) -> Result<Tokens, Error> {
        let refresh = refresh_token::issue(session, account.id, now, self.refresh_lifetime).await?;
        self.with_access_token(account, refresh)
    }

    fn with_access_token(&self, account: &Account, refresh_token: String) -> Result<Tokens, Error> {
        Ok(Tokens {
            access_token: self.access_tokens.issue(account.id, &account.role)?,
            token_type: "Bearer",
            expires_in: self.access_tokens.lifetime().as_secs(),
            refresh_token,
        })
    }
}

/// Reads an account again, because its password may have been changed, or the account deleted, while a password was hashed:
/// a login with the old one must not outlive the change, nor undo it.
async fn unchanged(accounts: &impl Accounts, account: &Account) -> Result<Account, Error> {
    let found = accounts.by_user(account.id).await?;
    let same = found.filter(|found| found.password_hash == account.password_hash);
    same.ok_or(Error::InvalidCredentials)
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Account")
            .field(&self.id)
            .field(&self.role)
            .finish()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials").finish_non_exhaustive()
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tokens").finish_non_exhaustive()
    }
}
