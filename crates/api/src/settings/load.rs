//! Reads the settings from all their places, in their order, and remembers which place each value came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use berth_web::settings::MASK;
use config::{Config, Value, ValueKind};
use serde_json::{Map, Value as Json};

use super::layer::{Known, Layer, leaves};
use super::{Broken, Settings};

/// The places outside the binary that settings are read from. Tests make their own.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A folder with `default.toml` and `{environment}.toml`; what it lacks comes from the binary.
    pub folder: PathBuf,
    pub dotenv: Vec<(String, String)>,
    pub environment: Vec<(String, String)>,
    /// Dotted keys with their values, from the command line.
    pub arguments: Vec<(String, String)>,
}

/// The settings in force, and where each value came from.
#[derive(Debug)]
pub struct Loaded {
    pub settings: Settings,
    pub(super) origins: BTreeMap<String, String>,
}

/// A setting that stops the start: the key, its value where there is one to show, its place, and the rule.
#[derive(Debug)]
pub struct Invalid {
    pub key: String,
    pub value: Option<String>,
    pub origin: Option<String>,
    pub rule: String,
}

impl Sources {
    /// The places of this process: `.env` in the working directory, its environment, its command line.
    ///
    /// `.env` is read beside the environment rather than into it, so that its values can be told apart.
    ///
    /// # Errors
    ///
    /// `.env` is there and cannot be read or understood.
    pub fn of_process(folder: PathBuf, arguments: Vec<(String, String)>) -> Result<Self, Invalid> {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Ok(Self {
            folder,
            dotenv: dotenv()?,
            environment: environment.collect(),
            arguments,
        })
    }

    /// Reads, merges and checks everything.
    ///
    /// # Errors
    ///
    /// The first setting that is unknown, of the wrong type, out of range or in contradiction to another.
    pub fn load(&self) -> Result<Loaded, Invalid> {
        let merged = self.merge().map_err(Invalid::from)?;
        let settings = parse(&merged)?;
        settings.check().map_err(|broken| explain(broken, &merged))?;
        let origins = merged.into_iter().map(|(key, value)| (key, origin(&value)));
        Ok(Loaded {
            settings,
            origins: origins.collect(),
        })
    }

    fn merge(&self) -> Result<BTreeMap<String, Value>, Broken> {
        let known = known()?;
        let dotenv = Layer::variables(&self.dotenv, ".env", &known)?;
        let environment = Layer::variables(&self.environment, "environment", &known)?;
        let arguments = Layer::arguments(&self.arguments, &known)?;

        let mut builder = Config::builder();
        for layer in self.files("default", &known)? {
            builder = builder.add_source(layer);
        }
        let choice = [&arguments, &environment, &dotenv]
            .into_iter()
            .find_map(|l| l.get("app.environment"));
        let chosen = choice.map_or("development".to_owned(), text);
        for layer in self.files(&chosen, &known)? {
            if layer.get("app.environment").is_some() {
                return Err(Broken::new(
                    "app.environment",
                    "decides which file is read: no file can set it",
                ));
            }
            builder = builder.add_source(layer);
        }
        let built = builder
            .add_source(dotenv)
            .add_source(environment)
            .add_source(arguments)
            .build();
        Ok(leaves(
            built
                .map_err(|error| Broken::new("configuration", error.to_string()))?
                .cache,
        ))
    }

    /// The built-in file of that name and the one on disk, whichever there are.
    fn files(&self, name: &str, known: &Known) -> Result<Vec<Layer>, Broken> {
        let mut layers = Vec::new();
        if let Some(text) = built_in(name) {
            layers.push(Layer::file(text, &format!("built-in {name}.toml"), known)?);
        }
        let path = self.folder.join(name).with_extension("toml");
        match std::fs::read_to_string(&path) {
            Ok(text) if built_in(name) == Some(text.as_str()) => {}
            Ok(text) => layers.push(Layer::file(&text, &path.display().to_string(), known)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(Broken::new(
                    path.display().to_string(),
                    format!("cannot be read: {error}"),
                ));
            }
        }
        Ok(layers)
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        if let Some(origin) = &self.origin {
            write!(f, " (from {origin})")?;
        }
        write!(f, ": {}", self.rule)
    }
}

impl std::error::Error for Invalid {}

impl From<Broken> for Invalid {
    fn from(broken: Broken) -> Self {
        Self {
            key: broken.key,
            value: broken.value,
            origin: None,
            rule: broken.rule,
        }
    }
}

/// The reference of all settings, as it was when this binary was built.
pub(super) const DEFAULTS: &str = include_str!("../../../../config/default.toml");

fn built_in(name: &str) -> Option<&'static str> {
    match name {
        "default" => Some(DEFAULTS),
        "development" => Some(include_str!("../../../../config/development.toml")),
        "test" => Some(include_str!("../../../../config/test.toml")),
        "production" => Some(include_str!("../../../../config/production.toml")),
        _ => None,
    }
}

