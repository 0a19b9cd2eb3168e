#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

pub mod access_token;
mod account_mails;
mod attempts;
mod auth;
mod claims;
mod crypto;
pub mod email_token;
mod error;
mod hashing;
mod issuers;
mod local;
mod migration;
mod password;
pub mod refresh_token;
mod settings;
mod subjects;

pub use self::account_mails::{AccountMails, Letter};
pub use self::attempts::{Attempt, Attempts};
pub use self::auth::Auth;
pub use self::claims::{Claims, Identity};
pub use self::email_token::Purpose;
pub use self::error::{Error, TokenError};
pub use self::issuers::Issuers;
pub use self::local::{Account, Accounts, Credentials, Local, Tokens};
pub use self::migration::{migrations, policies};
pub use self::password::{Checked, Passwords};
pub use self::settings::{Application, Mode, Settings};
pub use self::subjects::{Subject, SubjectError, Subjects};
