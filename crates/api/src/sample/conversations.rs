//! The caller's conversations.

use actix_web::{HttpRequest, HttpResponse, web};
use berth_web::extract::{IfMatch, IfNoneMatch, Json, Patch, Path, Query, Session};
use berth_web::identity::{CurrentUser, OptionalUser};
use berth_web::response::{Listing, Versioned};
use chrono::{DateTime, Utc};
use entity::sample::conversation;
use serde::{Deserialize, Serialize};
use service::sample::{ConversationChange, ConversationFilter, NewConversation};
use service::{Direction, PageRequest, Services};
use utoipa::{IntoParams, ToSchema};
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

/// Which of your conversations, in which order.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListConversations {
    /// The largest number of items on the page.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u64>,
    /// Where the page begins: the `cursor` of the previous page's `next`, in the same order.
    #[param(pattern = "^[0-9a-f]{48}$")]
    cursor: Option<String>,
    /// Only public ones, or only others.
    is_public: Option<bool>,
    /// By the time of the last change, `-` for the last change first; otherwise newest first.
    #[param(inline, nullable = false)]
    sort: Option<Sort>,
}

#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
pub(crate) enum Sort {
    #[serde(rename = "updated_at")]
    UpdatedAt,
    #[serde(rename = "-updated_at")]
    LastUpdated,
}

/// Lists your conversations
#[utoipa::path(get, path = "/api/v1/conversations", tag = "conversations", params(ListConversations),
    responses((status = 200, body = Listing<Conversation>)))]
pub(crate) async fn list(
    session: Session,
    services: web::Data<Services>,
    user: CurrentUser,
    request: HttpRequest,
    Query(ListConversations {
        limit,
        cursor,
        is_public,
        sort,
    }): Query<ListConversations>,
) -> ApiResult<web::Json<Listing<Conversation>>> {
    let by_change = sort.map(|sort| match sort {
        Sort::UpdatedAt => Direction::Ascending,
        Sort::LastUpdated => Direction::Descending,
    });
    let filter = ConversationFilter { is_public, by_change };
    let conversations = services.conversations(&session);
    let page = conversations
        .list(user.id(), filter, PageRequest { limit, cursor })
        .await?;
    Ok(web::Json(Listing::new(page, &request)))
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
