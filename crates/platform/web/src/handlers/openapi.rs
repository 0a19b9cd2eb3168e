//! The description of the API, and the page that shows it.

use std::sync::{Arc, LazyLock};

use actix_web::http::header::{ContentEncoding, ContentType};
use actix_web::{HttpResponse, web};
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa_swagger_ui::Config;

use super::{health, home};
use crate::Error;

/// The description of the API as JSON, written once.
#[derive(Clone, Debug)]
pub struct Document(String);

#[derive(utoipa::OpenApi)]
#[openapi(
    tags((name = "service", description = "The service itself")),
    paths(home::home, health::health, health::live, health::ready, health::pool),
    components(schemas(crate::Problem))
)]
struct Platform;

/// Adds the platform's own routes, the security scheme, and the problems that follow from an operation's form.
///
/// An operation needs a token unless it says `security(())`, and can be answered with 401. One with variable parts in its
/// path can be answered with 404, one with a body or a query with 422, and each with 503. What a handler describes itself stays.
pub fn with_platform(mut api: OpenApi) -> OpenApi {
    for operation in operations(&mut api) {
        for (status, description) in problems_of(operation) {
            let responses = &mut operation.responses.responses;
            let problem = || RefOr::T(problem(description));
            responses.entry(status.to_owned()).or_insert_with(problem);
        }
    }
    let mut platform = Platform::openapi();
    for operation in operations(&mut platform) {
        operation.security = Some(Vec::new());
    }
    api.merge(platform);
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .build();
    let components = api.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    api.security = Some(vec![SecurityRequirement::new("bearer", [""; 0])]);
    api
}

fn operations(api: &mut OpenApi) -> impl Iterator<Item = &mut Operation> {
    api.paths.paths.values_mut().flat_map(|path| {
        let operations = [
            &mut path.get,
            &mut path.post,
            &mut path.put,
            &mut path.patch,
            &mut path.delete,
        ];
        operations.into_iter().flatten()
    })
}

/// The problems that an operation of this form can be answered with.
fn problems_of(operation: &Operation) -> Vec<(&'static str, &'static str)> {
    let has = |kind: ParameterIn| {
        let mut parameters = operation.parameters.iter().flatten();
        parameters.any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == kind))
    };
    let has_input = operation.request_body.is_some() || has(ParameterIn::Query);
    let problems = [
        (operation.security.is_none(), "401", "No valid access token"),
        (has(ParameterIn::Path), "404", "Not found, or not yours"),
        (has_input, "422", "Invalid input"),
        (
            true,
            "503",
            "Not served at present; the header Retry-After says when to try again",
        ),
    ];
    let problems = problems.into_iter().filter(|(applies, ..)| *applies);
    problems
        .map(|(_, status, description)| (status, description))
        .collect()
}

fn problem(description: &str) -> utoipa::openapi::Response {
    let problem = Content::new(Some(Ref::from_schema_name("Problem")));
    ResponseBuilder::new()
        .description(description)
        .content(crate::problem::MEDIA_TYPE, problem)
        .build()
}

impl Document {
    /// Writes a description; one that cannot be written is empty, which a service's tests notice.
    pub fn new(api: &OpenApi) -> Self {
        Self(api.to_json().unwrap_or_default())
    }
}

/// `GET /api/openapi.json`
pub async fn document(document: web::Data<Document>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .body(document.0.clone())
}

/// `GET /docs/{file}`: the page that shows the description. All its files are in the binary.
///
/// # Errors
///
/// [`Error::NoRoute`] for a file that the page does not have.
pub async fn page(file: web::Path<String>) -> Result<HttpResponse, Error> {
    static CONFIG: LazyLock<Arc<Config<'static>>> =
        LazyLock::new(|| Arc::new(Config::from("/api/openapi.json")));
    let found = utoipa_swagger_ui::serve(&file, CONFIG.clone()).ok().flatten();
    let found = found.ok_or(Error::NoRoute)?;
    let mut response = HttpResponse::Ok();
    response.content_type(found.content_type);
    if found.gzpipped {
        response.insert_header(ContentEncoding::Gzip);
    }
    Ok(response.body(found.bytes.into_owned()))
}
