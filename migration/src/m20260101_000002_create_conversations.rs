//! Conversations, which go when their owner goes.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table(Conversations::Table)
                    .col(ColumnDef::new(Conversations::Id).uuid().not_null())
                    .col(ColumnDef::new(Conversations::OwnerId).uuid().not_null())
                    .col(ColumnDef::new(Conversations::Title).text().not_null())
                    .col(
                        ColumnDef::new(Conversations::IsPublic)
                            .boolean()
                            .not_null()
                            .default(false),
                    )
                    .col(
                        ColumnDef::new(Conversations::CreatedAt)
                            .timestamp_with_time_zone()
                            .not_null(),
                    )
                    .col(
                        ColumnDef::new(Conversations::UpdatedAt)
                            .timestamp_with_time_zone()
                            .not_null(),
                    )
                    .primary_key(Index::create().name("pk_conversations").col(Conversations::Id))
                    .foreign_key(
                        ForeignKey::create()
                            .name("fk_conversations_owner_id")
                            .from(Conversations::Table, Conversations::OwnerId)
                            .to("users", "id")
                            .on_delete(ForeignKeyAction::Cascade),
                    )
                    .take(),
            )
            .await?;
        // An owner's conversations, newest first: the keys are in order of creation, so this index is
        // walked backwards from the cursor. It serves the foreign key as well.
        manager
            .create_index(
                Index::create()
                    .name("ix_conversations_owner_id_id")
                    .table(Conversations::Table)
                    .col(Conversations::OwnerId)
                    .col(Conversations::Id)
                    .take(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table(Conversations::Table).take())
            .await
    }
}

#[derive(DeriveIden)]
enum Conversations {
    Table,
    Id,
    OwnerId,
    Title,
    IsPublic,
    CreatedAt,
    UpdatedAt,
}
