#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod clock;
mod email;
mod error;
pub mod feed;
mod id;
pub mod idempotency;
mod nullable;
mod order;
mod owned;
mod page;
pub mod rules;
mod trimmed;
mod validated;
pub mod value;
mod version;

pub use self::clock::Clock;
pub use self::email::normalized_email;
pub use self::error::{Error, FieldError};
pub use self::id::new_id;
pub use self::nullable::nullable;
pub use self::order::{Direction, Order};
pub use self::owned::{Owned, OwnedEntity, VersionedRow};
pub use self::page::{Page, PageRequest};
pub use self::trimmed::Trimmed;
pub use self::validated::Validated;
pub use self::version::{ExpectedVersion, next_version};
pub use berth_macros::input;
