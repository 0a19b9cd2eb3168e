//! Command-line options that every service has, and exit codes.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::error::with_causes;

/// Why a command failed.
pub type Failure = Box<dyn Error>;

/// The options that every command has: settings that win over every other place.
#[derive(Args, Debug)]
pub struct Options {
    /// Override a setting; can be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE", value_parser = key_and_value, global = true)]
    set: Vec<(String, String)>,
    /// Environment: development, test or production
    #[arg(long, value_name = "NAME", global = true)]
    env: Option<String>,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", global = true)]
    host: Option<String>,
    /// Port to listen on; 0 for a free one
    #[arg(long, value_name = "PORT", global = true)]
    port: Option<String>,
    /// Log level: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", global = true)]
    log_level: Option<String>,
    /// Folder whose files override the built-in default.toml and {environment}.toml
    #[arg(long, value_name = "FOLDER", default_value = "config", global = true)]
    pub config_dir: PathBuf,
}

impl Options {
    /// The settings given as arguments, by dotted key; a later one wins over an earlier one.
    pub fn arguments(&self) -> Vec<(String, String)> {
        let flags = [
            ("app.environment", &self.env),
            ("server.host", &self.host),
            ("server.port", &self.port),
            ("log.level", &self.log_level),
        ];
        let flags = flags
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
        self.set.iter().cloned().chain(flags).collect()
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("must be of the form section.key=value")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

/// Prints the output of a command.
///
/// # Errors
///
/// Standard output is closed.
pub fn print(output: &impl Display) -> Result<ExitCode, Failure> {
    write!(io::stdout().lock(), "{output}")?;
    Ok(ExitCode::SUCCESS)
}

/// The runtime on which the database's connections live.
///
/// # Errors
///
/// The system has no threads left.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// Writes why a command failed to standard error, and returns its exit code.
pub fn report(command: &str, failure: &(dyn Error + 'static), code: u8) -> ExitCode {
    // Where standard error is closed too, nothing can be reported.
    let _ = writeln!(io::stderr().lock(), "{command}: {}", with_causes(failure));
    ExitCode::from(code)
}
