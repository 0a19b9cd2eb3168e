//! The table of the keys.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{binary_null, integer_null, text, text_null, timestamp_with_time_zone, uuid};

/// The migrations of this crate, for a service to list before its own.
pub fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    vec![Box::new(IdempotencyKeys)]
}

struct IdempotencyKeys;

impl MigrationName for IdempotencyKeys {
    fn name(&self) -> &'static str {
        "platform_service_000001_idempotency_keys"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for IdempotencyKeys {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("idempotency_keys")
            .col(text("key"))
            .col(text("fingerprint"))
            .col(uuid("claim_id"))
            .col(timestamp_with_time_zone("claimed_until"))
            .col(integer_null("status"))
            .col(text_null("head"))
            .col(binary_null("body"))
            .col(timestamp_with_time_zone("expires_at"))
            .primary_key(Index::create().name("pk_idempotency_keys").col("key"))
            .take();
        manager.create_table(table).await?;
        let index = Index::create()
            .name("ix_idempotency_keys_expires_at")
            .table("idempotency_keys")
            .col("expires_at")
            .take();
        manager.create_index(index).await?;
        if manager.get_database_backend() == DbBackend::Postgres {
            // Answers are for their users: without a policy only the owner of the table sees them.
            let private = "ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY";
            manager.get_connection().execute_unprepared(private).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("idempotency_keys").take())
            .await
    }
}
