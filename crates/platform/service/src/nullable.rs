//! Fields of a change that may become null.

use serde::{Deserialize, Deserializer};

/// Reads a field that may be null: `None` is an absent field, `Some(None)` a null.
///
/// For use as `#[serde(default, deserialize_with = "nullable")] note: Option<Option<String>>`.
///
/// # Errors
///
/// Those of the deserializer.
pub fn nullable<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    /// The reader of changes allows null within a newtype.
    #[derive(Deserialize)]
    struct Nullable<T>(Option<T>);
    let Nullable(value) = Deserialize::deserialize(deserializer)?;
    Ok(Some(value))
}
