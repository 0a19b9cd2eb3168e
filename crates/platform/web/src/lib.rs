#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod app_state;
mod client_address;
pub mod command_line;
mod error;
pub mod events;
pub mod extract;
pub mod handlers;
pub mod health_check;
mod housekeeping;
pub mod identity;
pub mod jobs_command;
pub mod middleware;
mod observability;
pub mod problem;
mod request_id;
pub mod response;
mod route_pattern;
pub mod routing;
mod server;
pub mod settings;
pub mod shutdown;
pub mod startup;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;

pub use app_state::AppState;
pub use berth_macros::{output, routes};
pub use berth_service::value;
pub use error::Error;
pub use problem::Problem;
pub use server::Server;
pub use settings::Settings;
pub use startup::{Migrations, Schema, StartError};
