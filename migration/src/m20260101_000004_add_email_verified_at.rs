//! When a user has shown that the e-mail address is the user's own.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::timestamp_with_time_zone_null;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut table = Table::alter().table("users").take();
        let column = timestamp_with_time_zone_null("email_verified_at");
        manager.alter_table(table.add_column(column).take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut table = Table::alter().table("users").take();
        manager
            .alter_table(table.drop_column("email_verified_at").take())
            .await
    }
}
