//! All users, for administrators.

use actix_web::{HttpRequest, web};
use berth_web::extract::{Query, ServiceSession};
use berth_web::identity::{RequireRole, Role};
use berth_web::response::{Listing, PageQuery};
use berth_web::routes;
use berth_web::routing::Routes;
use service::Services;

use super::me::User;
use crate::error::ApiResult;

/// The routes of this file.
pub(crate) fn routes() -> Routes {
    routes!("users", "Users", [list])
}

/// The role of administrators, given by `UPDATE users SET role = 'admin'`.
struct Admin;

impl Role for Admin {
    const NAME: &'static str = "admin";
}

/// Lists all users, newest first
#[utoipa::path(get, path = "/users", params(PageQuery),
    responses(
        (status = 200, body = Listing<User>),
        (status = 403, description = "Not an administrator"),
    ))]
async fn list(
    session: ServiceSession,
    services: web::Data<Services>,
    _: RequireRole<Admin>,
    request: HttpRequest,
    Query(query): Query<PageQuery>,
) -> ApiResult<web::Json<Listing<User>>> {
    let page = services.users(&session).list(query.into()).await?;
    Ok(web::Json(Listing::new(page, &request)))
}
