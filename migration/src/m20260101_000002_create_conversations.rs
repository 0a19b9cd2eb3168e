//! Conversations, which are deleted with their owner.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{boolean, integer, text, timestamp_with_time_zone, uuid};

/// For sessions that run as the role of a token (`auth.row_level_security`). The owner of the table, which the service
/// logs in as, sees all rows.
const POLICIES: &str = "ALTER TABLE conversations ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON conversations
        USING (owner_id = (current_setting('request.jwt.claims')::json ->> 'sub')::uuid);
    CREATE POLICY public ON conversations FOR SELECT USING (is_public)";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let owner = ForeignKey::create()
            .name("fk_conversations_owner_id")
            .from("conversations", "owner_id")
            .to("users", "id")
            .on_delete(ForeignKeyAction::Cascade)
            .take();
        let table = Table::create()
            .table("conversations")
            .col(uuid("id"))
            .col(uuid("owner_id"))
            .col(text("title"))
            .col(boolean("is_public").default(false))
            .col(integer("version"))
            .col(timestamp_with_time_zone("created_at"))
            .col(timestamp_with_time_zone("updated_at"))
            .primary_key(Index::create().name("pk_conversations").col("id"))
            .foreign_key(&mut owner.clone())
            .take();
        manager.create_table(table).await?;
        // An owner's conversations, newest first: the keys are in order of creation, so this index is scanned
        // backwards from the cursor. It serves the foreign key as well.
        let index = Index::create()
            .name("ix_conversations_owner_id_id")
            .table("conversations")
            .col("owner_id")
            .col("id")
            .take();
        manager.create_index(index).await?;
        // The same in the order of the last change.
        let index = Index::create()
            .name("ix_conversations_owner_id_updated_at_id")
            .table("conversations")
            .col("owner_id")
            .col("updated_at")
            .col("id")
            .take();
        manager.create_index(index).await?;
        berth_auth::policies(manager, POLICIES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("conversations").take())
            .await
    }
}
