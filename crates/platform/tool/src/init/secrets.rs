//! `.env` with secrets of its own.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use crate::error::Error;

/// The values of `.env.example` that are placeholders begin with this.
const PLACEHOLDER: &str = "local-only";

/// What became of `.env`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum DotEnv {
    Written,
    /// It existed, and its secrets may be in use.
    Kept,
}

/// Writes `.env` from `.env.example`, with a random value for each placeholder.
pub(super) fn write(root: &Path) -> Result<DotEnv, Error> {
    let target = root.join(".env");
    if target.exists() {
        return Ok(DotEnv::Kept);
    }
    let mut text = String::new();
    for line in std::fs::read_to_string(root.join(".env.example"))?.lines() {
        match line.split_once('=') {
            Some((key, value)) if value.starts_with(PLACEHOLDER) => {
                let _ = writeln!(text, "{key}={}", secret()?);
            }
            _ => text = text + line + "\n",
        }
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(target)?.write_all(text.as_bytes())?;
    Ok(DotEnv::Written)
}

/// 256 random bits in hexadecimal digits, which need no escaping in a URL.
fn secret() -> Result<String, Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
