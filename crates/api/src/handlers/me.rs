//! The user who sends the request.

use actix_web::web;
use berth_web::extract::Session;
use serde::Serialize;
use service::Services;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::current_user::CurrentUser;
use crate::error::ApiResult;

/// A user, as clients see it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct User {
    id: Uuid,
    name: String,
    email: String,
}

/// Returns the user who sends the request
#[utoipa::path(get, path = "/api/v1/me", tag = "users", responses((status = 200, body = User)))]
pub(crate) async fn read(
    session: Session,
    services: web::Data<Services>,
    user: CurrentUser,
) -> ApiResult<web::Json<User>> {
    let found = services.users(&session).find(user.id().await?).await?;
    Ok(web::Json(User {
        id: found.id,
        name: found.name,
        email: found.email,
    }))
}
