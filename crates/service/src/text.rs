//! Rules for text that garde has none for: `#[garde(custom(storable))]`.

/// Without NUL, the one character that PostgreSQL's text does not hold.
///
/// # Errors
///
/// The rule in words.
pub fn storable(text: &str, _: &()) -> garde::Result {
    match text.contains('\0') {
        true => Err(garde::Error::new("must not contain the character NUL")),
        false => Ok(()),
    }
}

/// Empty, or with something to see: how long it must be is a rule of its own.
///
/// # Errors
///
/// The rule in words.
pub fn not_blank(text: &str, _: &()) -> garde::Result {
    match text.is_empty() || text.chars().any(|c| !c.is_whitespace()) {
        true => Ok(()),
        false => Err(garde::Error::new("must not be blank")),
    }
}
