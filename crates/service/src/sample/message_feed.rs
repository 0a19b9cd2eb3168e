//! The messages of a conversation, for clients that follow it.

use async_trait::async_trait;
use berth_database::Session;
use berth_service::feed::{Entry, Feed, Readers};
use entity::sample::{conversation, message};
use sea_orm::{Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::Error;

/// The messages of conversations, as they are stored.
#[derive(Clone, Copy, Debug)]
pub struct MessageFeed;

#[async_trait]
impl Feed for MessageFeed {
    type Item = message::Model;
    type Column = message::Column;
    const CHANNEL: &'static str = "messages";
    const TOPIC: message::Column = message::Column::ConversationId;
    const ID: message::Column = message::Column::Id;

    async fn read(
        &self,
        session: &Session,
        which: Condition,
        limit: u64,
    ) -> Result<Vec<Entry<message::Model>>, Error> {
        let rows = message::Entity::find()
            .find_also_related(conversation::Entity)
            .filter(which)
            .order_by_asc(message::Column::Id)
            .limit(limit)
            .all(session)
            .await?;
        let entry = |(item, conversation): (message::Model, Option<conversation::Model>)| {
            let conversation = conversation?;
            Some(Entry {
                topic: conversation.id,
                id: item.id,
                readers: match conversation.is_public {
                    true => Readers::Everyone,
                    false => Readers::Only(conversation.owner_id),
                },
                item,
            })
        };
        Ok(rows.into_iter().filter_map(entry).collect())
    }
}
