//! The file `.env`, read beside the environment so that its values can be told apart.

use std::path::Path;

use crate::ConfigError;

/// Reads the variables of a `.env` file; none where there is no file.
pub(crate) fn read(path: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let fail = |error: dotenvy::Error| ConfigError::new(".env", rule(&error));
    match dotenvy::from_path_iter(path) {
        Ok(pairs) => pairs.map(|pair| pair.map_err(fail)).collect(),
        Err(error) if error.not_found() => Ok(Vec::new()),
        Err(error) => Err(fail(error)),
    }
}

/// Replaces dotenvy's own text, which quotes the whole line: it may hold a secret.
fn rule(error: &dotenvy::Error) -> String {
    match error {
        dotenvy::Error::LineParse(line, at) => {
            let name = line.split('=').next().unwrap_or_default();
            format!("cannot parse the line of `{}`, at character {at}", name.trim())
        }
        dotenvy::Error::Io(error) => format!("cannot be read: {error}"),
        _ => "cannot be read".to_owned(),
    }
}
