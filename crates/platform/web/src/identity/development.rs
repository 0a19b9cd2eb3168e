//! A way in that needs no reading, on a developer's machine.

use std::time::Duration;

use berth_auth::{Account, Mode};
use berth_database::Session;

use crate::StartError;
use crate::app_state::auth;
use crate::settings::{Environment, Settings};

/// A working day.
const LIFETIME: Duration = Duration::from_secs(8 * 3600);
/// What cannot be set up, in the errors.
const WHAT: &str = "a token without a login";

/// Logs the header of the development user, in development where the service issues tokens itself.
///
/// # Errors
///
/// Those of `header`.
pub async fn offer(
    settings: &Settings,
    header: impl Future<Output = Result<String, StartError>>,
) -> Result<(), StartError> {
    if settings.app.environment == Environment::Development && settings.auth.mode == Mode::Local {
        tracing::info!("development token: send requests with `{}`", header.await?);
    }
    Ok(())
}

/// Returns the header `Authorization` for an account, without a login, as in `Authorization: Bearer ...`, and commits the
/// session in which the account was found or made.
///
/// # Errors
///
/// [`StartError::Service`] in production, where users log in, where issuers make the tokens, and without an account.
pub async fn authorization(
    settings: &Settings,
    session: &Session,
    account: Result<Account, berth_service::Error>,
) -> Result<String, StartError> {
    if settings.app.environment == Environment::Production {
        let rule = "users log in where APP_ENV is production";
        return Err(StartError::service(WHAT)(rule));
    }
    let account = account.map_err(StartError::service(WHAT))?;
    session.commit().await.map_err(StartError::service(WHAT))?;
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
