#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod error;
mod job;
mod mail;
mod mailer;
mod settings;
mod transport;

pub use self::error::Error;
pub use self::job::{SendMail, options};
pub use self::mail::Mail;
pub use self::mailer::Mailer;
pub use self::settings::{Settings, Tls, TransportKind};
