//! A harness for tests over HTTP: a server of its own for each test, a fluent client, and the real binary.
//!
//! A test names its service once, in a function that binds it (see [`TestServer::spawn`]); everything else is here.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test library reports its failures by panicking in the test that uses it"
)]

mod api_changes;
mod client;
mod events;
pub mod log;
mod peer;
mod process;
mod server;
mod statuses;
mod store;

pub use self::api_changes::breaking_changes;
pub use self::client::{Client, Response, http};
pub use self::events::{EventReader, ReceivedEvent};
pub use self::peer::Peer;
pub use self::process::Process;
pub use self::server::{Stop, TestServer};
pub use self::statuses::{Callers, Situation, Statuses};
pub use self::store::Store;
