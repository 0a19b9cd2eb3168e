//! Conversations for a developer's database.

use berth_database::Session;
use service::sample::{ConversationFilter, CreateConversation, WriteMessage};
use service::{Error, PageRequest, Services};
use uuid::Uuid;

/// Makes a public and a private conversation with a question each, unless the owner has conversations.
pub(crate) async fn seed(services: &Services, session: &Session, owner: Uuid) -> Result<(), Error> {
    let conversations = services.conversations(session);
    let (all, first) = (ConversationFilter::default(), PageRequest::default());
    if !conversations.list(owner, all, first).await?.items.is_empty() {
        return Ok(());
    }
    for (title, is_public) in [("Poolers", true), ("Notes", false)] {
        let title = title.into();
        let new = CreateConversation { title, is_public };
        let made = conversations.create(owner, new).await?;
        let body = "What is a session-mode pooler?".to_owned();
        conversations.ask(owner, made.id, WriteMessage { body }).await?;
    }
    Ok(())
}
