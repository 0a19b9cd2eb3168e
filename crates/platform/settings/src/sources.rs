//! The places that settings are read from, and their order.

use std::io;
use std::path::{Path, PathBuf};

use crate::layer::Layer;
use crate::{ConfigError, Loaded, Reference, dotenv};

/// The files that are embedded in the binary; [`built_in!`](crate::built_in) embeds them.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn {
    /// The text of `config/default.toml`, the reference.
    pub default: &'static str,
    /// The names of the environments with the texts of their files.
    pub environments: &'static [(&'static str, &'static str)],
}

/// Embeds `default.toml`, `development.toml`, `test.toml` and `production.toml` of a folder, relative to this file.
#[macro_export]
macro_rules! built_in {
    ($folder:literal) => {
        $crate::BuiltIn {
            default: include_str!(concat!($folder, "/default.toml")),
            environments: &[
                ("development", include_str!(concat!($folder, "/development.toml"))),
                ("test", include_str!(concat!($folder, "/test.toml"))),
                ("production", include_str!(concat!($folder, "/production.toml"))),
            ],
        }
    };
}

/// The places that settings are read from, from the first to the last: a later place replaces an earlier one.
#[derive(Clone, Debug)]
pub struct Sources {
    /// What the binary holds.
    pub built_in: BuiltIn,
    /// The folder with `default.toml` and `{environment}.toml` on disk. What it lacks comes from the binary.
    pub folder: PathBuf,
    /// The variables of `.env`.
    pub dotenv: Vec<(String, String)>,
    /// The variables of the process.
    pub environment: Vec<(String, String)>,
    /// Keys with their values from the command line.
    pub arguments: Vec<(String, String)>,
}

impl Sources {
    /// Creates sources that hold the built-in files only; tests add their own.
    pub fn new(built_in: BuiltIn) -> Self {
        Self {
            built_in,
            folder: PathBuf::new(),
            dotenv: Vec::new(),
            environment: Vec::new(),
            arguments: Vec::new(),
        }
    }

    /// Collects the sources of this process: files of `folder`, `.env` in the working directory, the environment.
    ///
    /// # Errors
    ///
    /// `.env` exists and cannot be read, or a variable that sets something is not UTF-8.
    pub fn of_process(
        built_in: BuiltIn,
        folder: PathBuf,
        arguments: Vec<(String, String)>,
    ) -> Result<Self, ConfigError> {
        let reference = Reference::parse(built_in.default)?;
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter_map(|(name, value)| match value.into_string() {
                Ok(value) => Some(Ok((name, value))),
                Err(_) if reference.variable(&name).is_none() => None,
                Err(_) => Some(Err(ConfigError::new(name, "must be UTF-8 text"))),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            folder,
            dotenv: dotenv::read(Path::new(".env"))?,
            environment,
            arguments,
            ..Self::new(built_in)
        })
    }

    /// Reads and merges all places.
    ///
    /// # Errors
    ///
    /// A file cannot be read, a key is unknown, or one place sets a key twice.
    pub fn load(&self) -> Result<Loaded, ConfigError> {
        let reference = Reference::parse(self.built_in.default)?;
        let dotenv = Layer::of_variables(&self.dotenv, ".env", &reference)?;
        let environment = Layer::of_variables(&self.environment, "environment", &reference)?;
        let arguments = Layer::of_arguments(&self.arguments, &reference)?;

        let chosen = [&arguments, &environment, &dotenv]
            .into_iter()
            .find_map(|layer| layer.values.get(ENVIRONMENT))
            .map_or_else(|| "development".to_owned(), |value| value.kind.to_string());
        let mut layers = self.files("default", Some(self.built_in.default), &reference)?;
        let built_in = self
            .built_in
            .environments
            .iter()
            .find(|(name, _)| *name == chosen);
        if built_in.is_some() {
            layers.extend(self.files(&chosen, built_in.map(|(_, text)| *text), &reference)?);
        }
        if layers
            .iter()
            .skip(1)
            .any(|layer| layer.values.contains_key(ENVIRONMENT))
        {
            return Err(ConfigError::new(
                ENVIRONMENT,
                "cannot be set in a file, since it decides which file is read; use APP_ENV or --env",
            ));
        }
        layers.extend([dotenv, environment, arguments]);
        Ok(Loaded::new(reference, layers))
    }

    /// Reads the built-in file of a name and the one on disk, as far as they exist.
    fn files(
        &self,
        name: &str,
        built_in: Option<&str>,
        reference: &Reference,
    ) -> Result<Vec<Layer>, ConfigError> {
        let mut layers = Vec::new();
        if let Some(text) = built_in {
            layers.push(Layer::of_file(text, &format!("built-in {name}.toml"), reference)?);
        }
        let path = self.folder.join(name).with_extension("toml");
        let place = path.display().to_string();
        match std::fs::read_to_string(&path) {
            Ok(text) if built_in == Some(&text) => {}
            Ok(text) => layers.push(Layer::of_file(&text, &place, reference)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(ConfigError::new(place, format!("cannot be read: {error}"))),
        }
        Ok(layers)
    }
}

/// The key that decides which file is read.
pub(crate) const ENVIRONMENT: &str = "app.environment";
