//! The command line: what the binary can be told to do.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::error::with_causes;
use crate::settings::{Invalid, Loaded, Sources};
use crate::{app, doctor, health_check, openapi, telemetry};

/// Exit code for settings that were refused, told apart from a start that failed (1).
const INVALID_SETTINGS: u8 = 2;

type Failure = Box<dyn Error>;

/// Does what the command line asks, and says with which exit code the process ends.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(cli.options),
        Command::Config => config(cli.options),
        Command::Openapi => document(),
        Command::Doctor(arguments) => examine(cli.options, arguments),
        Command::Health { what } => health(cli.options, what),
    };
    outcome.unwrap_or_else(|failure| report(&failure))
}

/// A backend that lives within its database connections.
#[derive(Debug, Parser)]
#[command(name = "api", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve HTTP until SIGTERM or Ctrl-C; the default
    Serve,
    /// Print the settings in force and where each came from
    Config,
    /// Print the API's OpenAPI document
    Openapi,
    /// Tell whether this deployment is safe: exits with 0 (pass), 1 (warnings) or 2 (failures)
    Doctor(doctor::Arguments),
    /// Ask the service on this machine whether it is well: what a container's health check runs
    Health {
        /// ready for requests, or merely alive
        #[arg(value_enum, default_value_t = health_check::Question::Ready)]
        what: health_check::Question,
    },
}

#[derive(Args, Debug)]
struct Options {
    /// Set any setting; can be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE", value_parser = key_and_value, global = true)]
    set: Vec<(String, String)>,
    /// development, test or production
    #[arg(long, value_name = "NAME", global = true)]
    env: Option<String>,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", global = true)]
    host: Option<String>,
    /// Port to listen on; 0 for a free one
    #[arg(long, value_name = "PORT", global = true)]
    port: Option<String>,
    /// error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", global = true)]
    log_level: Option<String>,
    /// Folder whose files override the built-in default.toml and {environment}.toml
    #[arg(long, value_name = "FOLDER", default_value = "config", global = true)]
    config_dir: PathBuf,
}

impl Options {
    fn load(self) -> Result<Loaded, Invalid> {
        let flags = [
            ("app.environment", self.env),
            ("server.host", self.host),
            ("server.port", self.port),
            ("log.level", self.log_level),
        ];
        let mut arguments = self.set;
        arguments.extend(
            flags
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), value?))),
        );
        Sources::of_process(self.config_dir, arguments)?.load()
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or("must be of the form section.key=value")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

fn serve(options: Options) -> Result<ExitCode, Failure> {
    let settings = options.load()?.settings;
    let _telemetry = telemetry::init(&settings)?;
    runtime()?.block_on(app::serve(settings))?;
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

fn config(options: Options) -> Result<ExitCode, Failure> {
    print(&options.load()?)
}

fn document() -> Result<ExitCode, Failure> {
    print(&openapi::text()?)
}

fn examine(options: Options, arguments: doctor::Arguments) -> Result<ExitCode, Failure> {
    let settings = options.load()?.settings;
    let report = runtime()?.block_on(doctor::examine(&settings, arguments));
    match arguments.json {
        true => print(&report.json()?)?,
        false => print(&report)?,
    };
    Ok(ExitCode::from(report.exit_code()))
}

fn health(options: Options, what: health_check::Question) -> Result<ExitCode, Failure> {
    health_check::ask(&options.load()?.settings.server, what)?;
    Ok(ExitCode::SUCCESS)
}

fn print(shown: &impl std::fmt::Display) -> Result<ExitCode, Failure> {
    write!(io::stdout().lock(), "{shown}")?;
    Ok(ExitCode::SUCCESS)
}

/// Tells on standard error, which is read even where logs are not.
fn report(failure: &Failure) -> ExitCode {
    let invalid = failure.is::<Invalid>();
    let what = if invalid { "invalid setting: " } else { "" };
    // Nobody is left to tell when standard error is closed too.
    let _ = writeln!(
        io::stderr().lock(),
        "api: {what}{}",
        with_causes(failure.as_ref())
    );
    ExitCode::from(if invalid { INVALID_SETTINGS } else { 1 })
}
