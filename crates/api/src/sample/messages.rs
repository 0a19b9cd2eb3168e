//! Messages of a conversation, and the answers to them.

use actix_web::{HttpRequest, HttpResponse, web};
use berth_web::extract::{Json, Path, Query, Session};
use berth_web::identity::CurrentUser;
use berth_web::response::{Listing, PageQuery, created, ndjson};
use chrono::{DateTime, Utc};
use entity::sample::message;
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use service::Services;
use service::sample::{MessageChange, NewMessage};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::{ApiError, ApiResult};

/// A message, as clients see it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Message {
    id: Uuid,
    role: Role,
    body: String,
    created_at: DateTime<Utc>,
}

/// The author of a message.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    User,
    Assistant,
    System,
}

/// The text of a message.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteMessage {
    #[schema(min_length = 1, pattern = r"^[^\x00]*[^\s\x00][^\x00]*$")]
    body: String,
}

/// A question and its answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuestionAndAnswer {
    /// The id of the question.
    id: Uuid,
    question: Message,
    answer: Message,
}

/// Lists a conversation's messages, oldest first
#[utoipa::path(get, path = "/api/v1/conversations/{conversation_id}/messages", tag = "messages",
    params(PageQuery),
    responses((status = 200, body = Listing<Message>)))]
pub(crate) async fn list(
    session: Session,
    services: web::Data<Services>,
    user: CurrentUser,
    Path(conversation): Path<Uuid>,
    request: HttpRequest,
    Query(query): Query<PageQuery>,
) -> ApiResult<web::Json<Listing<Message>>> {
    let conversations = services.conversations(&session);
    let page = conversations
        .messages(user.id(), conversation, query.into())
        .await?;
    Ok(web::Json(Listing::new(page, &request)))
}

/// Asks a question and waits for its answer
///
/// The question is stored before the chat model is called, and stays stored if the chat model fails.
#[utoipa::path(post, path = "/api/v1/conversations/{conversation_id}/messages", tag = "messages", request_body = WriteMessage,
    responses(
        (status = 201, body = QuestionAndAnswer, headers(("location" = String, description = "The address of the question"))),
        (status = 502, description = "The chat model did not answer"),
    ))]
pub(crate) async fn create(
    session: Session,
    services: web::Data<Services>,
    user: CurrentUser,
    Path(conversation): Path<Uuid>,
    Json(WriteMessage { body }): Json<WriteMessage>,
) -> ApiResult<HttpResponse> {
    let conversations = services.conversations(&session);
    let asked = conversations
        .ask(user.id(), conversation, NewMessage { body })
        .await?;
    let id = asked.question.id;
    let location = format!("/api/v1/conversations/{conversation}/messages/{id}");
    let body = QuestionAndAnswer {
        id,
        question: asked.question.into(),
        answer: asked.answer.into(),
    };
    Ok(created(&location, &body))
}

/// Reads one message
#[utoipa::path(get, path = "/api/v1/conversations/{conversation_id}/messages/{message_id}", tag = "messages",
    responses((status = 200, body = Message)))]
pub(crate) async fn read(
    session: Session,
    services: web::Data<Services>,
    user: CurrentUser,
    Path((conversation, id)): Path<(Uuid, Uuid)>,
) -> ApiResult<web::Json<Message>> {
    let conversations = services.conversations(&session);
    let found = conversations.message(user.id(), conversation, id).await?;
    Ok(web::Json(found.into()))
}

/// Changes the text of a message
#[utoipa::path(patch, path = "/api/v1/conversations/{conversation_id}/messages/{message_id}", tag = "messages", request_body = WriteMessage,
    responses((status = 200, body = Message)))]
pub(crate) async fn update(
    session: Session,
    services: web::Data<Services>,
    user: CurrentUser,
    Path((conversation, id)): Path<(Uuid, Uuid)>,
    Json(WriteMessage { body }): Json<WriteMessage>,
) -> ApiResult<web::Json<Message>> {
    let conversations = services.conversations(&session);
    let changed = conversations
        .update_message(user.id(), conversation, id, MessageChange { body })
        .await?;
    Ok(web::Json(changed.into()))
}

/// Deletes a message
#[utoipa::path(delete, path = "/api/v1/conversations/{conversation_id}/messages/{message_id}", tag = "messages",
    responses((status = 204, description = "Deleted")))]
pub(crate) async fn delete(
    session: Session,
    services: web::Data<Services>,
    user: CurrentUser,
    Path((conversation, id)): Path<(Uuid, Uuid)>,
) -> ApiResult<HttpResponse> {
    let conversations = services.conversations(&session);
    conversations.delete_message(user.id(), conversation, id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Sends all messages of a conversation, oldest first, one JSON object a line
///
/// They are read page by page while they are sent, so that no connection is held for a slow reader.
#[utoipa::path(get, path = "/api/v1/conversations/{conversation_id}/messages/export", tag = "messages",
    responses((status = 200, body = Message, content_type = "application/x-ndjson", description = "One message a line; a last line with `problem` after a failure")))]
pub(crate) async fn export(
    session: Session,
    services: web::Data<Services>,
    user: CurrentUser,
    Path(conversation): Path<Uuid>,
) -> ApiResult<HttpResponse> {
    let owner = user.id();
    services.conversations(&session).find(owner, conversation).await?;
    let body = session.into_streaming().await?;
    let rows = services.conversations(&body).export(owner, conversation);
    let rows = rows.map_ok(Message::from).map_err(ApiError::from);
    Ok(ndjson(rows, ApiError::problem))
}

impl From<message::Model> for Message {
    fn from(row: message::Model) -> Self {
        Self {
            id: row.id,
            role: row.role.into(),
            body: row.body,
            created_at: row.created_at,
        }
    }
}

impl From<message::Role> for Role {
    fn from(role: message::Role) -> Self {
        match role {
            message::Role::User => Self::User,
            message::Role::Assistant => Self::Assistant,
            message::Role::System => Self::System,
        }
    }
}
