//! Secrets: values that are masked wherever they are printed.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::rules::require;

/// The text shown in place of a secret.
pub const MASK: &str = "********";

/// Starts the message of a deserialization error whose value must not be shown.
const HIDDEN: &str = "(hidden) ";

/// Holds a text that no log, no error and no printed configuration shows.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(String);

impl Secret {
    /// Returns the text itself. The name makes each use easy to find.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Accepts secrets of at least `min` characters; for garde's `custom`.
    pub fn at_least(min: usize) -> impl FnOnce(&Self, &()) -> garde::Result {
        move |secret, ()| {
            require(
                secret.0.chars().count() >= min,
                format_args!("must have at least {min} characters"),
            )
        }
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer) {
            Ok(text) => Ok(Self(text)),
            Err(_) => Err(hidden("must be a quoted string")),
        }
    }
}

/// Creates the deserialization error of a secret: the loader shows `rule` and masks the value.
///
/// A type that holds a secret uses it in its `Deserialize`, since serde's own errors quote the value.
pub fn hidden<E: serde::de::Error>(rule: impl fmt::Display) -> E {
    E::custom(format_args!("{HIDDEN}{rule}"))
}

/// Returns the rule of an error made by [`hidden`].
#[cfg(feature = "loader")]
pub(crate) fn rule_of_hidden(message: &str) -> Option<&str> {
    message.strip_prefix(HIDDEN)
}
