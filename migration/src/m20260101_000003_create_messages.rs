//! Messages, which are deleted with their conversation.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{text, timestamp_with_time_zone, uuid};

/// A message is read by those who can read its conversation, and changed by its owner.
const POLICIES: &str = "ALTER TABLE messages ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON messages USING (EXISTS (SELECT FROM conversations c WHERE c.id = conversation_id
        AND c.owner_id = (current_setting('request.jwt.claims')::json ->> 'sub')::uuid));
    CREATE POLICY readable ON messages FOR SELECT
        USING (EXISTS (SELECT FROM conversations c WHERE c.id = conversation_id))";

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let conversation = ForeignKey::create()
            .name("fk_messages_conversation_id")
            .from("messages", "conversation_id")
            .to("conversations", "id")
            .on_delete(ForeignKeyAction::Cascade)
            .take();
        let role = Expr::col("role").is_in(["user", "assistant", "system"]);
        let table = Table::create()
            .table("messages")
            .col(uuid("id"))
            .col(uuid("conversation_id"))
            .col(text("role"))
            .col(text("body"))
            .col(timestamp_with_time_zone("created_at"))
            .primary_key(Index::create().name("pk_messages").col("id"))
            .foreign_key(&mut conversation.clone())
            .check(("ck_messages_role", role))
            .take();
        manager.create_table(table).await?;
        // A conversation's messages in order, a page or a stream at a time.
        let index = Index::create()
            .name("ix_messages_conversation_id_id")
            .table("messages")
            .col("conversation_id")
            .col("id")
            .take();
        manager.create_index(index).await?;
        berth_auth::policies(manager, POLICIES).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("messages").take()).await
    }
}
