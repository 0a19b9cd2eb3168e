//! What handlers may take as parameters.

mod json;
mod path;
mod query;
mod session;

pub use self::json::Json;
pub use self::path::Path;
pub use self::query::Query;
pub use self::session::{Session, StreamingSession};
