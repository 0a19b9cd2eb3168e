//! The tables of this crate.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{text, timestamp_with_time_zone, timestamp_with_time_zone_null, uuid};

/// The migrations of this crate, for a service to list before its own.
pub fn migrations() -> Vec<Box<dyn MigrationTrait>> {
    vec![Box::new(RefreshTokens), Box::new(EmailTokens)]
}

/// Runs SQL about row-level security on PostgreSQL; SQLite has neither roles nor policies.
///
/// A table with row-level security and without a policy is seen by its owner alone. Supabase shows tables without it to
/// everybody who knows the project's public key.
///
/// # Errors
///
/// The database's.
pub async fn policies(manager: &SchemaManager<'_>, sql: &str) -> Result<(), DbErr> {
    match manager.get_database_backend() {
        DbBackend::Postgres => manager.get_connection().execute_unprepared(sql).await.map(drop),
        _ => Ok(()),
    }
}

struct RefreshTokens;

impl MigrationName for RefreshTokens {
    fn name(&self) -> &'static str {
        "platform_auth_000001_refresh_tokens"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for RefreshTokens {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("refresh_tokens")
            .col(text("token_hash"))
            .col(uuid("family_id"))
            .col(uuid("user_id"))
            .col(timestamp_with_time_zone("expires_at"))
            .col(timestamp_with_time_zone_null("spent_at"))
            .primary_key(Index::create().name("pk_refresh_tokens").col("token_hash"))
            .take();
        manager.create_table(table).await?;
        for column in ["family_id", "user_id"] {
            let index = Index::create()
                .name(format!("ix_refresh_tokens_{column}"))
                .table("refresh_tokens")
                .col(column)
                .take();
            manager.create_index(index).await?;
        }
        policies(manager, "ALTER TABLE refresh_tokens ENABLE ROW LEVEL SECURITY").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("refresh_tokens").take())
            .await
    }
}

struct EmailTokens;

impl MigrationName for EmailTokens {
    fn name(&self) -> &'static str {
        "platform_auth_000002_email_tokens"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for EmailTokens {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("email_tokens")
            .col(text("token_hash"))
            .col(uuid("user_id"))
            .col(text("purpose"))
            .col(text("email"))
            .col(timestamp_with_time_zone("expires_at"))
            .col(timestamp_with_time_zone_null("spent_at"))
            .primary_key(Index::create().name("pk_email_tokens").col("token_hash"))
            .take();
        manager.create_table(table).await?;
        let index = Index::create()
            .name("ix_email_tokens_user_id")
            .table("email_tokens")
            .col("user_id")
            .take();
        manager.create_index(index).await?;
        policies(manager, "ALTER TABLE email_tokens ENABLE ROW LEVEL SECURITY").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("email_tokens").take())
            .await
    }
}
