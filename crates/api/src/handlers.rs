//! Handlers: one file a resource. A handler extracts its input, calls a service and returns the result.

mod auth;
mod me;
mod users;

use berth_web::routing::Routes;

/// The address below which they are.
pub(crate) const PREFIX: &str = "/api/v1";

/// The routes of each file; a new file is one line here.
pub(crate) fn routes() -> Vec<Routes> {
    vec![
        auth::routes(),
        me::routes(),
        users::routes(),
        crate::sample::conversations::routes(), // sample
        crate::sample::messages::routes(),      // sample
    ]
}
