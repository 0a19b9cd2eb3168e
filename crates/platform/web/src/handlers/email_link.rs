//! The page to which links in mails lead, for services without a front end.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use actix_web::{HttpResponse, web};

use crate::Error;
use crate::identity::Identities;

const PAGE: &str = include_str!("../pages/email-link.html");
/// The page is one file: it loads nothing from elsewhere and talks to this service only.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
    img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `GET /verify-email` and `GET /reset-password`: a page that sends the token in the fragment of its address to
/// `/api/v1/auth/verify` or `/api/v1/auth/reset`, when the user presses the button.
///
/// The fragment is not sent to the server, so that the token is in no log. Programs that open the links of a mail to examine
/// them press no button.
///
/// # Errors
///
/// [`Error::NoRoute`] where issuers make the tokens.
pub async fn email_link(identities: web::Data<Identities>) -> Result<HttpResponse, Error> {
    identities.auth().local().map_err(|_| Error::NoRoute)?;
    Ok(HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .body(PAGE))
}
