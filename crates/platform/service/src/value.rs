//! Types of columns, input and output that Rust or SeaORM lack.

mod base64;
mod list;

pub use chrono::{DateTime, NaiveDate, Utc};
pub use sea_orm::prelude::Decimal;
pub use serde_json::Value;

pub use self::base64::Base64;
pub use self::list::List;
