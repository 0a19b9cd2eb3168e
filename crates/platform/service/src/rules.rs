//! Rules for text that garde lacks, for use as `#[garde(custom(no_nul))]`.

/// Refuses text with a NUL character, which PostgreSQL cannot store.
///
/// # Errors
///
/// The broken rule, for the client.
pub fn no_nul(text: &str, _: &()) -> garde::Result {
    match text.contains('\0') {
        true => Err(garde::Error::new("must not contain the character NUL")),
        false => Ok(()),
    }
}

/// Refuses text that consists of white space; the empty text is left to a rule about length.
///
/// # Errors
///
/// The broken rule, for the client.
pub fn not_blank(text: &str, _: &()) -> garde::Result {
    match text.is_empty() || text.chars().any(|c| !c.is_whitespace()) {
        true => Ok(()),
        false => Err(garde::Error::new("must not be blank")),
    }
}
