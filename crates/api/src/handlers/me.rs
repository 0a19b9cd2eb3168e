//! The user who sends the request.

use actix_web::{HttpResponse, web};
use berth_web::extract::{Json, ServiceSession};
use berth_web::identity::{CurrentUser, Logins};
use chrono::{DateTime, Utc};
use entity::user;
use serde::{Deserialize, Serialize};
use service::Services;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::ApiResult;

/// A user, as clients see it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct User {
    id: Uuid,
    name: String,
    /// Null for a user of an identity provider.
    email: Option<String>,
    role: String,
    created_at: DateTime<Utc>,
}

/// The fields to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateUser {
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\x00]*[^\s\x00][^\x00]*$")]
    name: String,
}

/// Returns the user who sends the request
#[utoipa::path(get, path = "/api/v1/me", tag = "users",
    responses((status = 200, body = User), (status = 404, description = "Deleted")))]
pub(crate) async fn read(
    session: ServiceSession,
    services: web::Data<Services>,
    user: CurrentUser,
) -> ApiResult<web::Json<User>> {
    Ok(web::Json(services.users(&session).find(user.id()).await?.into()))
}

/// Changes your name
#[utoipa::path(patch, path = "/api/v1/me", tag = "users", request_body = UpdateUser,
    responses((status = 200, body = User), (status = 404, description = "Deleted")))]
pub(crate) async fn update(
    session: ServiceSession,
    services: web::Data<Services>,
    user: CurrentUser,
    Json(change): Json<UpdateUser>,
) -> ApiResult<web::Json<User>> {
    let changed = services.users(&session).rename(user.id(), &change.name).await?;
    Ok(web::Json(changed.into()))
}

/// Deletes your account and everything in it
#[utoipa::path(delete, path = "/api/v1/me", tag = "users",
    responses((status = 204, description = "Deleted"), (status = 404, description = "Deleted before")))]
pub(crate) async fn delete(
    logins: Logins,
    services: web::Data<Services>,
    user: CurrentUser,
) -> ApiResult<HttpResponse> {
    services.users(logins.session()).delete(user.id()).await?;
    logins.forget(&user);
    Ok(HttpResponse::NoContent().finish())
}

impl From<user::Model> for User {
    fn from(row: user::Model) -> Self {
        Self {
            id: row.id,
            name: row.name,
            email: row.email,
            role: row.role,
            created_at: row.created_at,
        }
    }
}
