//! The service over HTTP.
//!
//! Read [`command`] for the commands of the binary, [`app`] for how the service is put together, and `handlers` for
//! the addresses it answers. Everything that a second service would have too is in `berth_web`.

pub mod app;
pub mod command;
pub mod error;
mod handlers;
pub mod openapi;
pub mod sample; // sample
mod seed;
pub mod settings;

#[cfg(doctest)]
#[path = "../../../docs/how-to/doctests.rs"]
mod how_to;
