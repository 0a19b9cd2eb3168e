//! Who answers posted messages.

use std::sync::Arc;

use service::sample::{ChatModel, ChatModelSettings, HttpChatModel, OfflineChatModel};

use super::StartError;
use crate::{observe, settings};

/// Chooses who answers posted messages: an API where one is set, otherwise nobody but us.
///
/// # Errors
///
/// The API's address or key cannot be used.
pub fn responder(settings: &settings::Responder) -> Result<Arc<dyn ChatModel>, StartError> {
    let Some(url) = &settings.url else {
        return Ok(Arc::new(OfflineChatModel));
    };
    let responder = HttpChatModel::new(ChatModelSettings {
        url: url.clone(),
        key: settings.key.as_ref().map(|key| key.reveal().to_owned()),
        model: settings.model.clone(),
        timeout: settings.timeout,
    });
    let responder = responder.map_err(StartError::Responder)?;
    Ok(Arc::new(responder.with_headers(observe::outgoing)))
}
