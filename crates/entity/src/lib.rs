//! The tables as SeaORM sees them: one file a table.
//!
//! A new table is a file here, a line below, and a migration; a test in `migration` compares the two. Rules live in
//! `service`: an entity states only what a row contains and what it belongs to.

pub mod sample; // sample
pub mod user;
