#![doc = include_str!("../README.md")]

pub mod app_state;
pub mod command_line;
pub mod error;
pub mod extract;
pub mod handlers;
pub mod health_check;
pub mod middleware;
pub mod observability;
pub mod problem;
pub mod request_id;
pub mod response;
mod route_pattern;
pub mod routing;
pub mod server;
pub mod settings;
pub mod shutdown;
pub mod startup;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;

pub use app_state::AppState;
pub use error::Error;
pub use problem::Problem;
pub use server::Server;
pub use settings::Settings;
pub use startup::{Migrations, StartError};
