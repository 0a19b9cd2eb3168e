//! Rules for garde's `custom`, with messages that state the whole rule.

use std::fmt::Display;

/// Accepts values from `min` to `max`, both included.
pub fn between<T: PartialOrd + Display>(min: T, max: T) -> impl FnOnce(&T, &()) -> garde::Result {
    move |value, ()| {
        require(
            (&min..=&max).contains(&value),
            format_args!("must be from {min} to {max}"),
        )
    }
}

/// Accepts texts of `min` to `max` characters.
pub fn characters(min: usize, max: usize) -> impl FnOnce(&String, &()) -> garde::Result {
    move |text, ()| {
        require(
            (min..=max).contains(&text.chars().count()),
            format_args!("must have {min} to {max} characters"),
        )
    }
}

/// Accepts what begins with `http://` or `https://`, and no value.
///
/// # Errors
///
/// The text begins with something else.
pub fn http_url(url: &Option<String>, (): &()) -> garde::Result {
    let is_http = |url: &String| url.starts_with("http://") || url.starts_with("https://");
    require(
        url.as_ref().is_none_or(is_http),
        "must begin with http:// or https://",
    )
}

/// Returns an error with `rule` unless it holds.
///
/// # Errors
///
/// The rule does not hold.
pub fn require(holds: bool, rule: impl Display) -> garde::Result {
    match holds {
        true => Ok(()),
        false => Err(garde::Error::new(rule)),
    }
}
