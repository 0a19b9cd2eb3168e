//! Durations written as numbers of seconds: `#[serde(with = "berth_settings::seconds")]`.

use std::time::Duration;

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serializer};

use crate::rules::require;

/// Writes whole seconds as an integer, others as a float.
///
/// # Errors
///
/// Those of the serializer.
pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    match value.subsec_nanos() {
        0 => serializer.serialize_u64(value.as_secs()),
        _ => serializer.serialize_f64(value.as_secs_f64()),
    }
}

/// Reads a number of seconds, with or without a fraction.
///
/// # Errors
///
/// The value is not a number, is negative, or does not fit into a [`Duration`].
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let seconds = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        D::Error::invalid_value(Unexpected::Float(seconds), &"a number of seconds, not negative")
    })
}

/// Accepts durations from `min` to `max` seconds, both included.
pub fn between(min: f64, max: f64) -> impl FnOnce(&Duration, &()) -> garde::Result {
    move |value, ()| {
        require(
            (min..=max).contains(&value.as_secs_f64()),
            format_args!("must be from {min} to {max} seconds"),
        )
    }
}
