//! Completes the OpenAPI document: ids, headers and error responses that follow from an operation's form.

use utoipa::OpenApi as _;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterIn};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Content, HttpMethod, Object, OpenApi, Ref, RefOr, Response, ResponseBuilder, Server, Type,
};

use crate::extract::{IDEMPOTENCY_KEY, IF_MATCH, IF_NONE_MATCH};
use crate::handlers::{health, home};

#[derive(utoipa::OpenApi)]
#[openapi(
    tags((name = "service", description = "The service itself")),
    paths(home::home, health::health, health::live, health::ready, health::pool),
    components(schemas(crate::Problem))
)]
struct Platform;

/// Adds the platform's own routes, the security scheme, and what follows from an operation's form.
///
/// An operation needs a token unless it says `security(())`. Its id is its function's name after its tag, as in
/// `users_read`. What a handler describes itself stays; an error that it describes without a body has a problem.
pub fn with_platform(mut api: OpenApi) -> OpenApi {
    for (method, operation) in operations(&mut api) {
        if !is_safe(&method) && operation.security.is_none() {
            let parameters = operation.parameters.get_or_insert_default();
            parameters.push(RefOr::T(IDEMPOTENCY_KEY.describe()));
        }
        let problems = problems_of(operation);
        add_problems(operation, problems);
        if takes(operation, IF_NONE_MATCH.name) {
            describe_versions(operation);
        }
    }
    let mut platform = Platform::openapi();
    for (_, operation) in operations(&mut platform) {
        operation.security = Some(Vec::new());
        add_problems(operation, OF_EACH_HEAD.to_vec());
    }
    if let Some(home) = platform
        .paths
        .paths
        .get_mut("/")
        .and_then(|path| path.get.as_mut())
    {
        add_problems(home, OF_EACH_CLIENT.to_vec());
    }
    api.merge(platform);
    for (_, operation) in operations(&mut api) {
        name_after_tag(operation);
        complete_problems(operation);
    }
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("The token alone, without `Bearer`"))
        .build();
    let components = api.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    api.security = Some(vec![SecurityRequirement::new("bearer", [""; 0])]);
    api.servers = Some(vec![Server::new("/")]);
    let description = api.info.description.get_or_insert_default();
    description.push_str(
        "\n\nThe [database connections](/debug/db-pool), live; in production the page needs `debug.token`.",
    );
    api
}

fn operations(api: &mut OpenApi) -> impl Iterator<Item = (HttpMethod, &mut Operation)> {
    api.paths.paths.values_mut().flat_map(|path| {
        let operations = [
            (HttpMethod::Get, &mut path.get),
            (HttpMethod::Post, &mut path.post),
            (HttpMethod::Put, &mut path.put),
            (HttpMethod::Patch, &mut path.patch),
            (HttpMethod::Delete, &mut path.delete),
        ];
        let present = operations.into_iter();
        present.filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
    })
}

/// Two tags may have operations of one name, such as `read`; a generated client needs a name for each.
fn name_after_tag(operation: &mut Operation) {
    let tag = operation.tags.iter().flatten().next();
    if let (Some(tag), Some(id)) = (tag, &operation.operation_id)
        && !id.starts_with(&format!("{tag}_"))
    {
        operation.operation_id = Some(format!("{tag}_{id}"));
    }
}

fn is_safe(method: &HttpMethod) -> bool {
    matches!(method, HttpMethod::Get)
}

fn takes(operation: &Operation, header: &str) -> bool {
    let mut parameters = operation.parameters.iter().flatten();
    parameters.any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == header))
}

/// The status and the description of a problem.
type Described = (&'static str, &'static str);

/// What a request of any operation is answered with because of its head.
const OF_EACH_HEAD: [Described; 3] = [
    ("414", "The URL is too long"),
    ("415", "The body is not JSON, or is compressed"),
    ("431", "The headers are too large"),
];

/// What a request is answered with because of other requests. Probes never are.
const OF_EACH_CLIENT: [Described; 2] = [
    (
        "429",
        "Too many requests; the Retry-After header says when to retry",
    ),
    (
        "503",
        "Service unavailable; the Retry-After header says when to retry",
    ),
];

fn add_problems(operation: &mut Operation, problems: Vec<Described>) {
    let responses = &mut operation.responses.responses;
    for (status, description) in problems {
        let described = || RefOr::T(problem(description));
        responses.entry(status.to_owned()).or_insert_with(described);
    }
}

/// Every error is a problem.
fn complete_problems(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && status.starts_with(['4', '5'])
            && response.content.is_empty()
        {
            response.content = problem("").content;
        }
    }
}

/// The problems that an operation of this form can be answered with.
fn problems_of(operation: &Operation) -> Vec<Described> {
    let has = |kind: ParameterIn| {
        let mut parameters = operation.parameters.iter().flatten();
        parameters.any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == kind))
    };
    let has_body = operation.request_body.is_some();
    let keyed = takes(operation, IDEMPOTENCY_KEY.name);
    let of_version = takes(operation, IF_MATCH.name);
    let problems = [
        (
            has_body || keyed || has(ParameterIn::Path),
            "400",
            "Malformed body, path or header",
        ),
        (
            operation.security.as_deref().is_none_or(takes_bearer),
            "401",
            "No valid access token",
        ),
        (has(ParameterIn::Path), "404", "Not found, or not yours"),
        (has_body, "408", "The body did not arrive in time"),
        (
            keyed,
            "409",
            "Conflict with stored data or with a concurrent request",
        ),
        (
            of_version,
            "412",
            "The resource has changed since the version in If-Match",
        ),
        (has_body || keyed, "413", "The body is too large"),
        (
            has_body || keyed || has(ParameterIn::Query),
            "422",
            "Invalid input",
        ),
        (of_version, "428", "If-Match is required but missing"),
        (true, "500", "Internal error"),
    ];
    let problems = problems.into_iter().filter(|(applies, ..)| *applies);
    let problems = problems.map(|(_, status, description)| (status, description));
    problems.chain(OF_EACH_HEAD).chain(OF_EACH_CLIENT).collect()
}

fn takes_bearer(security: &[SecurityRequirement]) -> bool {
    security.contains(&SecurityRequirement::new("bearer", [""; 0]))
}

fn problem(description: &str) -> Response {
    let problem = Content::new(Some(Ref::from_schema_name("Problem")));
    ResponseBuilder::new()
        .description(description)
        .content(crate::problem::MEDIA_TYPE, problem)
        .build()
}

/// The answers of an operation that sends an `ETag`.
fn describe_versions(operation: &mut Operation) {
    let tag = || {
        HeaderBuilder::new()
            .schema(Some(Object::with_type(Type::String)))
            .description(Some("The version, for If-Match and If-None-Match"))
            .build()
    };
    let responses = &mut operation.responses.responses;
    if let Some(RefOr::T(answer)) = responses.get_mut("200") {
        answer.headers.insert("etag".to_owned(), RefOr::T(tag()));
    }
    let known = ResponseBuilder::new()
        .description("The client already has this version")
        .header("etag", tag());
    responses.insert("304".to_owned(), RefOr::T(known.build()));
}
