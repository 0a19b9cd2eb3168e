//! The service over HTTP.
//!
//! Read [`command`] for the commands of the binary, [`app`] for how the service is put together, and [`routes`] for
//! every address it answers. Everything that a second service would have too is in `berth_web`.

pub mod app;
pub mod command;
pub mod error;
mod handlers;
pub mod openapi;
pub mod routes;
pub mod sample; // sample
pub mod settings;
