//! The merged settings: sections as typed structs, the origin of each value, and the printed configuration.

use std::collections::BTreeMap;
use std::fmt;

use config::{Value, ValueKind};
use garde::Validate;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::layer::Layer;
use crate::reference::long_variable;
use crate::secret::rule_of_hidden;
use crate::sources::ENVIRONMENT;
use crate::{ConfigError, MASK, Reference};

/// The merged settings. Its `Display` prints the sections that were read, secrets masked, with origins.
#[derive(Debug)]
pub struct Loaded {
    reference: Reference,
    values: BTreeMap<String, Unshown>,
    warnings: Vec<String>,
    /// The sections that were read, as their types show them.
    shown: BTreeMap<String, Json>,
}

/// A value of unknown type, which may be a secret.
struct Unshown(Value);

/// Names an environment.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// A developer's machine.
    Development,
    /// Automated tests.
    Test,
    /// Anything that serves users.
    Production,
}

impl Loaded {
    pub(crate) fn new(reference: Reference, layers: Vec<Layer>) -> Self {
        let mut loaded = Self {
            reference,
            values: BTreeMap::new(),
            warnings: Vec::new(),
            shown: BTreeMap::new(),
        };
        for layer in layers {
            let values = layer.values.into_iter();
            loaded
                .values
                .extend(values.map(|(key, value)| (key, Unshown(value))));
            loaded.warnings.extend(layer.warnings);
        }
        loaded.set_defaults_from_other_keys();
        loaded
    }

    /// Gives keys whose paragraph says `Default: section.key.` the value of that key, with its origin, where they have none.
    fn set_defaults_from_other_keys(&mut self) {
        let missing = self.reference.entries().filter_map(|(key, entry)| {
            let other = entry.fact("Default").filter(|_| !self.values.contains_key(key))?;
            let Unshown(value) = self.values.get(other)?;
            Some((key.to_owned(), Unshown(value.clone())))
        });
        let missing: Vec<_> = missing.collect();
        self.values.extend(missing);
    }

    /// Returns a section as its type, checked.
    ///
    /// # Errors
    ///
    /// A value has the wrong type or breaks a rule of its field.
    pub fn section<T>(&mut self, name: &str) -> Result<T, ConfigError>
    where
        T: DeserializeOwned + Serialize + Validate<Context = ()>,
    {
        let values = self.values.iter().filter_map(|(key, Unshown(value))| {
            let key = key.strip_prefix(name)?.strip_prefix('.')?;
            Some((key.to_owned(), json(value)))
        });
        let table: Map<String, Json> = values.collect();
        let section: T = serde_path_to_error::deserialize(Json::Object(table)).map_err(|error| {
            let key = format!("{name}.{}", error.path());
            self.wrong_type(&key, &error.into_inner().to_string())
        })?;
        let shown =
            serde_json::to_value(&section).map_err(|error| ConfigError::new(name, error.to_string()))?;
        self.shown.insert(name.to_owned(), shown);
        self.refuse_defaults_in_production(name)?;
        section.validate().map_err(|report| {
            let first = report.iter().next();
            let (path, rule) = first
                .map(|(path, error)| (path.to_string(), error.message()))
                .unwrap_or_default();
            self.violation(&format!("{name}.{path}"), rule)
        })?;
        Ok(section)
    }

    /// Refuses, in production, the built-in default of a key whose paragraph says "Required in production".
    fn refuse_defaults_in_production(&self, section: &str) -> Result<(), ConfigError> {
        if self.environment()? != Environment::Production {
            return Ok(());
        }
        let mut keys = self.reference.entries().filter(|(key, entry)| {
            key.split('.').next() == Some(section) && entry.text.contains("Required in production.")
        });
        match keys.find(|(key, _)| self.origin(key) == Some("built-in default.toml")) {
            Some((key, _)) => {
                let variable = long_variable(key);
                let rule =
                    format!("must be set in production, where this default is not used: set {variable}");
                Err(self.violation(key, rule))
            }
            None => Ok(()),
        }
    }

