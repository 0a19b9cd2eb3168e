//! The caller's conversations.

use actix_web::{HttpRequest, HttpResponse, web};
use berth_web::extract::{IfMatch, IfNoneMatch, Json, Patch, Path, Query, Session};
use berth_web::identity::{CurrentUser, OptionalUser};
use berth_web::response::{Listing, Versioned, location};
use berth_web::routing::Routes;
use berth_web::value::{DateTime, Utc};
use berth_web::{output, routes};
use entity::sample::conversation;
use serde::Deserialize;
use service::sample::{ConversationFilter, CreateConversation, UpdateConversation};
use service::{Direction, PageRequest, Services};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::error::ApiResult;

/// The routes of this file.
pub(crate) fn routes() -> Routes {
    routes!(
        "conversations",
        "Your conversations",
        [list, create, read, update, delete]
    )
}

/// A conversation, as clients see it.
#[output(conversation::Model)]
struct Conversation {
    id: Uuid,
    title: String,
    /// Whether everyone may read it.
    is_public: bool,
    /// Whether it is yours.
    #[output(true)]
    is_yours: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// Which of your conversations, in which order.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListConversations {
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
enum Sort {
    #[serde(rename = "updated_at")]
    UpdatedAt,
    #[serde(rename = "-updated_at")]
    LastUpdated,
}

/// Lists your conversations
#[utoipa::path(get, path = "/conversations", params(ListConversations),
    responses((status = 200, body = Listing<Conversation>)))]
async fn list(
    session: Session,
    services: web::Data<Services>,
    user: CurrentUser,
    request: HttpRequest,
    Query(query): Query<ListConversations>,
) -> ApiResult<web::Json<Listing<Conversation>>> {
    let by_change = query.sort.map(|sort| match sort {
        Sort::UpdatedAt => Direction::Ascending,
        Sort::LastUpdated => Direction::Descending,
    });
    let filter = ConversationFilter {
        is_public: query.is_public,
        by_change,
    };
    let page = PageRequest {
        limit: query.limit,
        cursor: query.cursor,
    };
    let conversations = services.conversations(&session);
    let page = conversations.list(user.id(), filter, page).await?;
    Ok(web::Json(Listing::new(page, &request)))
}

/// Creates a conversation
#[utoipa::path(post, path = "/conversations", request_body = CreateConversation,
    responses((status = 201, body = Conversation, headers(("location" = String, description = "The address of the conversation")))))]
async fn create(
    session: Session,
    services: web::Data<Services>,
    user: CurrentUser,
    request: HttpRequest,
    Json(new): Json<CreateConversation>,
) -> ApiResult<HttpResponse> {
    let made = services.conversations(&session).create(user.id(), new).await?;
    let location = location(&request, made.id);
    Ok(Versioned::<Conversation>::from(made).created(&location))
}

/// Reads one conversation
///
/// Public conversations are readable without a token.
#[utoipa::path(get, path = "/conversations/{conversation_id}",
    security((), ("bearer" = [])), params(IfNoneMatch),
    responses((status = 200, body = Conversation)))]
async fn read(
    session: Session,
    services: web::Data<Services>,
    user: OptionalUser,
    Path(id): Path<Uuid>,
) -> ApiResult<Versioned<Conversation>> {
    let found = services.conversations(&session).find(user.id(), id).await?;
    let is_yours = user.id() == Some(found.owner_id);
    let mut answer = Versioned::<Conversation>::from(found);
    answer.body.is_yours = is_yours;
    Ok(answer)
}

/// Changes a conversation
#[utoipa::path(patch, path = "/conversations/{conversation_id}", request_body = UpdateConversation, params(IfMatch),
    responses((status = 200, body = Conversation)))]
async fn update(
    session: Session,
    services: web::Data<Services>,
    user: CurrentUser,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
    Patch(change): Patch<UpdateConversation>,
) -> ApiResult<Versioned<Conversation>> {
    let conversations = services.conversations(&session);
    let changed = conversations.update(user.id(), id, &expected, change).await?;
    Ok(changed.into())
}

/// Deletes a conversation with its messages
#[utoipa::path(delete, path = "/conversations/{conversation_id}", params(IfMatch),
    responses((status = 204, description = "Deleted")))]
async fn delete(
    session: Session,
    services: web::Data<Services>,
    user: CurrentUser,
    Path(id): Path<Uuid>,
    IfMatch(expected): IfMatch,
) -> ApiResult<HttpResponse> {
    let conversations = services.conversations(&session);
    conversations.delete(user.id(), id, &expected).await?;
    Ok(HttpResponse::NoContent().finish())
}
