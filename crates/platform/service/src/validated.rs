//! Validation of input by the rules that `garde` derives.

use garde::Validate;

use crate::Error;

/// Checks a value against its derived rules.
///
/// # Examples
///
/// ```
/// use berth_service::{Error, Validated, rules::no_nul};
/// use garde::Validate;
///
/// #[derive(Validate)]
/// struct NewTag {
///     #[garde(length(chars, min = 1, max = 40), custom(no_nul))]
///     name: String,
/// }
///
/// let tag = NewTag { name: String::new() };
/// assert!(matches!(tag.validated(), Err(Error::Validation(fields)) if fields[0].path == "name"));
/// ```
pub trait Validated: Sized {
    /// Returns the value if it keeps every rule.
    ///
    /// # Errors
    ///
    /// [`Error::Validation`] lists every broken rule.
    fn validated(self) -> Result<Self, Error>;
}

impl<T: Validate<Context = ()>> Validated for T {
    fn validated(self) -> Result<Self, Error> {
        self.validate()?;
        Ok(self)
    }
}
