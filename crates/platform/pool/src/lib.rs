#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod backoff;
mod circuit_breaker;
mod cooldown;
mod scheduler;
mod types;
mod wait_queue;

pub use circuit_breaker::CircuitBreaker;
pub use scheduler::Scheduler;
pub use types::*;
