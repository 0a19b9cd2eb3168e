//! The settings of one place: a file, `.env`, the environment or the command line.

use std::collections::BTreeMap;

use config::{File, FileFormat, Source, Value, ValueKind};

use crate::ConfigError;
use crate::reference::{Name, Reference};

/// The values of one place by key, and what to warn of.
#[derive(Debug, Default)]
pub(crate) struct Layer {
    pub(crate) values: BTreeMap<String, Value>,
    pub(crate) warnings: Vec<String>,
    /// How the place spelled each key.
    spelled: BTreeMap<String, String>,
}

impl Layer {
    /// Takes the settings of a TOML file, on disk or built in.
    pub(crate) fn of_file(text: &str, place: &str, reference: &Reference) -> Result<Self, ConfigError> {
        let mut layer = Self::default();
        for (written, value) in read_toml(text, place)? {
            let name = find(&written, place, reference)?;
            layer.add(&written, name, value)?;
        }
        Ok(layer)
    }

    /// Takes the variables that set something. Empty ones count as not set.
    pub(crate) fn of_variables(
        variables: &[(String, String)],
        place: &str,
        reference: &Reference,
    ) -> Result<Self, ConfigError> {
        let mut layer = Self::default();
        for (variable, text) in variables.iter().filter(|(_, text)| !text.is_empty()) {
            let origin = format!("{place} {variable}");
            let name = match (reference.variable(variable), variable.strip_prefix("APP__")) {
                (Some(name), _) => name.clone(),
                (None, Some(path)) => {
                    find(&path.to_ascii_lowercase().replace("__", "."), &origin, reference)?
                }
                (None, None) => {
                    refuse_misspelled(variable, place, reference)?;
                    continue;
                }
            };
            let value = typed(text, &name.key, origin, reference);
            layer.add(variable, name, value)?;
        }
        Ok(layer)
    }

    /// Takes the arguments. A later one replaces an earlier one.
    pub(crate) fn of_arguments(
        arguments: &[(String, String)],
        reference: &Reference,
    ) -> Result<Self, ConfigError> {
        let mut layer = Self::default();
        for (written, text) in arguments {
            let name = find(written, "the command line", reference)?;
            let value = typed(text, &name.key, "command line".to_owned(), reference);
            layer.values.remove(&name.key);
            layer.add(written, name, value)?;
        }
        Ok(layer)
    }

    fn add(&mut self, written: &str, name: Name, value: Value) -> Result<(), ConfigError> {
        let Name { key, is_current } = name;
        if !is_current {
            let place = value.origin().unwrap_or_default();
            self.warnings.push(format!(
                "`{written}` (from {place}) is the former name of `{key}`, and will be refused by the next version"
            ));
        }
        let spelled = self.spelled.insert(key.clone(), written.to_owned());
        match (self.values.get(&key), spelled) {
            (Some(earlier), Some(other)) if earlier.kind != value.kind => Err(ConfigError::new(
                key,
                format!("is set twice, by {other} and by {written}: keep one"),
            )),
            _ => {
                self.values.insert(key, value);
                Ok(())
            }
        }
    }
}

/// Reads TOML into values by `section.key`.
pub(crate) fn read_toml(text: &str, place: &str) -> Result<BTreeMap<String, Value>, ConfigError> {
    let parsed = File::from_str(text, FileFormat::Toml).collect();
    let sections = parsed.map_err(|error| ConfigError::new(place, not_toml(&error.to_string())))?;
    let mut values = BTreeMap::new();
    for (section, table) in sections {
        let table = table
            .into_table()
            .map_err(|_| ConfigError::new(&section, format!("must be in a section (from {place})")))?;
        let keys = table.into_iter();
        values.extend(keys.map(|(name, value)| {
            (
                format!("{section}.{name}"),
                Value::new(Some(&place.to_owned()), value.kind),
            )
        }));
    }
    Ok(values)
}

/// The parser's own text quotes the line, which may hold a secret: its first line is the position, its last the reason.
fn not_toml(error: &str) -> String {
    let mut lines = error.lines().filter(|line| !line.trim().is_empty());
    let position = lines.next().unwrap_or_default();
    format!(
        "is not valid TOML: {position}: {}",
        lines.next_back().unwrap_or_default()
    )
}

fn find(written: &str, place: &str, reference: &Reference) -> Result<Name, ConfigError> {
    if reference.entry(written).is_some() {
        return Ok(Name {
            key: written.to_owned(),
            is_current: true,
        });
    }
    if let Some(key) = reference.renamed(written) {
        return Ok(Name {
            key: key.to_owned(),
            is_current: false,
        });
    }
    let hint = match closest(written, reference.entries().map(|(key, _)| key)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "config/default.toml lists every key".to_owned(),
    };
    Err(ConfigError::new(
        written,
        format!("is not a setting (from {place}); {hint}"),
    ))
}

/// Refuses a variable of another name that is spelled almost like one of ours: `DATABSE_URL`.
fn refuse_misspelled(variable: &str, place: &str, reference: &Reference) -> Result<(), ConfigError> {
    let upper = variable.to_ascii_uppercase();
    let allowed = |known: &str| if known.len() < 10 { 1 } else { 2 };
    let meant = reference
        .variables()
        .find(|known| known.contains('_') && strsim::osa_distance(&upper, known) <= allowed(known));
    match meant {
        Some(meant) => Err(ConfigError::new(
            variable,
            format!("is not a variable of this service (from {place}); did you mean `{meant}`?"),
        )),
        None => Ok(()),
    }
}

/// Returns the name that differs from `name` by three letters at most, if there is one.
fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|known| (strsim::osa_distance(name, known), known))
        .min()
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, known)| known)
}

/// Turns a text into what the reference has for the key. What does not fit stays a text, and fails with its rule.
fn typed(text: &str, key: &str, origin: String, reference: &Reference) -> Value {
    let like = reference.entry(key).map(|entry| &entry.value);
    let kind = match like {
        Some(ValueKind::I64(_) | ValueKind::Float(_)) => number(text),
        Some(ValueKind::Boolean(_)) => text.to_ascii_lowercase().parse().ok().map(ValueKind::Boolean),
        Some(ValueKind::Array(_)) => Some(list(text)),
        _ => None,
    };
    Value::new(
        Some(&origin),
        kind.unwrap_or_else(|| ValueKind::String(text.to_owned())),
    )
}

/// A variable and an argument have the parts of a list with commas between them.
fn list(text: &str) -> ValueKind {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    ValueKind::Array(parts.map(|part| Value::new(None, part.to_owned())).collect())
}

fn number(text: &str) -> Option<ValueKind> {
    let whole = text.parse().ok().map(ValueKind::I64);
    whole.or_else(|| {
        let number: f64 = text.parse().ok()?;
        number.is_finite().then_some(ValueKind::Float(number))
    })
}
