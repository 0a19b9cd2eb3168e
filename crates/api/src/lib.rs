//! HTTP in front of the services: what arrives, what leaves, and how the process lives.
//!
//! Read [`command`] for what the binary can do, [`app`] for how the service is put together, and [`routes`] for
//! every address it answers.

pub mod app;
pub mod command;
pub mod doctor;
pub mod error;
pub mod extract;
pub mod handlers;
pub mod health_check;
pub mod middleware;
pub mod observe;
pub mod openapi;
pub mod problem;
pub mod request_id;
mod route_pattern;
pub mod routes;
pub mod settings;
pub mod shutdown;
pub mod startup;
pub mod telemetry;
