#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod clock;
mod error;
mod id;
pub mod idempotency;
mod order;
mod page;
pub mod rules;
mod validated;
mod version;

pub use self::clock::Clock;
pub use self::error::{Error, FieldError};
pub use self::id::new_id;
pub use self::order::{Direction, Order};
pub use self::page::{Page, PageRequest};
pub use self::validated::Validated;
pub use self::version::{ExpectedVersion, next_version};
