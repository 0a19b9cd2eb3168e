//! The user who sends the request.

use actix_web::{HttpResponse, web};
use berth_web::extract::{Json, ServiceSession};
use berth_web::identity::{CurrentUser, Logins};
use berth_web::routing::Routes;
use berth_web::{output, routes};
use chrono::{DateTime, Utc};
use entity::user;
use service::{Services, UpdateUser};
use uuid::Uuid;

use crate::error::ApiResult;

/// The routes of this file.
pub(crate) fn routes() -> Routes {
    routes!("users", "Users", [read, update, delete])
}

/// A user, as clients see it.
#[output(user::Model)]
pub(crate) struct User {
    id: Uuid,
    name: String,
    /// Null for a user of an identity provider.
    email: Option<String>,
    /// Null until the user has opened the link in an e-mail.
    email_verified_at: Option<DateTime<Utc>>,
    role: String,
    created_at: DateTime<Utc>,
}

/// Returns the user who sends the request
#[utoipa::path(get, path = "/me",
    responses((status = 200, body = User), (status = 404, description = "Deleted")))]
async fn read(
    session: ServiceSession,
    services: web::Data<Services>,
    user: CurrentUser,
) -> ApiResult<web::Json<User>> {
    Ok(web::Json(services.users(&session).find(user.id()).await?.into()))
}

/// Changes your name
#[utoipa::path(patch, path = "/me", request_body = UpdateUser,
    responses((status = 200, body = User), (status = 404, description = "Deleted")))]
async fn update(
    session: ServiceSession,
    services: web::Data<Services>,
    user: CurrentUser,
    Json(change): Json<UpdateUser>,
) -> ApiResult<web::Json<User>> {
    let changed = services.users(&session).update(user.id(), change).await?;
    Ok(web::Json(changed.into()))
}

/// Deletes your account and everything in it
#[utoipa::path(delete, path = "/me",
    responses((status = 204, description = "Deleted"), (status = 404, description = "Deleted before")))]
async fn delete(logins: Logins, services: web::Data<Services>, user: CurrentUser) -> ApiResult<HttpResponse> {
    services.users(logins.session()).delete(user.id()).await?;
    logins.forget(&user);
    Ok(HttpResponse::NoContent().finish())
}
