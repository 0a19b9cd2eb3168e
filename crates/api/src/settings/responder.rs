//! Who answers posted messages.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Broken, Secret, Server, require, seconds, within};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Responder {
    pub url: Option<String>,
    pub key: Option<Secret>,
    pub model: String,
    #[serde(with = "seconds")]
    pub timeout: Duration,
}

impl Responder {
    pub(super) fn check(&self, server: &Server) -> Result<(), Broken> {
        within("responder.timeout", self.timeout, 0.1, 600.0)?;
        let Some(url) = &self.url else { return Ok(()) };
        require(
            url.starts_with("http://") || url.starts_with("https://"),
            "responder.url",
            "must begin with http:// or https://",
        )?;
        require(
            self.timeout < server.request_timeout,
            "responder.timeout",
            "must be less than server.request_timeout, which would cut the answer off",
        )
    }
}
