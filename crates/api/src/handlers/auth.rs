//! Logins: where the service keeps the passwords itself (`auth.mode = "local"`).

use actix_web::{HttpResponse, web};
use berth_auth::Credentials;
use berth_web::Problem;
use berth_web::extract::{ClientAddress, Json, ServiceSession};
use berth_web::identity::{CurrentUser, Identities};
use berth_web::response::{TokenResponse, created};
use serde::{Deserialize, Serialize};
use service::{NewUser, Services};
use utoipa::ToSchema;

use crate::error::ApiResult;

/// A new user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Register {
    #[schema(format = Email, max_length = 254)]
    email: String,
    #[schema(format = Password, min_length = 8, max_length = 200)]
    password: String,
    #[schema(min_length = 1, max_length = 100)]
    name: String,
}

/// The address of a new user.
#[derive(Serialize, ToSchema)]
pub(crate) struct Registered {
    email: String,
}

/// The e-mail address and the password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    email: String,
    #[schema(format = Password)]
    password: String,
}

/// The refresh token, which is used once.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefreshToken {
    refresh_token: String,
}

/// The old and the new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangePassword {
    #[schema(format = Password)]
    old_password: String,
    #[schema(format = Password, min_length = 8, max_length = 200)]
    new_password: String,
}

/// Registers a user
///
/// The answer is the same where the address is taken.
#[utoipa::path(post, path = "/api/v1/auth/register", tag = "auth", security(()), request_body = Register,
    responses(
        (status = 201, body = Registered),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "Invalid input"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Too many logins at once"),
    ))]
pub(crate) async fn register(
    session: ServiceSession,
    services: web::Data<Services>,
    identities: web::Data<Identities>,
    Json(Register {
        email,
        password,
        name,
    }): Json<Register>,
) -> ApiResult<HttpResponse> {
    let passwords = identities.auth().local()?.passwords();
    let registered = Registered { email: email.clone() };
    services
        .users(&session)
        .register(passwords, NewUser { email, name }, &password)
        .await?;
    Ok(created("/api/v1/me", &registered))
}

/// Logs a user in
#[utoipa::path(post, path = "/api/v1/auth/login", tag = "auth", security(()), request_body = Login,
    responses(
        (status = 200, body = TokenResponse),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "Wrong address or password"),
        (status = 429, body = Problem, content_type = "application/problem+json", description = "Too many attempts"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Too many logins at once"),
    ))]
pub(crate) async fn login(
    session: ServiceSession,
    services: web::Data<Services>,
    identities: web::Data<Identities>,
    ClientAddress(address): ClientAddress,
    Json(Login { email, password }): Json<Login>,
) -> ApiResult<web::Json<TokenResponse>> {
    let (users, now) = (services.users(&session), services.clock().now());
    let credentials = Credentials {
        email,
        password,
        address,
    };
    let tokens = identities
        .auth()
        .local()?
        .login(&session, &users, &credentials, now)
        .await?;
    Ok(web::Json(tokens.into()))
}

/// Exchanges a refresh token for new tokens
///
/// A refresh token that is used again ends its login.
#[utoipa::path(post, path = "/api/v1/auth/refresh", tag = "auth", security(()), request_body = RefreshToken,
    responses(
        (status = 200, body = TokenResponse),
        (status = 401, body = Problem, content_type = "application/problem+json", description = "Refresh token not valid"),
    ))]
pub(crate) async fn refresh(
    session: ServiceSession,
    services: web::Data<Services>,
    identities: web::Data<Identities>,
    Json(RefreshToken { refresh_token }): Json<RefreshToken>,
) -> ApiResult<web::Json<TokenResponse>> {
    let (users, now) = (services.users(&session), services.clock().now());
    let tokens = identities
        .auth()
        .local()?
        .refresh(&session, &users, &refresh_token, now)
        .await?;
    Ok(web::Json(tokens.into()))
}

/// Ends the login of a refresh token
///
/// Its access token stays valid until it expires.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "auth", security(()), request_body = RefreshToken,
    responses((status = 204, description = "Logged out")))]
pub(crate) async fn logout(
    session: ServiceSession,
    Json(RefreshToken { refresh_token }): Json<RefreshToken>,
) -> ApiResult<HttpResponse> {
    berth_auth::refresh_token::revoke(&session, &refresh_token).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Changes your password and ends your other logins
#[utoipa::path(post, path = "/api/v1/auth/password", tag = "auth", request_body = ChangePassword,
    responses(
        (status = 200, body = TokenResponse),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "Invalid input"),
        (status = 429, body = Problem, content_type = "application/problem+json", description = "Too many attempts"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Too many logins at once"),
    ))]
pub(crate) async fn password(
    session: ServiceSession,
    services: web::Data<Services>,
    identities: web::Data<Identities>,
    user: CurrentUser,
    Json(ChangePassword {
        old_password,
        new_password,
    }): Json<ChangePassword>,
) -> ApiResult<web::Json<TokenResponse>> {
    let (users, now) = (services.users(&session), services.clock().now());
    let local = identities.auth().local()?;
    let passwords = (&*old_password, &*new_password);
    let tokens = local
        .change_password(&session, &users, user.id(), passwords, now)
        .await?;
    Ok(web::Json(tokens.into()))
}
