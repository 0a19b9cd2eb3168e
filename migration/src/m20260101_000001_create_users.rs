//! Users: with a password of their own, or known to an identity provider.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{text, text_null, timestamp_with_time_zone, uuid};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("users")
            .col(uuid("id"))
            .col(text("name"))
            .col(text_null("email"))
            .col(text_null("password_hash"))
            .col(text("role"))
            .col(text_null("issuer"))
            .col(text_null("subject"))
            .col(timestamp_with_time_zone("created_at"))
            .col(timestamp_with_time_zone("updated_at"))
            .primary_key(Index::create().name("pk_users").col("id"))
            .index(Index::create().name("uq_users_email").unique().col("email"))
            .index(
                Index::create()
                    .name("uq_users_issuer_subject")
                    .unique()
                    .col("issuer")
                    .col("subject"),
            )
            .take();
        manager.create_table(table).await?;
        berth_auth::policies(manager, "ALTER TABLE users ENABLE ROW LEVEL SECURITY").await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("users").take()).await
    }
}
