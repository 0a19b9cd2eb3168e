//! The `Server-Timing` header: what a request cost in the database.

use actix_web::http::header::{HeaderName, HeaderValue};
use berth_database::Usage;

/// The header that a browser's developer tools draw.
const HEADER: HeaderName = HeaderName::from_static("server-timing");

/// What a request cost in the database, for its answer's head. In development only: strangers could learn from it.
pub(crate) fn server_timing(usage: &Usage) -> Option<(HeaderName, HeaderValue)> {
    let millis = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    let Usage {
        waited,
        held,
        statements,
        round_trips,
    } = usage;
    let text = format!(
        "wait;dur={:.1};desc=\"waited for a connection\", hold;dur={:.1};desc=\"held it\", \
         statements;desc=\"{statements}\", round-trips;desc=\"{round_trips}\"",
        millis(*waited),
        millis(*held),
    );
    Some((HEADER, HeaderValue::from_str(&text).ok()?))
}
