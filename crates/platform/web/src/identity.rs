//! Identity over HTTP: the middleware that verifies tokens, and the extractors for handlers.
//!
//! A token is verified once a request and without any statement, so that an authenticated read costs one.

mod account_mail;
mod development;
mod email;
mod extract;
mod logins;
mod middleware;

pub(crate) use self::account_mail::{AccountMail, AccountMailer};
pub use self::development::{authorization, offer, seed};
pub use self::email::{EmailAddress, EmailToken, ResetPassword};
pub use self::extract::{CurrentUser, OptionalUser, RequireRole, Role};
pub use self::logins::{ChangePassword, Login, Logins, RefreshToken, TokenResponse};
pub(crate) use self::middleware::Sender;
pub use self::middleware::{Identities, identify};
