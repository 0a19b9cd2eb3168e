use std::fmt::{self, Display};

use serde_json::Value as Json;

use super::Loaded;
use super::load::flat;

/// Prints the settings in force as TOML, each with the place it came from. Secrets are masked.
impl Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tree = serde_json::to_value(&self.settings).map_err(|_| fmt::Error)?;
        let mut section = String::new();
        for (key, value) in flat(&tree) {
            let (of, name) = key.split_once('.').unwrap_or((&key, ""));
            if of != section {
                let gap = if section.is_empty() { "" } else { "\n" };
                writeln!(f, "{gap}[{of}]")?;
                of.clone_into(&mut section);
            }
            self.line(f, &key, name, &value)?;
        }
        Ok(())
    }
}

impl Loaded {
    fn line(&self, f: &mut fmt::Formatter<'_>, key: &str, name: &str, value: &Json) -> fmt::Result {
        let setting = match value {
            Json::Null => format!("# {name} ="),
            value => format!("{name} = {value}"),
        };
        let origin = self.origins.get(key).map_or("not set", String::as_str);
        writeln!(f, "{setting:<52} # {origin}")
    }
}
