//! The log section, and the syntax of log levels.

use berth_settings::require;
use garde::Validate;
use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::{LevelFilter, Targets};

/// `[log]`: what is logged, and how.
#[derive(Clone, Debug, Deserialize, Serialize, Validate)]
#[garde(allow_unvalidated)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Levels, as in `info,database=debug`.
    #[garde(custom(is_level))]
    pub level: String,
    /// The form of a log line.
    pub format: LogFormat,
}

/// Decides the form of a log line.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Parses `info,database=debug`.
///
/// A word that is not a level is an error. The library would read `warning` as the name of a module, and log nothing
/// else. `database` means the crate `berth_database`.
pub(crate) fn levels(text: &str) -> Option<Targets> {
    text.split(',')
        .try_fold(Targets::new(), |levels, part| match part.split_once('=') {
            None => Some(levels.with_default(level(part)?)),
            Some((name, of_it)) => Some(levels.with_target(module(word(name)?), level(of_it)?)),
        })
}

pub(super) fn is_level(text: &str, (): &()) -> garde::Result {
    require(
        levels(text).is_some(),
        "must be off, error, warn, info, debug or trace, with exceptions for modules as in `info,database=debug`",
    )
}

fn module(name: &str) -> &str {
    match name {
        "database" => "berth_database",
        name => name,
    }
}

fn level(text: &str) -> Option<LevelFilter> {
    word(text)?.parse().ok()
}

fn word(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn modules_have_levels_of_their_own() {
        let levels = levels("info, database = debug,actix_server=off").unwrap();
        assert!(levels.would_enable("api", &Level::INFO));
        assert!(!levels.would_enable("api", &Level::DEBUG));
        assert!(levels.would_enable("berth_database::pool", &Level::DEBUG));
        assert!(!levels.would_enable("actix_server", &Level::ERROR));
    }

    #[test]
    fn a_word_that_is_not_a_level_is_refused() {
        for wrong in [
            "",
            " ",
            "warning",
            "info,",
            "info,database",
            "=info",
            "database=",
            "a=b=info",
        ] {
            assert!(levels(wrong).is_none(), "{wrong}");
        }
    }
}
