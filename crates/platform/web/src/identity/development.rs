//! The development token: a login for a developer's machine.

use std::time::Duration;

use berth_auth::{Account, Mode, Passwords};
use berth_database::{Database, Session, SessionOptions};

use crate::app_state::auth;
use crate::settings::{Environment, Settings};
use crate::{Migrations, StartError, startup};

/// A working day.
const LIFETIME: Duration = Duration::from_secs(8 * 3600);
/// What cannot be set up, in the errors.
const WHAT: &str = "a token without a login";
const SEEDS: &str = "the rows for development";

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
    refuse_in_production(settings, WHAT, "users log in where APP_ENV is production")?;
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

/// Makes rows for development in a session of a database, with what hashes passwords, and commits it. Returns what `rows` does.
///
/// # Errors
///
/// [`StartError::Service`] in production, before the database is opened, where issuers make the tokens, and where `rows` fails;
/// those of [`startup::with_database`].
pub async fn seed<E: Into<berth_auth::Error>>(
    settings: &Settings,
    migrations: Migrations,
    rows: impl AsyncFnOnce(&Session, &Passwords) -> Result<String, E>,
) -> Result<String, StartError> {
    refuse_in_production(
        settings,
        SEEDS,
        "the database is not filled where APP_ENV is production",
    )?;
    let fill = async |database: &Database| {
        let session = database.session(SessionOptions::new("seeds"));
        let auth = auth(settings)?;
        let local = auth.local().map_err(StartError::service(SEEDS))?;
        let made = rows(&session, local.passwords()).await.map_err(Into::into);
        let made = made.map_err(StartError::service(SEEDS))?;
        session.commit().await.map_err(StartError::service(SEEDS))?;
        Ok(made)
    };
    startup::with_database(settings, migrations, fill).await
}

fn refuse_in_production(
    settings: &Settings,
    what: &'static str,
    rule: &'static str,
) -> Result<(), StartError> {
    match settings.app.environment {
        Environment::Production => Err(StartError::service(what)(rule)),
        _ => Ok(()),
    }
}
