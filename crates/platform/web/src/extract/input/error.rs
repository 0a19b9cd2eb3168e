//! Errors of deserialization with the path of the field.

use std::fmt::{self, Display, Write};

use serde::de::{self, Expected, Unexpected};

/// A value that does not fit, with its path, in words for a client.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{path}: {message}")]
pub struct InputError {
    /// Where it is, as in `items[2].title`; empty for the whole.
    pub path: String,
    /// The rule it breaks.
    pub message: String,
}

impl InputError {
    /// The same error of a value within `outer`, which is a field's name or an index in brackets.
    pub(super) fn within(mut self, outer: &str) -> Self {
        if !self.path.is_empty() && !self.path.starts_with('[') {
            self.path.insert(0, '.');
        }
        self.path.insert_str(0, outer);
        self
    }

    fn of_field(field: &str, message: impl Into<String>) -> Self {
        Self {
            path: field.to_owned(),
            message: message.into(),
        }
    }
}

impl de::Error for InputError {
    fn custom<T: Display>(message: T) -> Self {
        Self::of_field("", message.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("must be {}", worded(&expected.to_string())))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("must be {}", worded(&expected.to_string())))
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("must be {}", worded(&expected.to_string())))
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!("must be one of {}", list(expected)))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::of_field(field, format!("is not known here; known are {}", list(expected)))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::of_field(field, "is required")
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::of_field(field, "must occur once")
    }
}

/// serde's words for what it expects, without the names of Rust's types.
fn worded(expected: &str) -> String {
    let first = expected.split_whitespace().next().unwrap_or_default();
    let range = match expected {
        "u8" => Some((0, u64::from(u8::MAX))),
        "u16" => Some((0, u64::from(u16::MAX))),
        "u32" => Some((0, u64::from(u32::MAX))),
        "u64" | "usize" => return "a whole number, not negative".to_owned(),
        _ => None,
    };
    if let Some((min, max)) = range {
        return format!("a whole number from {min} to {max}");
    }
    let plain = match first {
        "struct" => "an object",
        "tuple" => "an array",
        "enum" | "variant" | "identifier" => "one of the documented values",
        "unit" => "null",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "option" => "a value or null",
        "internally" | "untagged" | "adjacently" => "one of the documented forms",
        _ if expected == "a boolean" => "true or false",
        _ if expected == "a sequence" => "an array",
        _ if expected == "a map" => "an object",
        _ => expected,
    };
    plain.to_owned()
}

fn list(names: &[&str]) -> String {
    let mut text = String::new();
    for (at, name) in names.iter().enumerate() {
        let gap = if at == 0 { "" } else { ", " };
        // Writing into memory cannot fail.
        let _ = write!(text, "{gap}`{name}`");
    }
    text
}

/// The end of a path that is an index.
pub(super) struct Index(pub(super) usize);

impl Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.0)
    }
}
