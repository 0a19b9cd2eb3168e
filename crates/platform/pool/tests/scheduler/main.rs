//! Compares the scheduler with an independent model: at random, exhaustively, and behaviour by behaviour.

#![allow(
    clippy::expect_used,
    reason = "the steps of a test panic as the test itself would"
)]
#![allow(clippy::print_stdout, reason = "prints how many states were visited")]

mod decisions;
mod eviction;
mod exhaustive;
mod helpers;
mod invariants;
mod listener;
mod outages;
mod random;
mod serving;
mod simulation;
