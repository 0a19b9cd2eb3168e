//! The address of a request's client.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::IpAddr;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};

use crate::client_address::TrustedProxies;

/// The address of the client: of the connection, or what the proxies of `server.trusted_proxies` say.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub Option<IpAddr>);

impl ClientAddress {
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let proxies = request.app_data::<web::Data<TrustedProxies>>();
        Self(proxies.and_then(|proxies| proxies.client_of(request.head())))
    }
}

impl FromRequest for ClientAddress {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::of(request)))
    }
}
