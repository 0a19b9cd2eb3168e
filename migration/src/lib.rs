//! The schema: one file a migration, and their list.
//!
//! `make migrate ARGS="generate add_tags"` makes a file and lists it. The crate `berth-migrate` applies them.

mod m20260101_000001_create_users;
mod m20260101_000002_create_conversations;
mod m20260101_000003_create_messages;
mod m20260101_000004_add_email_verified_at;

use sea_orm_migration::prelude::*;

/// The migrations in the order in which they are applied.
#[derive(Clone, Copy, Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        let own: Vec<Box<dyn MigrationTrait>> = vec![
            // The last one is applied last.
            Box::new(m20260101_000001_create_users::Migration),
            Box::new(m20260101_000002_create_conversations::Migration),
            Box::new(m20260101_000003_create_messages::Migration),
            Box::new(m20260101_000004_add_email_verified_at::Migration),
        ];
        // The tables of the platform's crates come first.
        [
            berth_auth::migrations(),
            berth_jobs::migrations(),
            berth_service::idempotency::migrations(),
            own,
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
