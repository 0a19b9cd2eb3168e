//! The commands of the binary.

use std::process::ExitCode;

use berth_doctor::Deployment;
use berth_settings::{ConfigError, Loaded, Sources};
use berth_web::command_line::{Failure, Options, print, report, runtime};
use berth_web::{StartError, health_check, jobs_command, telemetry};
use clap::{Parser, Subcommand};
use migration::Migrator;

use crate::settings::{self, Settings};
use crate::{app, openapi};

/// A service that stays within its database connections.
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
    /// Run jobs and no API until SIGTERM or Ctrl-C
    Work,
    /// List, show, retry or discard jobs
    #[command(subcommand)]
    Jobs(jobs_command::Arguments),
    /// Print the settings in force and where each comes from
    Config,
    /// Print the API's OpenAPI document
    Openapi,
    /// Print an `Authorization` header for a user, without a login; not in production
    Token {
        /// E-mail address of the user [default: the development user's]
        #[arg(long)]
        email: Option<String>,
    },
    /// Fill the database with users and rows for development; not in production
    Seed,
    /// Examine this deployment: exits with 0 (pass), 1 (warnings) or 2 (failures)
    Doctor(berth_doctor::Arguments),
    /// Probe the service on this machine, for a container's health check
    Health {
        /// Whether to check readiness or only liveness
        #[arg(value_enum, default_value_t = health_check::ProbeKind::Ready)]
        probe: health_check::ProbeKind,
    },
}

/// Runs the command of the command line and returns the exit code: 2 for invalid settings, 1 for other failures.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => run_until_stopped(&cli.options, app::serve),
        Command::Work => run_until_stopped(&cli.options, app::work),
        Command::Jobs(arguments) => jobs(&cli.options, &arguments),
        Command::Config => load(&cli.options).and_then(|(_, loaded)| print(&loaded)),
        Command::Openapi => openapi::text()
            .map_err(Failure::from)
            .and_then(|text| print(&text)),
        Command::Token { email } => token(&cli.options, email.as_deref()),
        Command::Seed => seed(&cli.options),
        Command::Doctor(arguments) => examine(&cli.options, arguments),
        Command::Health { probe } => health(&cli.options, probe),
    };
    outcome.unwrap_or_else(|failure| match failure.downcast_ref::<ConfigError>() {
        Some(invalid) => report("api: invalid setting", invalid, 2),
        None => report("api", failure.as_ref(), 1),
    })
}

fn load(options: &Options) -> Result<(Settings, Loaded), Failure> {
    let built_in = settings::sources().built_in;
    let sources = Sources::of_process(built_in, options.config_dir.clone(), options.arguments())?;
    let mut loaded = sources.load()?;
    Ok((Settings::read(&mut loaded)?, loaded))
}

fn run_until_stopped(
    options: &Options,
    run: impl AsyncFnOnce(Settings) -> Result<(), StartError>,
) -> Result<ExitCode, Failure> {
    let (settings, loaded) = load(options)?;
    let _telemetry = telemetry::init(&settings.platform, env!("CARGO_PKG_VERSION"))?;
    for warning in loaded.warnings() {
        tracing::warn!("setting: {warning}");
    }
    runtime()?.block_on(run(settings))?;
    Ok(ExitCode::SUCCESS)
}

fn jobs(options: &Options, arguments: &jobs_command::Arguments) -> Result<ExitCode, Failure> {
    let (settings, _) = load(options)?;
    print(&runtime()?.block_on(jobs_command::run(&settings.platform, app::MIGRATIONS, arguments))?)
}

fn token(options: &Options, email: Option<&str>) -> Result<ExitCode, Failure> {
    let (settings, _) = load(options)?;
    print(&(runtime()?.block_on(app::token(&settings, email))? + "\n"))
}

fn seed(options: &Options) -> Result<ExitCode, Failure> {
    let (settings, _) = load(options)?;
    print(&runtime()?.block_on(app::seed(&settings))?)
}

fn examine(options: &Options, arguments: berth_doctor::Arguments) -> Result<ExitCode, Failure> {
    let (settings, _) = load(options)?;
    let warnings = settings.production_warnings().into_iter();
    let deployment = Deployment {
        environment: settings.app.environment,
        warnings: warnings.map(|warning| (warning.says, warning.change)).collect(),
        database: settings.platform.database,
    };
    let pending = async |database| berth_migrate::pending_names(Migrator, database).await;
    let report = runtime()?.block_on(berth_doctor::examine(&deployment, arguments, pending));
    match arguments.json {
        true => print(&report.json()?)?,
        false => print(&report)?,
    };
    Ok(ExitCode::from(report.exit_code()))
}

fn health(options: &Options, probe: health_check::ProbeKind) -> Result<ExitCode, Failure> {
    health_check::probe(&load(options)?.0.server, probe)?;
    Ok(ExitCode::SUCCESS)
}
