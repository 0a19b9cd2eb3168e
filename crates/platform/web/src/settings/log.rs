use serde::{Deserialize, Serialize};
use tracing_subscriber::filter::{LevelFilter, Targets};

use super::{Broken, require};

/// What the setting of a level must be.
pub(super) const LEVELS: &str = "must be off, error, warn, info, debug or trace, and for parts of the program as in `info,database=debug`";

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

impl Log {
    pub fn check(&self) -> Result<(), Broken> {
        require(levels(&self.level).is_some(), "log.level", LEVELS)
    }
}

/// Reads `info,database=debug`. A word that is no level is refused: the library would take `warning` for a part of
/// the program, and log nothing else.
pub fn levels(text: &str) -> Option<Targets> {
    text.split(',')
        .try_fold(Targets::new(), |levels, part| match part.split_once('=') {
            None => Some(levels.with_default(level(part)?)),
            Some((name, of_it)) => Some(levels.with_target(word(name)?, level(of_it)?)),
        })
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
    fn parts_have_levels_of_their_own() {
        let levels = levels("info, database = debug,actix_server=off").unwrap();
        assert!(levels.would_enable("api", &Level::INFO));
        assert!(!levels.would_enable("api", &Level::DEBUG));
        assert!(levels.would_enable("berth_database::pool", &Level::DEBUG));
        assert!(!levels.would_enable("actix_server", &Level::ERROR));
    }

    #[test]
    fn what_is_no_level_is_refused() {
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
