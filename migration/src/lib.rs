//! The schema: one file a migration, and what applies them one run at a time.
//!
//! A new migration is a file (`cargo run -p migration -- generate add_tags` makes it) and a line in
//! [`Migrator`]. Each runs in a transaction on PostgreSQL and on SQLite unless it says otherwise, so
//! one that fails leaves nothing behind.
//!
//! # Under a lock
//!
//! However many deploys start at once, one run changes the schema and the others wait for it and
//! find nothing left to do. On PostgreSQL a session's advisory lock sees to that, and therefore
//! everything here happens on *one* connection that nothing may silently replace: see [`run`].

mod connection;
mod environment;
mod error;
mod guard;
mod lock;
mod patience;
mod pooler;
mod run;
mod settings;

pub mod generate;

mod m20260101_000001_create_users;
mod m20260101_000002_create_conversations; // sample
mod m20260101_000003_create_messages; // sample

use sea_orm_migration::prelude::*;

pub use self::environment::{Environment, Invalid};
pub use self::error::Error;
pub use self::run::{Change, Command, Entry, apply, pending, run, run_with, status};
pub use self::settings::Settings;

/// The migrations in the order in which they are applied.
#[derive(Clone, Copy, Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            // The last one is applied last.
            Box::new(m20260101_000001_create_users::Migration),
            Box::new(m20260101_000002_create_conversations::Migration), // sample
            Box::new(m20260101_000003_create_messages::Migration),      // sample
        ]
    }
}