/// Every key with its default, from the built-in file by way of the type: keys without a default are null.
pub(super) fn known() -> Result<Known, Broken> {
    let parsed = Config::builder()
        .add_source(config::File::from_str(DEFAULTS, config::FileFormat::Toml))
        .build()
        .map_err(|error| Broken::new("built-in default.toml", error.to_string()))?;
    let settings = parse(&leaves(parsed.cache)).map_err(|error| Broken::new(error.key, error.rule))?;
    let tree = serde_json::to_value(settings).map_err(|error| Broken::new("settings", error.to_string()))?;
    Ok(flat(&tree))
}

/// The values of a two-level JSON object by dotted key.
pub(super) fn flat(tree: &Json) -> Known {
    let sections = tree.as_object().into_iter().flatten();
    let keys = sections.flat_map(|(section, values)| {
        let values = values.as_object().into_iter().flatten();
        values.map(move |(key, value)| (format!("{section}.{key}"), value.clone()))
    });
    keys.collect()
}

fn dotenv() -> Result<Vec<(String, String)>, Invalid> {
    let fail = |error: dotenvy::Error| Invalid::from(Broken::new(".env", dotenv_rule(&error)));
    match dotenvy::from_path_iter(Path::new(".env")) {
        Ok(pairs) => pairs.map(|pair| pair.map_err(fail)).collect(),
        Err(error) if error.not_found() => Ok(Vec::new()),
        Err(error) => Err(fail(error)),
    }
}

/// dotenvy's own text quotes the whole line, which may hold a secret.
fn dotenv_rule(error: &dotenvy::Error) -> String {
    match error {
        dotenvy::Error::LineParse(line, at) => {
            let name = line.split('=').next().unwrap_or_default();
            format!(
                "cannot be understood in the line of `{}`, at character {at}",
                name.trim()
            )
        }
        dotenvy::Error::Io(error) => format!("cannot be read: {error}"),
        _ => "cannot be read".to_owned(),
    }
}

fn parse(merged: &BTreeMap<String, Value>) -> Result<Settings, Invalid> {
    let mut tree: Map<String, Json> = sections()
        .map(|name| (name.to_owned(), Map::new().into()))
        .collect();
    for (key, value) in merged {
        let (section, name) = key.split_once('.').unwrap_or((key, ""));
        let table = tree.entry(section).or_insert_with(|| Json::Object(Map::new()));
        if let Json::Object(table) = table {
            table.insert(name.to_owned(), json(value));
        }
    }
    serde_path_to_error::deserialize(Json::Object(tree)).map_err(|error| {
        let key = error.path().to_string();
        let rule = in_words(&key, &error.into_inner().to_string());
        explain(Broken::new(key, rule), merged)
    })
}

/// Those of the reference: one whose keys have no defaults is there all the same.
fn sections() -> impl Iterator<Item = &'static str> {
    DEFAULTS
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.strip_suffix(']'))
}

fn json(value: &Value) -> Json {
    match &value.kind {
        ValueKind::Boolean(value) => Json::from(*value),
        ValueKind::I64(value) => Json::from(*value),
        ValueKind::U64(value) => Json::from(*value),
        ValueKind::Float(value) => Json::from(*value),
        ValueKind::Array(values) => values.iter().map(json).collect(),
        _ => Json::from(text(value)),
    }
}

fn text(value: &Value) -> String {
    value.clone().into_string().unwrap_or_default()
}

/// serde's text for people who set this up and may not know Rust. It quotes the value, so secrets get none.
fn in_words(key: &str, rule: &str) -> String {
    if is_secret(key) && key != "database.url" {
        return "must be a text".to_owned();
    }
    let words = [
        ("expected u16", "expected a whole number from 0 to 65535"),
        ("expected u32", "expected a whole number from 0 to 4294967295"),
        ("expected usize", "expected a whole number that is not negative"),
        ("expected f64", "expected a number of seconds"),
        ("expected a boolean", "expected true or false"),
    ];
    words
        .iter()
        .fold(rule.to_owned(), |rule, (rust, plain)| rule.replace(rust, plain))
}

/// Adds to a broken rule what was set, and where.
fn explain(broken: Broken, merged: &BTreeMap<String, Value>) -> Invalid {
    let found = merged.get(&broken.key);
    let shown = match is_secret(&broken.key) {
        true => Some(MASK.to_owned()),
        false => broken.value.clone().or_else(|| Some(json(found?).to_string())),
    };
    Invalid {
        value: shown,
        origin: found.map(origin),
        ..Invalid::from(broken)
    }
}

fn is_secret(key: &str) -> bool {
    const SECRETS: &[&str] = &[
        "app.secret",
        "database.url",
        "debug.token",
        "responder.key", // sample
    ];
    SECRETS.contains(&key)
}

fn origin(value: &Value) -> String {
    value.origin().unwrap_or("built-in default.toml").to_owned()
}
