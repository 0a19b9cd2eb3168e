//! Reads the settings that the command shares with the service, under the same names.

use std::collections::HashMap;
use std::path::Path;

use berth_database::Pooler;

use crate::Settings;

/// The variables of this process over those of `.env`, both as they are.
///
/// The command does not read `config/*.toml`: where a deployment keeps its URL there, set it for
/// the command too.
#[derive(Clone)]
pub struct Environment {
    variables: HashMap<String, String>,
    dotenv: HashMap<String, String>,
}

/// A variable that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {rule}")]
pub struct Invalid {
    /// The variable or file.
    pub name: String,
    /// What it has to be.
    pub rule: String,
}

impl Environment {
    /// Reads `.env` in the working directory and the process's own variables.
    ///
    /// # Errors
    ///
    /// `.env` is there and cannot be understood.
    pub fn of_process() -> Result<Self, Invalid> {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Ok(Environment {
            variables: variables.collect(),
            dotenv: dotenv()?,
        })
    }

    /// Whether `APP_ENV` says that this is production.
    ///
    /// # Errors
    ///
    /// It says two things.
    pub fn is_production(&self) -> Result<bool, Invalid> {
        Ok(self.one(&["APP__APP__ENVIRONMENT", "APP_ENV"])? == Some("production"))
    }

    /// The settings of a run; where nothing is set, the service's own defaults.
    ///
    /// # Errors
    ///
    /// A variable holds what it cannot hold.
    pub fn settings(&self) -> Result<Settings, Invalid> {
        let mut database = berth_database::Settings::default();
        if let Some(url) = self.one(&["APP__DATABASE__URL", "DATABASE_URL"])? {
            database.url = url.parse().map_err(|rule| Invalid {
                name: "DATABASE_URL".to_owned(),
                rule,
            })?;
        }
        if let Some(name) = self.one(&["APP__DATABASE__APPLICATION_NAME"])? {
            name.clone_into(&mut database.application_name);
        }
        if let Some(pooler) = self.one(&["APP__DATABASE__POOLER", "DB_POOLER"])? {
            database.pooler = read_pooler(pooler)?;
        }
        database.root_certificate = self.one(&["APP__DATABASE__ROOT_CERTIFICATE"])?.map(Into::into);
        database.validate().map_err(|error| Invalid {
            name: error.key.to_owned(),
            rule: error.rule,
        })?;
        Ok(Settings::new(database))
    }

    /// What is set under one of these names for the same thing. Empty counts as not set.
    fn one(&self, names: &[&str]) -> Result<Option<&str>, Invalid> {
        for layer in [&self.variables, &self.dotenv] {
            let set = names.iter().filter_map(|name| layer.get_key_value(*name));
            let mut found = set.filter(|(_, value)| !value.is_empty());
            let Some((name, value)) = found.next() else {
                continue;
            };
            if let Some((other, _)) = found.find(|(_, other)| *other != value) {
                let rule = format!("is set to something else than {other}, which means the same: keep one");
                return Err(Invalid {
                    name: name.to_owned(),
                    rule,
                });
            }
            return Ok(Some(value));
        }
        Ok(None)
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").finish_non_exhaustive()
    }
}

fn read_pooler(word: &str) -> Result<Pooler, Invalid> {
    match word {
        "auto" => Ok(Pooler::Auto),
        "session" => Ok(Pooler::Session),
        "transaction" => Ok(Pooler::Transaction),
        "direct" => Ok(Pooler::Direct),
        _ => Err(Invalid {
            name: "DB_POOLER".to_owned(),
            rule: "must be auto, session, transaction or direct".to_owned(),
        }),
    }
}

fn dotenv() -> Result<HashMap<String, String>, Invalid> {
    // dotenvy's own text quotes the line, which may hold a password.
    let invalid = |_| Invalid {
        name: ".env".to_owned(),
        rule: "must be lines of NAME=value".to_owned(),
    };
    match dotenvy::from_path_iter(Path::new(".env")) {
        Ok(pairs) => pairs.collect::<Result<_, _>>().map_err(invalid),
        Err(error) if error.not_found() => Ok(HashMap::new()),
        Err(error) => Err(invalid(error)),
    }
}
