//! Answers without asking anybody, so that the first run needs neither a key nor a network.

use async_trait::async_trait;
use entity::sample::message::Role;

use super::{Responder, ResponderError, Turn};

/// Repeats the question and says how to get real answers. The same history always gets the same answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct OfflineResponder;

#[async_trait]
impl Responder for OfflineResponder {
    async fn answer(&self, history: &[Turn]) -> Result<String, ResponderError> {
        let questions = history.iter().filter(|turn| turn.role == Role::User).count();
        let question = history.last().map_or("", |turn| turn.body.as_str());
        Ok(format!(
            "You said \u{201c}{}\u{201d}. That was message {questions} of yours. I answer offline: set \
             responder.url to an OpenAI-compatible API for answers that know more.",
            shortened(question)
        ))
    }
}

fn shortened(text: &str) -> String {
    const LONGEST: usize = 120;
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('\u{2026}');
    }
    short
}