    /// Returns the environment.
    ///
    /// # Errors
    ///
    /// `app.environment` is something else.
    pub fn environment(&self) -> Result<Environment, ConfigError> {
        let Some(Unshown(chosen)) = self.values.get(ENVIRONMENT) else {
            return Ok(Environment::Development);
        };
        let chosen = json(chosen);
        serde_json::from_value(chosen).map_err(|error| self.wrong_type(ENVIRONMENT, &error.to_string()))
    }

    /// Returns the error of a value that breaks a rule, for rules between sections that were read.
    pub fn violation(&self, key: &str, rule: impl Into<String>) -> ConfigError {
        let (section, name) = key.split_once('.').unwrap_or((key, ""));
        let shown = self.shown.get(section).and_then(|section| section.get(name));
        let error = ConfigError::new(key, rule);
        self.with_origin(match shown {
            Some(Json::Null) | None => error,
            Some(value) => error.with_value(value.to_string()),
        })
    }

    /// Returns the place that a value came from.
    pub fn origin(&self, key: &str) -> Option<&str> {
        let Unshown(value) = self.values.get(key)?;
        Some(value.origin().unwrap_or("built-in default.toml"))
    }

    /// Returns what should be logged once logging works: former names that are still in use.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns the reference that the settings were read by.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    fn wrong_type(&self, key: &str, message: &str) -> ConfigError {
        let error = match rule_of_hidden(message) {
            Some(rule) => ConfigError::new(key, rule).with_value(MASK),
            None => {
                let error = ConfigError::new(key, self.rule(key, message));
                match self.values.get(key) {
                    Some(Unshown(value)) => error.with_value(json(value).to_string()),
                    None => error,
                }
            }
        };
        self.with_origin(error)
    }

    /// Rewords serde's message for readers who do not know Rust, and adds the range that the reference states.
    fn rule(&self, key: &str, message: &str) -> String {
        let Some((_, expected)) = message.split_once(", expected ") else {
            return message.replace("invalid IP address syntax", "must be an IP address");
        };
        let noun = match expected {
            "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
            "f64" | "a number of seconds, not negative" => "a number",
            "a boolean" => "true or false",
            "a string" => "a text in quotes",
            other => other,
        };
        match self.reference.entry(key).and_then(|entry| entry.fact("Range")) {
            Some(range) => format!("must be {noun} from {range}"),
            None => format!("must be {noun}"),
        }
    }

    fn with_origin(&self, error: ConfigError) -> ConfigError {
        match self.origin(&error.key).map(str::to_owned) {
            Some(origin) => error.with_origin(origin),
            None => error,
        }
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, section: &str, name: &str, value: &Json) -> fmt::Result {
        let setting = match value {
            Json::Null => format!("# {name} ="),
            value => format!("{name} = {value}"),
        };
        let origin = self.origin(&format!("{section}.{name}")).unwrap_or("not set");
        writeln!(f, "{setting:<52} # {origin}")
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (section, table)) in self.shown.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n" };
            writeln!(f, "{gap}[{section}]")?;
            for (name, value) in table.as_object().into_iter().flatten() {
                self.line(f, section, name, value)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Unshown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(from {})", self.0.origin().unwrap_or("built-in default.toml"))
    }
}

/// Converts without changing types: the deserializer of `config` itself would round floats and read texts as numbers.
fn json(value: &Value) -> Json {
    match &value.kind {
        ValueKind::Boolean(value) => Json::from(*value),
        ValueKind::I64(value) => Json::from(*value),
        ValueKind::U64(value) => Json::from(*value),
        ValueKind::Float(value) => Json::from(*value),
        ValueKind::Array(values) => values.iter().map(json).collect(),
        ValueKind::Table(values) => values
            .iter()
            .map(|(name, value)| (name.clone(), json(value)))
            .collect(),
        kind => Json::from(kind.to_string()),
    }
}
