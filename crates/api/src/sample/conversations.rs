//! The caller's conversations.

use actix_web::{HttpResponse, web};
use berth_web::extract::{IfMatch, IfNoneMatch, Json, Patch, Path, Query, Session};
use berth_web::identity::{CurrentUser, OptionalUser};
use berth_web::response::{Listing, PageQuery, Versioned};
use chrono::{DateTime, Utc};
use entity::sample::conversation;
use serde::{Deserialize, Serialize};
use service::Services;
use service::sample::{ConversationChange, NewConversation};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::ApiResult;

/// A conversation, as clients see it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Conversation {
    id: Uuid,
    title: String,
    /// Whether everyone may read it.
    is_public: bool,
    /// Whether it is yours.
    is_yours: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// The fields of a new conversation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateConversation {
    #[schema(min_length = 1, max_length = 200, pattern = r"^[^\x00]*[^\s\x00][^\x00]*$")]
    title: String,
    #[serde(default)]
    is_public: bool,
}

/// The fields to change, at least one; absent ones stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
pub(crate) struct UpdateConversation {
    #[schema(
        min_length = 1,
        max_length = 200,
        nullable = false,
        pattern = r"^[^\x00]*[^\s\x00][^\x00]*$"
    )]
    title: Option<String>,
    #[schema(nullable = false)]
    is_public: Option<bool>,
}

/// Lists your conversations, newest first
#[utoipa::path(get, path = "/api/v1/conversations", tag = "conversations", params(PageQuery),
    responses((status = 200, body = Listing<Conversation>)))]
pub(crate) async fn list(
    session: Session,
    services: web::Data<Services>,
    user: CurrentUser,
    Query(query): Query<PageQuery>,
) -> ApiResult<web::Json<Listing<Conversation>>> {
    let limit = query.limit;
    let conversations = services.conversations(&session);
    let page = conversations.list(user.id(), query.into()).await?;
    Ok(web::Json(Listing::new(page, "/api/v1/conversations", limit)))
}

/// Creates a conversation
#[utoipa::path(post, path = "/api/v1/conversations", tag = "conversations", request_body = CreateConversation,
    responses((status = 201, body = Conversation, headers(("location" = String, description = "The address of the conversation")))))]
pub(crate) async fn create(
    session: Session,
    services: web::Data<Services>,
    user: CurrentUser,
    Json(CreateConversation { title, is_public }): Json<CreateConversation>,
) -> ApiResult<HttpResponse> {
    let new = NewConversation { title, is_public };
    let conversations = services.conversations(&session);
    let made = conversations.create(user.id(), new).await?;
    let location = format!("/api/v1/conversations/{}", made.id);
    Ok(versioned(made).created(&location))
}

/// Reads one conversation
///
/// Anybody reads a public one, without a token too.
#[utoipa::path(get, path = "/api/v1/conversations/{conversation_id}", tag = "conversations",
    security((), ("bearer" = [])), params(IfNoneMatch),
    responses((status = 200, body = Conversation)))]
pub(crate) async fn read(
    session: Session,
    services: web::Data<Services>,
    user: OptionalUser,
    Path(id): Path<Uuid>,
) -> ApiResult<Versioned<Conversation>> {
    let found = services.conversations(&session).find(user.id(), id).await?;
    let is_yours = user.id() == Some(found.owner_id);
    let mut answer = versioned(found);
    answer.body.is_yours = is_yours;
    Ok(answer)
}

/// Changes a conversation
#[utoipa::path(patch, path = "/api/v1/conversations/{conversation_id}", tag = "conversations", request_body = UpdateConversation, params(IfMatch),
    responses((status = 200, body = Conversation)))]
pub(crate) async fn update(
    session: Session,
    services: web::Data<Services>,
    user: CurrentUser,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
    Patch(UpdateConversation { title, is_public }): Patch<UpdateConversation>,
) -> ApiResult<Versioned<Conversation>> {
    let conversations = services.conversations(&session);
    let changed = conversations
        .update(user.id(), id, &expected, ConversationChange { title, is_public })
        .await?;
    Ok(versioned(changed))
}

/// Deletes a conversation with its messages
#[utoipa::path(delete, path = "/api/v1/conversations/{conversation_id}", tag = "conversations", params(IfMatch),
    responses((status = 204, description = "Deleted")))]
pub(crate) async fn delete(
    session: Session,
    services: web::Data<Services>,
    user: CurrentUser,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
) -> ApiResult<HttpResponse> {
    services
        .conversations(&session)
        .delete(user.id(), id, &expected)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

fn versioned(row: conversation::Model) -> Versioned<Conversation> {
    Versioned {
        version: row.version,
        body: row.into(),
    }
}

/// As its owner sees it.
impl From<conversation::Model> for Conversation {
    fn from(row: conversation::Model) -> Self {
        Self {
            id: row.id,
            title: row.title,
            is_public: row.is_public,
            is_yours: true,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}
