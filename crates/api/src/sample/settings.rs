//! `[chat_model]`: the API of the chat model.

use std::time::Duration;

use berth_settings::{ConfigError, Loaded, Secret, http_url, seconds};
use berth_web::settings::Server;
use garde::Validate;
use serde::{Deserialize, Serialize};

/// The settings in `[chat_model]`; `config/default.toml` documents them.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct ChatModelSettings {
    #[garde(custom(http_url))]
    pub url: Option<String>,
    pub key: Option<Secret>,
    pub model: String,
    #[serde(with = "seconds")]
    #[garde(custom(seconds::between(0.1, 600.0)))]
    pub timeout: Duration,
}

impl ChatModelSettings {
    pub(crate) fn read(loaded: &mut Loaded, server: &Server) -> Result<Self, ConfigError> {
        let settings: Self = loaded.section("chat_model")?;
        if settings.url.is_some() && settings.timeout >= server.request_timeout {
            let rule = "must be less than server.request_timeout, which would cut the answer off";
            return Err(loaded.violation("chat_model.timeout", rule));
        }
        Ok(settings)
    }
}
