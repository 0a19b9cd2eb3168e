//! Messages of a conversation, and the answers to them.

use actix_web::{HttpRequest, HttpResponse, web};
use berth_web::events::{AtStop, EventStreams, LastEventId, ServerEvent, to_the_end};
use berth_web::extract::{Json, Path, Query, Session};
use berth_web::identity::CurrentUser;
use berth_web::response::{Listing, PageQuery, created, location, ndjson};
use berth_web::routing::Routes;
use berth_web::{output, routes};
use chrono::{DateTime, Utc};
use entity::sample::message::{self, Role};
use futures_util::{StreamExt, TryStreamExt};
use serde::Serialize;
use service::Services;
use service::sample::{AnswerPart, WriteMessage};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::{ApiError, ApiResult};
use crate::sample::Followers;

/// The routes of this file.
pub(crate) fn routes() -> Routes {
    routes!(
        "messages",
        "The messages of a conversation, and the answers",
        [list, create, export, events, read, update, delete]
    )
}

/// A message, as clients see it.
#[output(message::Model)]
struct Message {
    id: Uuid,
    role: Role,
    body: String,
    created_at: DateTime<Utc>,
}

/// A question and its answer.
#[derive(Debug, Serialize, ToSchema)]
struct QuestionAndAnswer {
    /// The id of the question.
    id: Uuid,
    question: Message,
    answer: Message,
}

/// Lists a conversation's messages, oldest first
#[utoipa::path(get, path = "/conversations/{conversation_id}/messages",
    params(PageQuery),
    responses((status = 200, body = Listing<Message>)))]
async fn list(
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
/// The question is stored before the chat model is called, and stays stored if the chat model fails. With
/// `Accept: text/event-stream` the answer is streamed as the chat model writes it, and it is stored at its end also if the
/// client disconnects. A streamed response is not repeated for the same `Idempotency-Key`.
#[utoipa::path(post, path = "/conversations/{conversation_id}/messages", request_body = WriteMessage,
    responses(
        (status = 201, body = QuestionAndAnswer, headers(("location" = String, description = "The address of the question"))),
        (status = 200, body = Message, content_type = "text/event-stream", description = "With `Accept: text/event-stream`: \
            events of the kind `part` with text as data, then `answer` with the message, or `problem`"),
        (status = 502, description = "The chat model did not answer"),
    ))]
async fn create(
    session: Session,
    services: web::Data<Services>,
    user: CurrentUser,
    Path(conversation): Path<Uuid>,
    request: HttpRequest,
    streams: EventStreams,
    Json(question): Json<WriteMessage>,
) -> ApiResult<HttpResponse> {
    let conversations = services.conversations(&session);
    if EventStreams::are_wanted(&request) {
        let stream = streams.reserve()?;
        let asked = conversations
            .store_question(user.id(), conversation, question)
            .await?;
        let session = session.into_streaming().await?;
        let parts = services.conversations(&session).answer(asked);
        return Ok(stream.send(&user, AtStop::Finish, to_the_end(parts).map(part_event)));
    }
    let asked = conversations.ask(user.id(), conversation, question).await?;
    let body = QuestionAndAnswer {
        id: asked.question.id,
        question: asked.question.into(),
        answer: asked.answer.into(),
    };
    Ok(created(&location(&request, body.id), &body))
}

/// Reads one message
#[utoipa::path(get, path = "/conversations/{conversation_id}/messages/{message_id}",
    responses((status = 200, body = Message)))]
async fn read(
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
#[utoipa::path(patch, path = "/conversations/{conversation_id}/messages/{message_id}", request_body = WriteMessage,
    responses((status = 200, body = Message)))]
async fn update(
    session: Session,
    services: web::Data<Services>,
    user: CurrentUser,
    Path((conversation, id)): Path<(Uuid, Uuid)>,
    Json(change): Json<WriteMessage>,
) -> ApiResult<web::Json<Message>> {
    let conversations = services.conversations(&session);
    let changed = conversations
        .update_message(user.id(), conversation, id, change)
        .await?;
    Ok(web::Json(changed.into()))
}

/// Deletes a message
#[utoipa::path(delete, path = "/conversations/{conversation_id}/messages/{message_id}",
    responses((status = 204, description = "Deleted")))]
async fn delete(
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
#[utoipa::path(get, path = "/conversations/{conversation_id}/messages/export",
    responses((status = 200, body = Message, content_type = "application/x-ndjson", description = "One message a line; a last line with `problem` after a failure")))]
async fn export(
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

/// Sends each new message of a conversation as a server-sent event
///
/// Messages after `Last-Event-ID` are sent first. The stream ends with the token; a client then connects again and resumes.
#[utoipa::path(get, path = "/conversations/{conversation_id}/events",
    params(LastEventId),
    responses((status = 200, body = Message, content_type = "text/event-stream", description = "Events of the kind `message`, with the message as data")))]
async fn events(
    session: Session,
    services: web::Data<Services>,
    user: CurrentUser,
    Path(conversation): Path<Uuid>,
    LastEventId(after): LastEventId,
    followers: web::Data<Followers>,
    streams: EventStreams,
) -> ApiResult<HttpResponse> {
    services
        .conversations(&session)
        .find(user.id(), conversation)
        .await?;
    let stream = streams.reserve()?;
    let messages = followers.follow(conversation, user.id(), after);
    let events = messages.map(|(id, message)| ServerEvent::new("message", &Message::from(message)).id(id));
    Ok(stream.send(&user, AtStop::End, events))
}

fn part_event(part: Result<AnswerPart, service::Error>) -> ServerEvent {
    match part {
        Ok(AnswerPart::Text(text)) => ServerEvent::new("part", &text),
        Ok(AnswerPart::Stored(answer)) => ServerEvent::new("answer", &Message::from(answer)),
        Err(error) => ServerEvent::new("problem", &ApiError::from(error).problem()),
    }
}
