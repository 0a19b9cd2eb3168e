//! The tables as SeaORM sees them, one file a table.
//!
//! A new table is a file here, a line below, and a migration; a test in `migration`, which lists the
//! entities too, fails while the two disagree. Rules live in `service`: an entity only says what a
//! row looks like and what it belongs to.

pub mod conversation; // sample
pub mod message; // sample
pub mod user; // sample
