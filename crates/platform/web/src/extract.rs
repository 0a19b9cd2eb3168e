//! What handlers may take as parameters.

mod input;
mod json;
mod path;
mod query;
mod session;

pub use self::input::{InputError, nullable};
pub use self::json::{Json, Patch};
pub use self::path::Path;
pub use self::query::Query;
pub use self::session::{Session, StreamingSession};
