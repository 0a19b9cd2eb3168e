//! A way in that needs no reading, on a developer's machine.

use std::time::Duration;

use berth_auth::Account;

use crate::StartError;
use crate::app_state::auth;
use crate::settings::{Environment, Settings};

/// A working day.
const LIFETIME: Duration = Duration::from_secs(8 * 3600);
/// What cannot be set up, in the errors.
const WHAT: &str = "a token without a login";

/// Returns the header `Authorization` for a user, without a login, as in `Authorization: Bearer ...`.
///
/// # Errors
///
/// [`StartError::Service`] in production, where users log in, and where issuers make the tokens.
pub fn authorization(settings: &Settings, account: &Account) -> Result<String, StartError> {
    if settings.app.environment == Environment::Production {
        let rule = "users log in where APP_ENV is production";
        return Err(StartError::service(WHAT)(rule));
    }
    let auth = auth(settings)?;
    let local = auth.local().map_err(StartError::service(WHAT))?;
    let token = local
        .access_tokens()
        .issue_for(account.id, &account.role, LIFETIME);
    Ok(format!(
        "Authorization: Bearer {}",
        token.map_err(StartError::service(WHAT))?
    ))
}
