//! The chat model of the settings.

use std::sync::Arc;

use berth_web::{StartError, telemetry};
use service::sample::{self, ChatModel, HttpChatModel, OfflineChatModel};

use super::ChatModelSettings;

/// Makes the chat model: an API if `chat_model.url` is set, otherwise the offline one.
///
/// # Errors
///
/// The API's URL or key is not usable.
pub(crate) fn chat_model(settings: &ChatModelSettings) -> Result<Arc<dyn ChatModel>, StartError> {
    let Some(url) = &settings.url else {
        return Ok(Arc::new(OfflineChatModel));
    };
    let model = HttpChatModel::new(sample::ChatModelSettings {
        url: url.clone(),
        key: settings.key.as_ref().map(|key| key.reveal().to_owned()),
        model: settings.model.clone(),
        timeout: settings.timeout,
    });
    let model = model.map_err(StartError::service("the chat model"))?;
    Ok(Arc::new(model.with_headers(telemetry::outgoing)))
}
