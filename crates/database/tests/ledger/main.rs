//! The ledger against books kept independently: at random, exhaustively, and behaviour by behaviour.

#![allow(
    clippy::expect_used,
    reason = "the steps of a test panic as the test itself would"
)]
#![allow(clippy::print_stdout, reason = "tells how many states were visited")]

mod decisions;
mod hand;
mod interleavings;
mod keeping;
mod oracle;
mod outages;
mod random;
mod serving;
mod world;
