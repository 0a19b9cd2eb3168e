//! Replaces error texts, and returns errors instead of executing statements.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::pooler_kind::Refusal;
use super::wire;

/// Replaces a statement that is to fail. It is a syntax error, so the server answers with an error
/// that quotes it, and has done nothing.
const MARKER: &str = "testkit_error_";

#[derive(Debug, Default)]
pub(super) struct ErrorTexts {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    translations: Vec<(String, String)>,
    errors: Vec<Refusal>,
}

impl ErrorTexts {
    pub(super) fn translate(&self, from: &str, to: &str) {
        self.lock().translations.push((from.to_owned(), to.to_owned()));
    }

    pub(super) fn is_empty(&self) -> bool {
        let entries = self.lock();
        entries.translations.is_empty() && entries.errors.is_empty()
    }

    /// Returns a Query or Parse in place of `message` at which the server fails; its error is replaced by
    /// `error` on the way back.
    pub(super) fn failing(&self, message: &[u8], error: Refusal) -> Vec<u8> {
        let mut entries = self.lock();
        let number = entries.errors.iter().position(|known| *known == error);
        let number = number.unwrap_or_else(|| {
            entries.errors.push(error);
            entries.errors.len() - 1
        });
        let statement = format!("{MARKER}{number}\0");
        match message {
            [b'P', _, _, _, _, body @ ..] => {
                let name = body.split_inclusive(|byte| *byte == 0).next().unwrap_or(b"\0");
                wire::message(b'P', &[name, statement.as_bytes(), &[0, 0]].concat())
            }
            _ => wire::message(b'Q', statement.as_bytes()),
        }
    }

    /// Returns what is sent in place of the server's `message`, if that is an error of ours or has a
    /// translation.
    pub(super) fn replaced(&self, message: &[u8]) -> Option<Vec<u8>> {
        let [b'E', _, _, _, _, body @ ..] = message else {
            return None;
        };
        let entries = self.lock();
        let text = String::from_utf8_lossy(body);
        if let Some((_, rest)) = text.split_once(MARKER) {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            let error = entries.errors.get(digits.parse::<usize>().ok()?)?;
            return Some(wire::error("ERROR", &error.code, &error.message));
        }
        let translations = entries.translations.iter();
        let translated = translations.fold(text.to_string(), |text, (from, to)| text.replace(from, to));
        (translated != text).then(|| wire::message(b'E', translated.as_bytes()))
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
