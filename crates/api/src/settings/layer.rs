//! One place that settings come from, as a source for crate `config`.

use std::collections::BTreeMap;

use config::{ConfigError, Map, Source, Value, ValueKind};
use serde_json::Value as Json;

use super::Broken;
use super::name::{closest, key_of_variable};

/// Every key there is, with its default: a variable is text, and the default tells what it is text of.
pub(super) type Known = BTreeMap<String, Json>;

/// Settings of one place, by dotted key, each with the words that name the place.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer(BTreeMap<String, Value>);

impl Layer {
    /// A TOML file, on disk or built in.
    pub(super) fn file(text: &str, place: &str, known: &Known) -> Result<Self, Broken> {
        let parsed = config::File::from_str(text, config::FileFormat::Toml).collect();
        let table = parsed.map_err(|error| Broken::new(place, format!("is not valid TOML: {error}")))?;
        let leaves = leaves(Value::from(table));
        let named = leaves
            .into_iter()
            .map(|(key, value)| (key, Value::new(Some(&place.to_owned()), value.kind)));
        let layer = Self(named.collect());
        layer
            .0
            .keys()
            .try_for_each(|key| check_known(key, place, known))?;
        Ok(layer)
    }

    /// Variables of the environment or of `.env`. Empty ones count as not set.
    pub(super) fn variables(
        variables: &[(String, String)],
        place: &str,
        known: &Known,
    ) -> Result<Self, Broken> {
        let mut texts: BTreeMap<String, (String, String)> = BTreeMap::new();
        for (name, text) in variables.iter().filter(|(_, text)| !text.is_empty()) {
            let Some(key) = key_of_variable(name) else {
                continue;
            };
            check_known(&key, &format!("{place} {name}"), known)?;
            let earlier = texts.insert(key.clone(), (name.clone(), text.clone()));
            if let Some((other, _)) = earlier.filter(|(_, earlier)| earlier != text) {
                return Err(Broken::new(
                    key,
                    format!("is set twice, by {other} and by {name}: keep one"),
                ));
            }
        }
        let values = texts.into_iter().map(|(key, (name, text))| {
            let value = typed(&text, known.get(&key));
            (key, Value::new(Some(&format!("{place} {name}")), value))
        });
        Ok(Self(values.collect()))
    }

    /// What the command line says. A later one replaces an earlier one.
    pub(super) fn arguments(arguments: &[(String, String)], known: &Known) -> Result<Self, Broken> {
        let mut layer = Self::default();
        for (key, text) in arguments {
            check_known(key, "the command line", known)?;
            let value = Value::new(Some(&"command line".to_owned()), typed(text, known.get(key)));
            layer.0.insert(key.clone(), value);
        }
        Ok(layer)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone().into_iter().collect())
    }
}

/// The values of a tree of tables by dotted key.
pub(super) fn leaves(tree: Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let mut open = vec![(String::new(), tree)];
    while let Some((path, value)) = open.pop() {
        match value.kind {
            ValueKind::Table(table) => {
                let dot = if path.is_empty() { "" } else { "." };
                open.extend(
                    table
                        .into_iter()
                        .map(|(key, value)| (format!("{path}{dot}{key}"), value)),
                );
            }
            _ => drop(found.insert(path, value)),
        }
    }
    found
}

/// The text as what the default is; where it is not, it stays a text and fails with the rule for its key.
fn typed(text: &str, default: Option<&Json>) -> ValueKind {
    let parsed = match default {
        Some(Json::Number(_)) => number(text),
        Some(Json::Bool(_)) => text.to_ascii_lowercase().parse().ok().map(ValueKind::Boolean),
        _ => None,
    };
    parsed.unwrap_or_else(|| ValueKind::String(text.to_owned()))
}

fn number(text: &str) -> Option<ValueKind> {
    let whole = text.parse().ok().map(ValueKind::I64);
    whole.or_else(|| {
        text.parse()
            .ok()
            .filter(|number: &f64| number.is_finite())
            .map(ValueKind::Float)
    })
}

fn check_known(key: &str, place: &str, known: &Known) -> Result<(), Broken> {
    if known.contains_key(key) {
        return Ok(());
    }
    let hint = match closest(key, known.keys().map(String::as_str)) {
        Some(meant) => format!("; did you mean `{meant}`?"),
        None => "; config/default.toml lists every key".to_owned(),
    };
    Err(Broken::new(key, format!("is no setting (from {place}){hint}")))
}
