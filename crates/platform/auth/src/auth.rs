//! `Auth`: verifies tokens, and holds what identity needs in one process.

use std::sync::Arc;

use crate::{Application, Error, Identity, Issuers, Local, Mode, Settings, TokenError};

/// Verifies access tokens, and makes them where this service keeps the passwords. A clone is cheap and shares everything.
#[derive(Clone, Debug)]
pub struct Auth {
    authority: Arc<Authority>,
    row_level_security: bool,
}

/// Who makes the tokens.
#[derive(Debug)]
enum Authority {
    Local(Box<Local>),
    Issuers(Issuers),
}

impl Auth {
    /// Makes what the settings ask for; nothing is read from issuers yet.
    ///
    /// # Errors
    ///
    /// TLS or argon2 cannot be set up with these settings.
    pub fn new(settings: &Settings, application: &Application) -> Result<Self, Error> {
        let authority = match settings.mode {
            Mode::Local => Authority::Local(Box::new(Local::new(settings, application)?)),
            Mode::Jwks => Authority::Issuers(Issuers::new(settings)?),
        };
        Ok(Self {
            authority: Arc::new(authority),
            row_level_security: settings.row_level_security,
        })
    }

    /// Verifies an access token, without any statement.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    ///
    /// # Cancel safety
    ///
    /// It may wait some seconds for the keys of an issuer. Dropped meanwhile, it leaves the known keys as they are.
    pub async fn verify(&self, token: &str) -> Result<Identity, TokenError> {
        match &*self.authority {
            Authority::Local(local) => local.access_tokens().verify(token),
            Authority::Issuers(issuers) => issuers.verify(token).await,
        }
    }

    /// The logins of this service.
    ///
    /// # Errors
    ///
    /// [`Error::NotLocal`] where issuers make the tokens.
    pub fn local(&self) -> Result<&Local, Error> {
        match &*self.authority {
            Authority::Local(local) => Ok(local),
            Authority::Issuers(_) => Err(Error::NotLocal),
        }
    }

    /// The issuers, where they make the tokens.
    pub fn issuers(&self) -> Option<&Issuers> {
        match &*self.authority {
            Authority::Local(_) => None,
            Authority::Issuers(issuers) => Some(issuers),
        }
    }

    /// Who makes the tokens.
    pub fn mode(&self) -> Mode {
        match &*self.authority {
            Authority::Local(_) => Mode::Local,
            Authority::Issuers(_) => Mode::Jwks,
        }
    }

    /// Whether requests with a token run as the role in it.
    pub fn row_level_security(&self) -> bool {
        self.row_level_security
    }
}
