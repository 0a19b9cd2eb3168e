//! Logins: where the service keeps the passwords itself (`auth.mode = "local"`).

use actix_web::{HttpResponse, web};
use berth_auth::Purpose;
use berth_web::extract::Json;
use berth_web::identity::{
    ChangePassword, CurrentUser, EmailAddress, EmailToken, Login, Logins, RefreshToken, ResetPassword,
    TokenResponse,
};
use berth_web::response::created;
use berth_web::routes;
use berth_web::routing::Routes;
use serde::{Deserialize, Serialize};
use service::{NewUser, Services};
use utoipa::ToSchema;

use crate::error::ApiResult;

/// The routes of this file.
pub(crate) fn routes() -> Routes {
    routes!(
        "auth",
        "Logins",
        [
            register,
            login,
            refresh,
            logout,
            password,
            request_verification,
            verify,
            forgot,
            reset
        ]
    )
}

/// A new user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Register {
    #[schema(format = Email, max_length = 254)]
    email: String,
    #[schema(format = Password, min_length = 8, max_length = 200)]
    password: String,
    #[schema(min_length = 1, max_length = 100, pattern = r"^[^\x00]*[^\s\x00][^\x00]*$")]
    name: String,
}

/// The address of a new user.
#[derive(Serialize, ToSchema)]
struct Registered {
    email: String,
}

/// Registers a user
///
/// An e-mail with a link verifies the address. The answer is the same where the address is taken.
#[utoipa::path(post, path = "/auth/register", security(()), request_body = Register,
    responses((status = 201, body = Registered)))]
async fn register(
    logins: Logins,
    services: web::Data<Services>,
    Json(new): Json<Register>,
) -> ApiResult<HttpResponse> {
    let (email, name) = (new.email.into(), new.name.into());
    let (users, passwords) = (services.users(logins.session()), logins.local()?.passwords());
    let user = NewUser { email, name };
    let email = users.register(passwords, user, &new.password).await?;
    logins.mail_to(Purpose::VerifyEmail, email.clone()).await?;
    Ok(created("/api/v1/me", &Registered { email }))
}

/// Logs a user in
#[utoipa::path(post, path = "/auth/login", security(()), request_body = Login,
    responses(
        (status = 200, body = TokenResponse),
        (status = 401, description = "Wrong address or password"),
        (status = 403, description = "Address not verified"),
        (status = 429, description = "Too many attempts"),
    ))]
async fn login(
    logins: Logins,
    services: web::Data<Services>,
    Json(login): Json<Login>,
) -> ApiResult<TokenResponse> {
    let users = services.users(logins.session());
    logins.login(&users, login).await
}

/// Exchanges a refresh token for new tokens
///
/// A refresh token that is used again ends its login.
#[utoipa::path(post, path = "/auth/refresh", security(()), request_body = RefreshToken,
    responses(
        (status = 200, body = TokenResponse),
        (status = 401, description = "Refresh token not valid"),
    ))]
async fn refresh(
    logins: Logins,
    services: web::Data<Services>,
    Json(token): Json<RefreshToken>,
) -> ApiResult<TokenResponse> {
    let users = services.users(logins.session());
    logins.refresh(&users, token).await
}

/// Ends the login of a refresh token
///
/// Its access token stays valid until it expires.
#[utoipa::path(post, path = "/auth/logout", security(()), request_body = RefreshToken,
    responses((status = 204, description = "Logged out")))]
async fn logout(logins: Logins, Json(token): Json<RefreshToken>) -> ApiResult<HttpResponse> {
    logins.logout(token).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Changes your password and ends your other logins
#[utoipa::path(post, path = "/auth/password", request_body = ChangePassword,
    responses(
        (status = 200, body = TokenResponse),
        (status = 429, description = "Too many attempts"),
    ))]
async fn password(
    logins: Logins,
    services: web::Data<Services>,
    user: CurrentUser,
    Json(change): Json<ChangePassword>,
) -> ApiResult<TokenResponse> {
    let users = services.users(logins.session());
    logins.change_password(&users, &user, change).await
}

/// Sends another e-mail that verifies the address
///
/// The answer is the same where there is no such account, or its address is verified already.
#[utoipa::path(post, path = "/auth/verify/request", security(()), request_body = EmailAddress,
    responses((status = 202, description = "An e-mail is sent, if there is an account")))]
async fn request_verification(logins: Logins, Json(address): Json<EmailAddress>) -> ApiResult<HttpResponse> {
    logins.mail(Purpose::VerifyEmail, address).await
}

/// Verifies an e-mail address with the token of an e-mail to it
#[utoipa::path(post, path = "/auth/verify", security(()), request_body = EmailToken,
    responses((status = 204, description = "Verified")))]
async fn verify(
    logins: Logins,
    services: web::Data<Services>,
    Json(token): Json<EmailToken>,
) -> ApiResult<HttpResponse> {
    let users = services.users(logins.session());
    logins.verify_email(&users, token).await
}

/// Sends an e-mail with a link that resets the password
///
/// The answer is the same where there is no such account.
#[utoipa::path(post, path = "/auth/forgot", security(()), request_body = EmailAddress,
    responses((status = 202, description = "An e-mail is sent, if there is an account")))]
async fn forgot(logins: Logins, Json(address): Json<EmailAddress>) -> ApiResult<HttpResponse> {
    logins.mail(Purpose::ResetPassword, address).await
}

/// Sets a new password with the token of an e-mail
///
/// It ends all logins and verifies the address.
#[utoipa::path(post, path = "/auth/reset", security(()), request_body = ResetPassword,
    responses((status = 204, description = "Changed")))]
async fn reset(
    logins: Logins,
    services: web::Data<Services>,
    Json(reset): Json<ResetPassword>,
) -> ApiResult<HttpResponse> {
    let users = services.users(logins.session());
    logins.reset_password(&users, reset).await
}
