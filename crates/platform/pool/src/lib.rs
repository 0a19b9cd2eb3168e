//! The connection scheduler: it decides what happens to each slot, and does no I/O.

mod circuit_breaker;
mod scheduler;
mod types;
mod wait_queue;

pub use circuit_breaker::{CircuitBreaker, Outage};
pub use scheduler::Scheduler;
pub use types::*;
