#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod backoff;
pub mod command;
mod connection;
mod error;
mod generate;
mod guard;
mod indexes;
mod lock;
mod run;
mod settings;

pub use self::error::Error;
pub use self::indexes::invalid_indexes;
pub use self::run::{Change, Command, Entry, apply, pending, pending_names, run, status};
pub use self::settings::Settings;
