//! Extractors: the parameters of handlers.

mod client_address;
mod header_parameter;
mod if_match;
mod input;
mod json;
mod path;
mod query;
mod session;

pub use self::client_address::ClientAddress;
pub(crate) use self::header_parameter::{IDEMPOTENCY_KEY, IF_MATCH, IF_NONE_MATCH, LAST_EVENT_ID};
pub use self::if_match::{IfMatch, IfNoneMatch};
pub use self::input::InputError;
pub(crate) use self::json::unread;
pub use self::json::{Json, Patch};
pub use self::path::Path;
pub use self::query::Query;
pub use self::session::{ServiceSession, Session, StreamingSession};
pub use berth_service::nullable;
