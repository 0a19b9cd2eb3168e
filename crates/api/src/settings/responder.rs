//! `[responder]`: the model that answers posted messages.

use std::time::Duration;

use berth_settings::{ConfigError, Loaded, Secret, http_url, seconds};
use berth_web::settings::Server;
use garde::Validate;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct Responder {
    #[garde(custom(http_url))]
    pub url: Option<String>,
    pub key: Option<Secret>,
    pub model: String,
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.1, 600.0)))]
    pub timeout: Duration,
}

impl Responder {
    pub(super) fn read(loaded: &mut Loaded, server: &Server) -> Result<Self, ConfigError> {
        let responder: Self = loaded.section("responder")?;
        if responder.url.is_some() && responder.timeout >= server.request_timeout {
            let rule = "must be less than server.request_timeout, which would cut the answer off";
            return Err(loaded.violation("responder.timeout", rule));
        }
        Ok(responder)
    }
}
