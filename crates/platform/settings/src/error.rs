//! The error of a setting that stops the start.

use std::fmt;

/// Names a setting that cannot be used: its key, its value, where the value came from, and the rule it breaks.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ConfigError {
    /// The key in the form `section.key`, or the file or variable that cannot be read.
    pub key: String,
    /// The value; masked where its type is a secret.
    pub value: Option<String>,
    /// The file, the variable or "command line".
    pub origin: Option<String>,
    /// What the value has to be.
    pub rule: String,
}

impl ConfigError {
    /// Creates an error without a value and an origin.
    pub fn new(key: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            value: None,
            origin: None,
            rule: rule.into(),
        }
    }

    /// Adds the value.
    #[must_use]
    pub fn with_value(self, value: impl Into<String>) -> Self {
        Self {
            value: Some(value.into()),
            ..self
        }
    }

    /// Adds the place that the value came from.
    #[must_use]
    pub fn with_origin(self, origin: impl Into<String>) -> Self {
        Self {
            origin: Some(origin.into()),
            ..self
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        if let Some(origin) = &self.origin {
            write!(f, " (from {origin})")?;
        }
        write!(f, ": {}", self.rule)
    }
}

impl std::error::Error for ConfigError {}
