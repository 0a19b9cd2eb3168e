//! Rules for garde's `custom`, with messages that state the whole rule.

use std::fmt::Display;

/// Accepts values from `min` to `max`, both included.
pub fn between<T: PartialOrd + Display>(min: T, max: T) -> impl FnOnce(&T, &()) -> garde::Result {
    move |value, ()| match (&min..=&max).contains(&value) {
        true => Ok(()),
        false => Err(garde::Error::new(format!("must be from {min} to {max}"))),
    }
}
