//! Text without white space around it.

use std::fmt;
use std::ops::Deref;

use garde::rules::length::chars::HasChars;
use serde::{Deserialize, Deserializer, Serialize};

/// Text whose white space at both ends is removed when it is made or read, before any rule looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Trimmed(String);

impl From<&str> for Trimmed {
    fn from(text: &str) -> Self {
        Self(text.trim().to_owned())
    }
}

impl From<String> for Trimmed {
    fn from(text: String) -> Self {
        Self::from(&*text)
    }
}

impl From<Trimmed> for String {
    fn from(text: Trimmed) -> Self {
        text.0
    }
}

impl Deref for Trimmed {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Trimmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl HasChars for Trimmed {
    fn num_chars(&self) -> usize {
        self.chars().count()
    }
}

impl<'de> Deserialize<'de> for Trimmed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}
