#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

#[cfg(feature = "loader")]
mod dotenv;
mod error;
#[cfg(feature = "loader")]
mod layer;
#[cfg(feature = "loader")]
mod loaded;
#[cfg(feature = "loader")]
mod reference;
mod rules;
pub mod seconds;
mod secret;
#[cfg(feature = "loader")]
mod sources;

pub use error::ConfigError;
#[cfg(feature = "loader")]
pub use loaded::{Environment, Loaded};
#[cfg(feature = "loader")]
pub use reference::{Entry, Reference};
pub use rules::{between, characters, http_url, require};
pub use secret::{MASK, Secret, hidden};
#[cfg(feature = "loader")]
pub use sources::{BuiltIn, Sources};
