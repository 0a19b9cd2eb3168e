//! The reference, `config/default.toml`: which keys exist, and what each paragraph states about its key.

use std::collections::{BTreeMap, BTreeSet};

use config::{Value, ValueKind};

use crate::ConfigError;
use crate::layer::read_toml;

/// Holds the keys of `config/default.toml`.
#[derive(Clone, Debug)]
pub struct Reference {
    entries: BTreeMap<String, Entry>,
    /// Keys by the variables that set them.
    variables: BTreeMap<String, Name>,
    /// Present keys by their former ones.
    former: BTreeMap<String, String>,
}

/// Describes one key: the paragraph above it and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The paragraph, in one line.
    pub text: String,
    /// False for a key that is commented out: it has no default, and its value is an example.
    pub has_default: bool,
    pub(crate) value: ValueKind,
}

/// A key as a variable names it.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) key: String,
    /// False where the variable is spelled after a former key.
    pub(crate) is_current: bool,
}

impl Reference {
    /// Reads the text of `config/default.toml`.
    ///
    /// # Errors
    ///
    /// The text is not TOML, or a key has no paragraph.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let Paragraphs {
            toml,
            texts,
            examples,
        } = Paragraphs::of(text);
        let values = read_toml(&toml, "built-in default.toml")?;
        let mut reference = Self {
            entries: BTreeMap::new(),
            variables: BTreeMap::new(),
            former: BTreeMap::new(),
        };
        for (key, Value { kind: value, .. }) in values {
            let text = texts.get(&key).cloned().unwrap_or_default();
            let has_default = !examples.contains(&key);
            reference.add(
                key,
                Entry {
                    text,
                    has_default,
                    value,
                },
            );
        }
        Ok(reference)
    }

    /// Returns the keys with what is known about them, in alphabetical order.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(key, entry)| (key.as_str(), entry))
    }

    /// Returns one key's entry.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Returns the present key that replaced a former one.
    pub(crate) fn renamed(&self, key: &str) -> Option<&str> {
        self.former.get(key).map(String::as_str)
    }

    /// Returns the key that a variable sets.
    pub(crate) fn variable(&self, name: &str) -> Option<&Name> {
        self.variables.get(name)
    }

    /// Returns the names of all variables that set something.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    fn add(&mut self, key: String, entry: Entry) {
        let section = key.split('.').next().unwrap_or_default();
        let formers: Vec<_> = entry
            .list("Former name")
            .map(|name| match name.contains('.') {
                true => name.to_owned(),
                false => format!("{section}.{name}"),
            })
            .collect();
        let short = entry.list("Variable").map(|name| (name.to_owned(), true));
        let long = formers.iter().map(|former| (long_variable(former), false));
        for (name, is_current) in short.chain([(long_variable(&key), true)]).chain(long) {
            self.variables.insert(
                name,
                Name {
                    key: key.clone(),
                    is_current,
                },
            );
        }
        self.former
            .extend(formers.into_iter().map(|former| (former, key.clone())));
        self.entries.insert(key, entry);
    }
}

impl Entry {
    /// Returns what follows a label up to the end of its sentence: `1 to 15 connections` of `Range: 1 to 15 connections.`
    pub fn fact(&self, label: &str) -> Option<&str> {
        let (_, rest) = self.text.split_once(&format!("{label}: "))?;
        let end = rest.find(". ").unwrap_or(rest.trim_end_matches('.').len());
        Some(&rest[..end])
    }

    /// Returns the default, or the example of a key without one, as text.
    pub fn example(&self) -> String {
        self.value.to_string()
    }

    fn list(&self, label: &str) -> impl Iterator<Item = &str> {
        self.fact(label).into_iter().flat_map(|names| names.split(", "))
    }
}

/// Spells a key as a variable: `APP__SERVER__PORT` for `server.port`.
pub(crate) fn long_variable(key: &str) -> String {
    format!("APP__{}", key.replace('.', "__").to_ascii_uppercase())
}

/// The reference taken apart: TOML with the examples uncommented, and the paragraphs by key.
#[derive(Default)]
struct Paragraphs {
    toml: String,
    texts: BTreeMap<String, String>,
    examples: BTreeSet<String>,
}

impl Paragraphs {
    fn of(reference: &str) -> Self {
        let mut found = Self::default();
        let (mut section, mut words) = ("", Vec::new());
        for line in reference.lines() {
            let comment = line.strip_prefix("# ");
            let setting = comment.unwrap_or(line);
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = name;
                found.push_line(line);
            } else if let Some(name) = setting_name(setting) {
                let key = format!("{section}.{name}");
                found.push_line(setting);
                found.texts.insert(key.clone(), words.join(" "));
                if comment.is_some() {
                    found.examples.insert(key);
                }
            } else if let Some(comment) = comment {
                words.push(comment);
                continue;
            }
            words.clear();
        }
        found
    }

    fn push_line(&mut self, line: &str) {
        self.toml.push_str(line);
        self.toml.push('\n');
    }
}

fn setting_name(line: &str) -> Option<&str> {
    let (name, _) = line.split_once(" = ")?;
    let is_name = name
        .bytes()
        .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    is_name.then_some(name)
}
