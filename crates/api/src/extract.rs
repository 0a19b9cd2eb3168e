//! What handlers may ask for.

mod current_user; // sample
mod json;
mod path;
mod query;
mod session;

pub use self::current_user::CurrentUser; // sample
pub use self::json::Json;
pub use self::path::Path;
pub use self::query::Query;
pub use self::session::{BodySession, Session};
