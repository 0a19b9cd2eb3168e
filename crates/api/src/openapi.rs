//! The description of the API, made from the handlers it describes.

use berth_web::handlers::openapi::with_platform;
use berth_web::problem::ProblemType;
use utoipa::OpenApi;

use crate::handlers;

/// The types of problems that this service has beside the platform's; `/problems/{name}` explains them.
pub const PROBLEM_TYPES: &[&ProblemType] = &[];

/// The description: this service's routes and the platform's.
pub fn api() -> utoipa::openapi::OpenApi {
    let mut api = Api::openapi();
    for routes in handlers::routes() {
        routes.describe(&mut api, handlers::PREFIX);
    }
    with_platform(api)
}

/// The document as it is committed in `docs/openapi.json`.
///
/// # Errors
///
/// A mistake in a handler's description.
pub fn text() -> Result<String, serde_json::Error> {
    Ok(api().to_pretty_json()? + "\n")
}

#[derive(OpenApi)]
#[openapi(info(
    title = "Berth",
    description = "A service that stays within its database connections. Every error is an RFC 9457 problem, and every \
        response has the header `x-request-id`."
))]
struct Api;
