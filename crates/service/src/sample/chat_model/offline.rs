//! A chat model that answers without a network, so that a first run needs neither a key nor an API.

use async_trait::async_trait;
use entity::sample::message::Role;
use futures_util::stream;

use super::{ChatMessage, ChatModel, ChatModelError, Parts};

/// Repeats the question and says how to get real answers. The same history always gets the same reply.
#[derive(Clone, Copy, Debug, Default)]
pub struct OfflineChatModel;

impl OfflineChatModel {
    fn say(history: &[ChatMessage]) -> String {
        let number = history
            .iter()
            .filter(|message| message.role == Role::User)
            .count();
        let question = history.last().map_or("", |message| message.body.as_str());
        format!(
            "You said \u{201c}{}\u{201d}. That was message {number} of yours. This reply was made offline: set \
             chat_model.url to an OpenAI-compatible API for real answers.",
            shortened(question)
        )
    }
}

#[async_trait]
impl ChatModel for OfflineChatModel {
    async fn reply(&self, history: &[ChatMessage]) -> Result<String, ChatModelError> {
        Ok(Self::say(history))
    }

    fn reply_in_parts<'a>(&'a self, history: &'a [ChatMessage]) -> Parts<'a> {
        let said = Self::say(history);
        let words: Vec<_> = said
            .split_inclusive(' ')
            .map(|word| Ok(word.to_owned()))
            .collect();
        Box::pin(stream::iter(words))
    }
}

fn shortened(text: &str) -> String {
    const MAX: usize = 120;
    let mut short: String = text.chars().take(MAX).collect();
    if short.len() < text.len() {
        short.push('\u{2026}');
    }
    short
}
