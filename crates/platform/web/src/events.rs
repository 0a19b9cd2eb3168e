//! Server-sent events: answers whose body goes on, and feeds that clients follow.
//!
//! A client that follows a feed holds no database connection. One task of the process waits for announcements, reads the
//! announced rows by one statement for all clients, and hands them out through bounded buffers.

mod event;
mod feed;
mod last_event_id;
mod reader;
mod streams;
mod topics;

pub use self::event::ServerEvent;
pub use self::feed::Followers;
pub use self::last_event_id::LastEventId;
pub(crate) use self::streams::StreamLimits;
pub use self::streams::{AtStop, EventStreams, ReservedStream, to_the_end};
